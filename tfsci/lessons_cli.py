"""`tfsci lessons`: what there is to learn, and how far one has come."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tfsci.lessons import course, exercises
from tfsci.training.options import Parser, positive_int
from tfsci.training.run_folder import replacing


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci lessons`; returns 1 for a wrong answer, and what a lesson ended with."""
    return _parser().run(argv)


def _parser() -> Parser:
    about = "Lessons, each a script that teaches by running. Without a command: lists them."
    parser = Parser("tfsci lessons", description=about)
    parser.set_defaults(run=_list)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(name, run, about):
        added = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        added.set_defaults(run=run)
        return added

    command("list", _list, "list the lessons, with the time they take and what has been run")
    running = command("run", _run, "run a lesson")
    running.add_argument("lesson", help="its number")
    running.add_argument("--quick", action="store_true", help="a small part, in less than a minute")
    running.add_argument("--output", type=Path, help="folder for what it makes")
    checking = command("check", _check, "check the answer to an exercise")
    checking.add_argument("lesson", help="its number")
    checking.add_argument("--exercise", type=positive_int, required=True, help="which, from 1")
    checking.add_argument("answer", help="a number or a word, as the exercise asks")
    writing = command("notebook", _notebook, "write a lesson as a Jupyter notebook")
    writing.add_argument("lesson", help="its number")
    writing.add_argument("--output", type=Path, help="the file; by default NAME.ipynb here")
    day = command("schedule", _schedule, "print the sessions of a day")
    day.add_argument("--half", action="store_true", help="of a course of half a day")
    return parser


def _list(arguments: argparse.Namespace) -> None:
    for entry in course.LESSONS:
        print(f"{entry.number}  {entry.title:56}≤ {entry.minutes} min  {_status(entry)}")
        print(f"    {entry.teaches}")
    print("\nto run one: tfsci lessons run 01, or python lessons/01_machine_learning.py")


def _status(entry: course.Entry) -> str:
    try:
        results = json.loads((entry.output / "results.json").read_text(encoding="utf-8"))
        held = [claim["holds"] for claim in results["claims"]]
        minutes, seconds = divmod(int(results["seconds"]), 60)
        quick = ", quick" if results["quick"] else ""
        if not results["finished"]:
            return "broken off"
    except (OSError, ValueError, LookupError, TypeError):
        return "not run yet"
    return f"ran in {minutes}:{seconds:02}{quick}, {sum(held)} of {len(held)} claims hold"


def _run(arguments: argparse.Namespace) -> int:
    command = [sys.executable, str(course.find(arguments.lesson).path)]
    command += ["--quick"] * arguments.quick
    if arguments.output:
        command += ["--output", str(arguments.output)]
    return subprocess.run(command, check=False).returncode


def _check(arguments: argparse.Namespace) -> int:
    return 0 if exercises.check(arguments.lesson, arguments.exercise, arguments.answer) else 1


def _notebook(arguments: argparse.Namespace) -> None:
    try:
        import jupytext
    except ImportError as error:
        raise ImportError(
            "tfsci lessons notebook: needs Jupytext; pip install 'tfsci[notebook]'"
        ) from error
    source = course.find(arguments.lesson).path
    output = arguments.output or Path(f"{source.stem}.ipynb")
    if output.suffix != ".ipynb":
        raise ValueError(f"--output {output}: expected a name that ends with .ipynb")
    if not output.parent.is_dir():
        raise FileNotFoundError(2, "no such folder", str(output.parent))
    notebook = jupytext.read(source, fmt="py:percent")
    with replacing(output) as path:
        jupytext.write(notebook, path, fmt="ipynb")
    print(f"wrote {output}; open it with Jupyter or VS Code")


def _schedule(arguments: argparse.Namespace) -> None:
    print(course.schedule("half a day" if arguments.half else "one day"))
