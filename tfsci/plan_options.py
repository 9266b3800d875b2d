"""The command line of `tfsci plan`."""

import argparse
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from tfsci.training.options import Parser, not_negative_int, positive_float, positive_int

# A machine of one's own.
EXAMPLE = """
  title = "Ours"
  [device]
  name = "L40S"
  tflops = 362      # in 16 bit
  memory = 48       # GB
  bandwidth = 864   # GB/s
  [[links]]         # the nearest first
  devices = 4       # that it joins
  bandwidth = 32    # GB/s of a device, in one direction
  latency = 5       # µs
  [[links]]         # the network: without devices
  bandwidth = 12.5
  latency = 14
"""

_NUMBER = {"type": positive_int, "metavar": "N"}
_REAL = {"type": positive_float, "metavar": "X"}
_NAME = {"metavar": "NAME"}
_FLAG = {"action": "store_true"}


def parser(commands: Mapping[str, Callable]) -> Parser:
    """Returns the parser.

    Args:
        commands: What each command calls with its arguments, by its name.
    """
    wide = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=34)
    about = "Says what a training needs and how it will scale, before a node-hour is spent."
    whole = Parser("tfsci plan", description=about, formatter_class=wide)
    listed = whole.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(name: str, about: str, *groups: Callable, picture: bool = True) -> Callable:
        added = listed.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        added.formatter_class = wide
        added.set_defaults(run=commands[name])
        told = "print JSON instead, or write it to FILE"
        added.add_argument("--json", nargs="?", const="-", metavar="FILE", help=told)
        if picture:
            added.add_argument("--picture", type=Path, metavar="FILE", help="draw it, as a PNG")
        for group in groups:
            group(added)
        if name == "machines":
            added.epilog = f"a machine of your own is a file, NAME.toml:\n{EXAMPLE}"
        return added.add_argument

    add = command("show", "a model on a machine: time, memory, pipeline", _model, _layout)
    add("--tokens", help="days and energy for so many tokens", **_REAL)
    add = command("search", "all layouts that fit, best first", _model, _layout)
    add("--number", default=10, help="rows (default: 10)", **_NUMBER)
    add = command("scaling", "from 1 device to many, and where it bends", _model)
    add("--devices", default=1024, help="at most (default: 1024)", **_NUMBER)
    add("--global-batch", help="samples of a step, strong scaling", **_NUMBER)
    told = "samples of a step for each device, weak scaling (default: 4)"
    add("--batch-per-device", default=4, help=told, **_NUMBER)
    add("--flash-attention", help="attention is one operation", **_FLAG)
    add = command("simulate", "play a step, and a job that fails at times", _model, _layout)
    told = "between failures of one device (default: 50,676, Llama 3's)"
    add("--device-mtbf-hours", help=told, **_REAL)
    told = "that a checkpoint holds training up (default: 60)"
    add("--checkpoint-seconds", default=60.0, help=told, **_REAL)
    told = "from a failure to training again (default: 600)"
    add("--restart-seconds", default=600.0, help=told, **_REAL)
    told = "what is wrong with a launch script, and what helps most"
    add = command("check", told, picture=False)
    told = "scripts with Megatron's, DeepSpeed's or this package's options"
    add("files", nargs="*", type=Path, metavar="FILE", help=told)
    add("--machine", help="(default: what the script looks like)", **_NAME)
    told = "how large a model, on how many tokens, for a budget"
    add = command("tokens", told, picture=False)
    add("--flops", help="operations, such as 1e23", **_REAL)
    add("--device-hours", help="instead of --flops, with --machine", **_REAL)
    add("--machine", default="selene", help="(default: selene)", **_NAME)
    add("--utilisation", default=0.4, help="of the devices' peak (default: 0.4)", **_REAL)
    add = command("machines", "the machines that are known, with sources", picture=False)
    add("names", nargs="*", help="(default: all)", **_NAME)
    command("published", "predictions beside publications, row by row", picture=False)
    return whole


def _model(parser: Parser) -> None:
    add = parser.add_argument_group("the model").add_argument
    add("--model", help="gpt-1.7b to gpt-1t, llama-3-70b, vit-l-16, resnet-50, …", **_NAME)
    for name in ("layers", "hidden", "heads"):
        add(f"--{name}", help="of a GPT", **_NUMBER)
    add("--vocabulary", help="(default: 51200)", **_NUMBER)
    add("--sequence", help="tokens of a sample (default: 2048)", **_NUMBER)
    told = "of any model, data-parallel; `tfsci models` prints them"
    add("--parameters", help=told, **_NUMBER)
    add("--flops", help="of its forward pass on a sample", **_REAL)
    add("--activations", default=0.0, help="bytes that it keeps of a sample", **_REAL)
    add("--machine", default="selene", help="see tfsci plan machines (default: selene)", **_NAME)


def _layout(parser: Parser) -> None:
    add = parser.add_argument_group("the layout").add_argument
    add("--devices", help="in all (default: tensor × pipeline)", **_NUMBER)
    add("--global-batch", help="samples of a step (default: 2 M tokens)", **_NUMBER)
    add("--micro-batch", help="samples of a replica at once", **_NUMBER)
    add("--tensor", help="devices that share each layer", **_NUMBER)
    add("--pipeline", help="stages", **_NUMBER)
    add("--layers-per-virtual-stage", help="makes the schedule interleaved", **_NUMBER)
    add("--schedule", choices=["gpipe", "1f1b", "interleaved"], help="of the pipeline")
    add("--recompute", choices=["none", "selective", "full"], help="what is computed again")
    add("--sequence-parallel", help="tensor ranks share norms and dropout, too", **_FLAG)
    add("--flash-attention", help="attention is one operation", **_FLAG)
    add("--zero", type=not_negative_int, metavar="N", help="stage of ZeRO, 0 to 3")
