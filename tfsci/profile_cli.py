"""`tfsci profile`: what holds a training back, and what the machine could do."""

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from tfsci.training.options import PRECISIONS, Parser, positive_float, positive_int, shape


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci profile`."""
    if argv[:1] == ["run"]:  # what follows the script is the script's
        from tfsci.profile import __main__ as running

        running.main(list(argv[1:]), name="tfsci profile run")
        return 0
    return _parser().run(argv)


def _parser() -> Parser:
    wide = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=28)
    about = "Says what holds a training back."
    parser = Parser("tfsci profile", description=about, formatter_class=wide)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(name, run, about):
        added = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        added.formatter_class = wide
        added.set_defaults(run=run, prog=added.prog)
        return added.add_argument

    command("run", None, "run a script under the profiler, and report")
    add = command("report", _report, "say what a trace shows")
    add("folder", type=Path, metavar="DIR", help="a trace's folder, or a run folder with one")
    add("--json", type=Path, metavar="FILE", help="write the report as JSON, too")
    add("--html", type=Path, metavar="FILE", help="write it as a page with pictures, too")
    add = command("open", _open, "show it as a page with pictures in the browser")
    add("folder", type=Path, metavar="DIR", help="a trace's folder, or a run folder with one")
    about = "serve the page at this port (default: one that is free)"
    add("--port", type=_port, default=0, metavar="N", help=about)
    add("--no-browser", action="store_true", help="say the address alone")
    add = command("scaling", _scaling, "compare runs at several world sizes")
    add("paths", type=Path, nargs="+", metavar="RUN_DIR | FILE",
        help="run folders, or one CSV file with the columns world_size and seconds")  # fmt: skip
    add("--output", type=Path, metavar="PNG", help="draw the speed-up into this file")
    add("--json", type=Path, metavar="FILE", help="write the figures as JSON, too")
    add = command("timeline", _timeline, "say what Horovod's timeline shows")
    add("file", type=Path, metavar="FILE", help="timeline.json, or a run folder with one")
    add("--json", type=Path, metavar="FILE", help="write the figures as JSON, too")
    add = command("input", _input, "measure a tf.data pipeline alone, stage by stage")
    add("pipeline", nargs="?", metavar="FILE.py:NAME",
        help="a dataset of a script, or a function of it that returns one")  # fmt: skip
    add("--data", metavar="SPEC", help="the training batches of a data spec instead")
    add("--data-dir", metavar="DIR", help="where prepared sets lie")
    add("--augment", metavar="LIST", help="with --data: change training images at random")
    add("--batch-size", type=positive_int, metavar="N",
        help="examples in a batch (default: 48, of a script what it says)")  # fmt: skip
    add("--needs", type=positive_float, metavar="RATE", help="examples/s that the model needs")
    add("--trace", type=Path, metavar="DIR", help="what the model needs, from a trace of it")
    add("--seconds", type=positive_float, default=1.5, metavar="S",
        help="to measure each stage for (default: 1.5)")  # fmt: skip
    add = command("roofline", _roofline, "measure this machine, and training steps beside it")
    add("models", nargs="*", metavar="MODEL[:VARIANT]", help="as tfsci models names them")
    add("--batch-size", type=positive_int, default=32, metavar="N", help="(default: 32)")
    add("--input-shape", type=shape, metavar="N,N,…", help="of a sample, such as 64,64,3")
    add("--num-classes", type=positive_int, metavar="N", help="(default: the published one)")
    add("--precision", choices=PRECISIONS, default="float32", help="(default: float32)")
    add("--json", type=Path, metavar="FILE", help="write what was measured as JSON, too")
    add("--output", type=Path, metavar="FILE", help="draw it, as a PNG")
    return parser


def _report(arguments: argparse.Namespace) -> None:
    from tfsci import profile
    from tfsci.profile import page
    from tfsci.profile.verdict import judge

    html = arguments.html
    if html and not html.absolute().parent.is_dir():  # before the reading takes its time
        raise FileNotFoundError(f"--html {html}: no such folder; make it first")
    if html and html.is_dir():
        raise ValueError(f"--html {html}: a folder; expected a file")
    trace = profile.load(arguments.folder)
    found = judge(trace)
    print(found.text)
    if arguments.json:
        found.write_json(arguments.json)
    if html:
        page.write(html, found, trace)


def _open(arguments: argparse.Namespace) -> None:
    from tfsci import profile
    from tfsci.profile import page
    from tfsci.profile.page import serving
    from tfsci.profile.verdict import judge

    trace = profile.load(arguments.folder)
    shown = page.page(judge(trace), trace)
    serving.show(shown, arguments.port, browser=not arguments.no_browser)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a port, 1 to 65535")
    return int(text)


def _scaling(arguments: argparse.Namespace) -> None:
    from tfsci.profile import scaling

    _check_folders(arguments, "output", "json")
    found = scaling.analyse(*scaling.read(arguments.paths))
    print(found.text)
    if arguments.json:
        found.write_json(arguments.json)
    if arguments.output:
        from tfsci.plots import save_scaling

        save_scaling(arguments.output, found)


def _timeline(arguments: argparse.Namespace) -> None:
    from tfsci.profile import timeline

    _check_folders(arguments, "json")
    found = timeline.digest(arguments.file)
    print(found.text)
    if arguments.json:
        found.write_json(arguments.json)


def _check_folders(arguments: argparse.Namespace, *options: str) -> None:
    """Says at once, not after the work, that a file can't be written."""
    for option in options:
        path = getattr(arguments, option)
        if path and not path.parent.is_dir():
            raise ValueError(f"--{option} {path}: no such folder")
        if path and path.is_dir():
            raise ValueError(f"--{option} {path}: is a folder; name a file")


def _input(arguments: argparse.Namespace) -> None:
    from tfsci import startup
    from tfsci.profile import feeding
    from tfsci.profile.feeding import given, text

    if (arguments.pipeline is None) == (arguments.data is None):
        raise ValueError(f"expected FILE.py:NAME or --data SPEC (see {arguments.prog} --help)")
    if arguments.needs and arguments.trace:
        raise ValueError("--needs, --trace: both say what the model needs; leave one of them out")
    if arguments.augment and not arguments.data:
        raise ValueError(f"--augment {arguments.augment}: is for --data; leave it out")
    rate = feeding.needed(arguments.trace) if arguments.trace else None
    startup.import_tensorflow()
    if arguments.data:
        size = arguments.batch_size or 48
        dataset = given.built_in(arguments.data, size, arguments.augment, arguments.data_dir)
    else:
        size, dataset = arguments.batch_size, given.scripted(arguments.pipeline)
    found = feeding.measure(dataset, size, arguments.needs, arguments.seconds)
    if rate:
        found = dataclasses.replace(found, needs=rate * found.batch_size)
    print(text.write(found))


def _roofline(arguments: argparse.Namespace) -> None:
    from tfsci import cache, machine, plots, startup

    for option, path in (("--json", arguments.json), ("--output", arguments.output)):
        if path and (not path.absolute().parent.is_dir() or path.is_dir()):
            raise ValueError(f"{option} {path}: expected a file in a folder that is there")
    if arguments.output and arguments.output.suffix.lower() != ".png":
        raise ValueError(f"--output {arguments.output}: expected a name that ends with .png")
    startup.import_tensorflow()
    from tfsci.profile import rates, roofline

    size, precision, free = arguments.batch_size, arguments.precision, machine.memory()[0] * 2**30
    own = {"input_shape": arguments.input_shape, "num_classes": arguments.num_classes}
    found, steps = rates.measure(arguments.models, size, precision, free, **own)
    print(roofline.report(found, steps))
    kept = cache.folder() / cache.MACHINE  # for `tfsci plan --machine local`
    kept.parent.mkdir(parents=True, exist_ok=True)
    roofline.write_json(kept, found, [])
    if arguments.json:
        roofline.write_json(arguments.json, found, steps)
    if arguments.output:
        plots.save_roofline(arguments.output, found, steps)
