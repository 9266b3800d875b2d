"""The `tfsci` command."""

import sys
from collections.abc import Sequence

from tfsci import __version__, command

_COMMANDS = {
    "data": "list, prepare, show, check and export data sets",
    "doctor": "say whether this machine can train, and what is missing",
    "job": "print a job script for LSF, Slurm or PBS",
    "lessons": "list and run the lessons of the course, check answers",
    "models": "list models with their parameters, operations and memory",
    "plan": "say what a training needs and how it will scale",
    "profile": "say what holds a training back",
    "install-horovod": "build Horovod for this environment's TensorFlow and install it",
}

_HELP = f"""\
usage: tfsci [--version] COMMAND …

Deep learning for science, from a laptop to a supercomputer.

commands (tfsci COMMAND --help tells more):
{"".join(f"  {name:17}{text}{chr(10)}" for name, text in _COMMANDS.items())}
to train: python scripts/train_cnn.py --help
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command of `tfsci`; ends the process with its exit code.

    Args:
        argv: Arguments; the command line's by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command.run(lambda: _dispatch(arguments))


def _dispatch(arguments: list[str]) -> None:
    match arguments:
        case [] | ["-h" | "--help"]:
            print(_HELP, end="")
        case ["--version"]:
            print(f"tfsci {__version__}")
        case ["doctor", *rest]:
            from tfsci import doctor

            sys.exit(doctor.main(rest))
        case ["data", *rest]:
            from tfsci import data_cli

            sys.exit(data_cli.main(rest))
        case ["job", *rest]:
            from tfsci.job import command as job

            sys.exit(job.main(rest))
        case ["lessons", *rest]:
            from tfsci import lessons_cli

            sys.exit(lessons_cli.main(rest))
        case ["models", *rest]:
            from tfsci import models_cli

            sys.exit(models_cli.main(rest))
        case ["plan", *rest]:
            from tfsci import plan_cli

            sys.exit(plan_cli.main(rest))
        case ["profile", *rest]:
            from tfsci import profile_cli

            sys.exit(profile_cli.main(rest))
        case ["install-horovod", *rest]:
            from tfsci.distributed import install

            sys.exit(install.main(rest))
        case [name, *_]:
            *others, last = _COMMANDS
            known = f"{', '.join(others)} or {last}"
            raise ValueError(f"unknown command {name!r}; expected {known} (see tfsci --help)")
