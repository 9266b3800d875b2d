"""`python -m tfsci.profile [--output DIR] [--json FILE] SCRIPT [ARGS…]`."""

import argparse
import sys
from pathlib import Path

from tfsci.profile.running import run
from tfsci.profile.verdict import report


def main(arguments: list[str] | None = None, name: str = "python -m tfsci.profile") -> None:
    """Runs the script, tells what limits it, and ends as the script ended.

    Args:
        arguments: The command line's by default.
        name: What the user has typed.
    """
    options = _options(arguments, name)
    _check(options, name)
    path, raised = run(options.script, options.arguments, options.output)
    sys.stdout.flush()
    try:
        _tell(path, options)
    except (OSError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
    _end(raised, options.script)


def _options(arguments: list[str] | None, name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=name,
        description="Runs a script under TensorFlow's profiler and says what limits its training.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("profile"), metavar="DIR",
        help="where the trace goes, for TensorBoard too (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON, too")
    parser.add_argument("script", metavar="SCRIPT", help="the script, as python would be given it")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="its arguments")
    return parser.parse_args(arguments)


def _check(options: argparse.Namespace, name: str) -> None:
    """Ends with one line where what was asked for can't be, before the script takes its time."""
    wrong = None
    if not Path(options.script).is_file():
        wrong = f"{options.script}: no such script"
    elif options.json and not options.json.absolute().parent.is_dir():
        wrong = f"--json {options.json}: no such folder"
    elif options.output.exists() and not options.output.is_dir():
        wrong = f"--output {options.output}: not a folder"
    if wrong:
        print(f"{name}: error: {wrong}", file=sys.stderr)
        sys.exit(2)


def _tell(path: Path | None, options: argparse.Namespace) -> None:
    if path is None:
        raise ValueError("nothing was traced: the script did not come to use TensorFlow")
    found = report(path)
    print(f"\n{found.text}\n\ntrace: {path.parent}")
    if options.json:
        found.write_json(options.json)


def _end(raised: BaseException | None, script: str) -> None:
    if raised is None:
        return
    if isinstance(raised, SystemExit):
        raise raised
    frames = raised.__traceback__
    while frames and frames.tb_frame.f_code.co_filename != script:
        frames = frames.tb_next
    sys.stdout.flush()
    raised = raised.with_traceback(frames or raised.__traceback__)
    sys.excepthook(type(raised), raised, raised.__traceback__)
    sys.exit(130 if isinstance(raised, KeyboardInterrupt) else 1)


if __name__ == "__main__":
    main()
