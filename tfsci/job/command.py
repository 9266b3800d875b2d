"""`tfsci job`: prints a job script, or writes it to a file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tfsci.job.request import SCHEDULERS, request
from tfsci.job.script import script
from tfsci.job.sites import SITES
from tfsci.training.options import Parser, not_negative_int, positive_int

_EPILOG = """\
example:
  tfsci job --site frontier --nodes 2 --gpus-per-node 8 --time 02:00:00 --account PROJECT \\
      --script "scripts/train_cnn.py --epochs 16 --strategy horovod" --output job.sh
"""


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci job`."""
    file, text = job_script(argv)
    if file is None:
        print(text, end="")
    else:
        _write(Path(file), text)
        print(f"{file}: made; its head says how to submit it")
    return 0


def job_script(argv: Sequence[str]) -> tuple[str | None, str]:
    """Returns the file that is to be written, None to print, and the text that goes there."""
    options = vars(_parser().parse_args(argv))
    file = options.pop("output")
    return file, script(request(file=file, **options))


def _parser() -> Parser:
    parser = Parser(
        "tfsci job",
        description="Print a job script that trains, saves before the limit, and goes on.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--scheduler", choices=SCHEDULERS, help="of the machine; a --site knows its own")
    add("--site", choices=list(SITES), help="a machine whose nodes and flags are known")
    add("--nodes", type=positive_int, required=True, metavar="N", help="how many")
    add("--gpus-per-node", type=not_negative_int, required=True, metavar="G",
        help="GPUs, dies or tiles, a rank each; 0 to train on CPUs")  # fmt: skip
    add("--ranks-per-node", type=positive_int, metavar="N", help="without GPUs (default: 1)")
    add("--cores-per-node", type=positive_int, metavar="N",
        help="to bind ranks to cores (default: the site's; else ranks are not bound)")  # fmt: skip
    add("--time", required=True, metavar="HH:MM:SS", help="the wall-clock limit of one go")
    add("--account", metavar="NAME", help="the project that pays")
    add("--queue", metavar="NAME", help="queue, partition or quality of service")
    add("--script", required=True, metavar="COMMAND",
        help="a training script and its options, in quotes; its --output DIR is the run folder "
        "that every go continues")  # fmt: skip
    add("--output", metavar="FILE", help="write it there (default: print it)")
    return parser


def _write(path: Path, text: str) -> None:
    """Writes a new file; one that is there may have been filled in by hand, and stays."""
    if path.exists() and (path.is_dir() or path.read_text(encoding="utf-8") != text):
        raise ValueError(f"--output {path}: is there already; name another file or delete it")
    path.write_text(text, encoding="utf-8")
