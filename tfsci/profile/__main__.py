"""`python -m tfsci.profile [--output DIR] [--json FILE] SCRIPT [ARGS…]`."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from tfsci.profile.reading import SUFFIX
from tfsci.profile.running import run
from tfsci.profile.tracing import rank_and_world_size
from tfsci.profile.verdict import report
from tfsci.startup import QuietImport

# How long rank 0 waits for the traces of the others, which end about when it does.
_SECONDS_FOR_OTHERS = 15.0


def main(arguments: list[str] | None = None, name: str = "python -m tfsci.profile") -> None:
    """Runs the script, tells what limits it, and ends as the script ended.

    Args:
        arguments: The command line's by default.
        name: What the user has typed.
    """
    options = _options(arguments, name)
    _check(options, name)
    sys.meta_path.insert(0, QuietImport())
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
    rank, world_size = rank_and_world_size()
    if rank > 0:  # the first tells of all
        return
    if path is None:
        raise ValueError("nothing was traced: the script did not come to use TensorFlow")
    if world_size > 1:
        _wait_for_others(path.parent, world_size)
        path = path.parent
    found = report(path)
    folder = shlex.quote(str(options.output))
    print(f"\n{found.text}\n\ntrace: {folder}; as a page: tfsci profile open {folder}")
    if options.json:
        found.write_json(options.json)


def _wait_for_others(folder: Path, world_size: int) -> None:
    """Waits for the other ranks' traces; one that has failed leaves none."""
    deadline = time.monotonic() + _SECONDS_FOR_OTHERS
    while (found := len(list(folder.glob(f"*{SUFFIX}")))) < world_size:
        if time.monotonic() > deadline:
            print(f"{found} of {world_size} ranks have left a trace", file=sys.stderr)
            return
        time.sleep(0.1)


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
