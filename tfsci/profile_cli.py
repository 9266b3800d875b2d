"""`tfsci profile`: what holds a training back, and what the machine could do."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from tfsci.training.options import Parser


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci profile`."""
    if argv[:1] == ["run"]:  # what follows the script is the script's
        from tfsci.profile import __main__ as running

        running.main(list(argv[1:]), name="tfsci profile run")
        return 0
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "run"):
        parser.print_help()
        return 0
    return arguments.run(arguments) or 0


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
    return parser


def _report(arguments: argparse.Namespace) -> None:
    from tfsci import profile

    found = profile.report(arguments.folder)
    print(found.text)
    if arguments.json:
        found.write_json(arguments.json)
