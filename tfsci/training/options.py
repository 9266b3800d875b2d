"""The command line that all training scripts share, defined once."""

import argparse
import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tfsci.data import augment, catalog
from tfsci.distributed.strategy import STRATEGIES
from tfsci.training.schedules import DECAYS

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
OPTIMIZERS = ("sgd", "adamw")


@dataclass(frozen=True)
class Options:
    """How to train; the fields are the options of the command line.

    Attributes:
        data: A data spec, see `tfsci.data.catalog`.
        data_dir: Where prepared sets lie; see `tfsci.data.store.data_dir`.
        augment: What is done to training images, see `tfsci.data.augment`; ``""`` for nothing.
        epochs: Epochs in all.
        batch_size: Samples of a global batch, the sum over replicas.
        accumulate: Batches whose gradients make one update; see `training.accumulation`.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Peak learning rate for one replica; by default what
            `optimizers.default_rate` says.
        schedule: How it falls after the warm-up, a row of `schedules.DECAYS`.
        scale_lr: How it grows with the number of replicas: ``"none"``, ``"sqrt"``, ``"linear"``.
        warmup_epochs: Epochs over which it rises.
        weight_decay: Of kernels, decoupled: each update takes this, times the learning rate, of
            them away.
        clip_norm: Gradients whose global norm is longer are shortened to it; 0 leaves them.
        seed: Of weights, order and dropout.
        deterministic: Whether TensorFlow may run only operations that repeat to the bit.
        strategy: One of `STRATEGIES`.
        replicas: Local devices of mirrored replicas; all GPUs by default.
        compression: What gradients travel as, ``"none"`` or ``"fp16"``.
        reduction: How Horovod combines gradients, ``"average"`` or ``"adasum"``.
        horovod_timeline: Whether to write Horovod's timeline into the run folder.
        sync_batch_norm: Whether batch normalisation sees the global batch, not each replica's part.
        precision: Keras' dtype policy.
        jit: Whether XLA compiles the step: ``"auto"``, ``"on"``, ``"off"``.
        limit: Use the first so many samples of the data.
        output: The run folder; a new one under ``runs/`` by default.
        resume: Go on with the run in `output`.
        time_limit: Seconds after which to save and stop.
        checkpoint_minutes: Minutes between checkpoints, besides one after every epoch.
        keep_checkpoints: How many are kept.
        profile: Trace so many steps into the run folder; 0 for none.
        elastic: Go on with the ranks that are left, and take in new ones.
        quiet: Print the result alone.
    """

    data: str = "digits"
    data_dir: str | None = None
    augment: str = ""
    epochs: int = 10
    batch_size: int = 48
    accumulate: int = 1
    optimizer: str = "sgd"
    learning_rate: float | None = None
    schedule: str = "cosine"
    scale_lr: str = "none"
    warmup_epochs: float = 0
    weight_decay: float = 0
    clip_norm: float = 0
    seed: int = 0
    deterministic: bool = False
    strategy: str = "auto"
    replicas: int | None = None
    compression: str = "none"
    reduction: str = "average"
    horovod_timeline: bool = False
    sync_batch_norm: bool = False
    precision: str = "float32"
    jit: str = "auto"
    limit: int | None = None
    output: str | None = None
    resume: bool = False
    time_limit: float | None = None
    checkpoint_minutes: float = 10
    keep_checkpoints: int = 2
    profile: int = 0
    elastic: bool = False
    quiet: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Options":
        """Returns the shared options among parsed arguments."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(arguments, name) for name in names})


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, raised for the entry point to print."""

    def error(self, message: str):
        """Raises a ValueError with the message."""
        raise ValueError(f"{message} (see {self.prog} --help)")

    def run(self, argv: Sequence[str]) -> int:
        """Runs the subcommand that the arguments name, its default ``run``; shows help without."""
        arguments = self.parse_args(argv)
        if not hasattr(arguments, "run"):
            self.print_help()
            return 0
        return arguments.run(arguments) or 0


class _Help(argparse.HelpFormatter):
    """Shows the defaults that say something."""

    def _get_help_string(self, action):
        says = action.default not in (None, "", False, 0, argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if says else action.help


def parser(description: str, **defaults: object) -> Parser:
    """Returns the parser of a training script.

    Args:
        description: What the script does, for ``--help``.
        **defaults: Defaults of this script that differ from those of `Options`.
    """
    parser = Parser(description=description, formatter_class=_Help)
    add = parser.add_argument
    add("--data", metavar="SPEC", help=f"data spec: {', '.join(catalog.SPECS)}")
    add(
        "--data-dir",
        metavar="DIR",
        help="where prepared sets lie (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add("--augment", metavar="LIST", help=f"change training images at random: {augment.KNOWN}")
    add("--limit", type=positive_int, metavar="N", help="use the first N samples of the data")
    add("--epochs", type=positive_int, metavar="N", help="epochs in all")
    add("--batch-size", type=positive_int, metavar="N",
        help="samples of a global batch, the sum over replicas")  # fmt: skip
    add("--accumulate", type=positive_int, metavar="K",
        help="update after K batches, by their mean gradient")  # fmt: skip
    add("--optimizer", choices=OPTIMIZERS, help="sgd has momentum 0.9, adamw beta_2 0.95")
    add("--learning-rate", type=positive_float, metavar="RATE",
        help="peak, for one replica" + _default_rate(defaults))  # fmt: skip
    add("--schedule", choices=list(DECAYS), help="how the learning rate falls after the warm-up")
    add("--scale-lr", choices=["none", "sqrt", "linear"],
        help="how the learning rate grows with the number of replicas")  # fmt: skip
    add("--warmup-epochs", type=not_negative_float, metavar="N", help="the learning rate rises")
    add("--weight-decay", type=not_negative_float, metavar="RATE",
        help="of kernels, times the learning rate, at each update")  # fmt: skip
    add("--clip-norm", type=not_negative_float, metavar="NORM",
        help="shorten gradients of a longer global norm")  # fmt: skip
    add("--seed", type=not_negative_int, metavar="N", help="of weights, order and dropout")
    add("--deterministic", action="store_true",
        help="only operations that repeat to the bit, without XLA; slower")  # fmt: skip
    add("--strategy", choices=STRATEGIES, help="how replicas share the work")
    add(
        "--replicas",
        type=positive_int,
        metavar="N",
        help="mirrored: so many local devices (default: all GPUs); on a CPU, logical ones",
    )
    add("--compression", choices=["none", "fp16"], help="what gradients travel as (Horovod)")
    add("--reduction", choices=["average", "adasum"],
        help="how gradients are combined (Horovod; adasum needs MPI)")  # fmt: skip
    add("--horovod-timeline", action="store_true",
        help="write Horovod's timeline into the run folder, for chrome://tracing")  # fmt: skip
    add("--sync-batch-norm", action="store_true",
        help="normalise over the global batch, not over each replica's part")  # fmt: skip
    add("--precision", choices=PRECISIONS, help="what layers compute in")
    add("--jit", choices=["auto", "on", "off"], help="compile the step with XLA")
    add("--output", metavar="DIR", help="run folder (default: a new one under runs/)")
    add("--resume", action="store_true", help="go on with the run in --output")
    add("--time-limit", type=duration, metavar="TIME",
        help="save and stop after this long: minutes, or H:MM:SS")  # fmt: skip
    add("--checkpoint-minutes", type=positive_float, metavar="M",
        help="save every M minutes besides after every epoch")  # fmt: skip
    add("--keep-checkpoints", type=positive_int, metavar="K", help="keep the last K")
    add("--profile", type=positive_int, nargs="?", const=10, metavar="STEPS",
        help="trace STEPS steps (10) and say what holds the training back")  # fmt: skip
    add("--elastic", action="store_true",
        help="go on when ranks go or come, under horovodrun --host-discovery-script")  # fmt: skip
    add("--quiet", action="store_true", help="print the result alone")
    parser.set_defaults(**dataclasses.asdict(dataclasses.replace(Options(), **defaults)))
    return parser


def _default_rate(defaults: dict) -> str:
    if defaults.get("learning_rate"):
        return ""  # argparse tells it
    return " (default: 0.1 for digits, else 0.02; adamw: 0.001)"


def _number(kind: type, expected: str, good: Callable) -> Callable[[str], int | float]:
    def convert(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not good(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return convert


def duration(text: str) -> float:
    """Returns the seconds of a time in minutes, or as H:MM:SS or MM:SS."""
    if re.fullmatch(r"(\d{1,4}:)?\d{1,2}:\d\d", text):
        seconds = 0
        for part in text.split(":"):
            seconds = 60 * seconds + int(part)
    elif re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        seconds = 60 * float(text)
    else:
        seconds = 0
    if not seconds:
        raise argparse.ArgumentTypeError(f"expected minutes above 0 or H:MM:SS, got {text!r}")
    return seconds


_FINITE = float("inf")
positive_int = _number(int, "a whole number above 0", lambda n: n > 0)
not_negative_int = _number(int, "a whole number from 0 up to 2³²", lambda n: 0 <= n < 2**32)
positive_float = _number(float, "a number above 0", lambda x: 0 < x < _FINITE)
not_negative_float = _number(float, "a number from 0 up", lambda x: 0 <= x < _FINITE)
fraction = _number(float, "a number from 0 up to, not including, 1", lambda x: 0 <= x < 1)


def shape(text: str) -> tuple[int, ...]:
    """Returns the sizes of a sample that are given with commas between: ``64,64,3``."""
    try:
        return tuple(positive_int(edge) for edge in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers above 0 with commas between, such as 64,64,3; got {text!r}"
        ) from None
