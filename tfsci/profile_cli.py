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
    from tfsci.profile import page, serving
    from tfsci.profile.verdict import judge

    trace = profile.load(arguments.folder)
    shown = page.of_files(judge(trace), trace)
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
