"""A lesson while it runs: what it says and draws, what it claims, and the folder that keeps it."""

import argparse
import contextlib
import json
import re
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tfsci import command
from tfsci.distributed.launch import detect
from tfsci.lessons import cells, course, exercises, figures
from tfsci.progress import Progress
from tfsci.startup import import_tensorflow
from tfsci.training.options import Parser
from tfsci.training.run_folder import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Item = TypeVar("Item")

_WIDTH = 96

_FIGURE = re.compile(r"\d\d-[a-z0-9-]*\.png")


class _Event(NamedTuple):
    """Something said: where in the lesson's file, and how the report has it."""

    line: int
    text: str


class Lesson:
    """Prints what a lesson says, keeps its figures, and checks its claims.

    Under a launcher only the chief speaks and writes.

    Args:
        entry: Which lesson.
        output: The folder for figures, ``report.md`` and ``results.json``.
        quick: Whether to do a small part of the work, for tests.

    Attributes:
        quick: As given.
        output: As given.

    Raises:
        ValueError: The folder holds something else.
        OSError: It can't be made.
    """

    def __init__(self, entry: course.Entry, output: Path, quick: bool = False):
        self.entry, self.output, self.quick = entry, output, quick
        self._chief = detect().rank == 0
        self._start, self._section = time.monotonic(), 0
        self._events: list[_Event] = []
        self._claims: list[dict[str, object]] = []
        self._figures: list[str] = []
        self._file = Path(sys.modules["__main__"].__dict__.get("__file__", ""))
        scripted = self._file.name == f"{entry.name}.py"
        self._cells = cells.read(self._file) if scripted else []
        if self._chief:
            _take(output)
            self._keep_results()
            print(f"{entry.number} · {entry.title} · at most {entry.minutes} minutes on two cores")

    def choose(self, full: Item, quick: Item) -> Item:
        """Returns what the lesson takes, or, with ``--quick``, the small part of it."""
        return quick if self.quick else full

    def section(self) -> None:
        """Says that the section begins whose heading is the last above this line of the file."""
        *headings, _ = [cell for cell in self._cells if cell.heading] or [None]  # the exercises
        above = [cell for cell in headings if cell.first < self._line()]
        if above and self._chief:
            seconds = int(time.monotonic() - self._start)
            where = f"{len(above)}/{len(headings)} · {seconds // 60}:{seconds % 60:02}"
            print(f"\n[{where}] {above[-1].heading}", flush=True)

    def say(self, text: str) -> None:
        """Prints a sentence with its numbers, and keeps it for the report."""
        self._tell(text, text)

    def claim(self, statement: str, holds: bool) -> None:
        """Prints a claim, and whether it holds; the lesson fails at its end where one does not.

        Args:
            statement: A sentence, with the numbers that show it.
            holds: Whether it is so.
        """
        self._claims.append({"statement": statement, "holds": bool(holds)})
        sign = "✓" if holds else "✗ does not hold here:"
        self._tell(f"{sign} {statement}", f"- {sign} {statement}")

    def compare(self, what: str, found: float, known: float, within: float, unit: str = "") -> None:
        """Claims that a result is what is known of it.

        Args:
            what: The quantity.
            found: The lesson's result.
            known: The known answer.
            within: The largest difference.
            unit: Of all three.
        """
        unit = f" {unit}" if unit else ""
        found_text, known_text, most = (f"{x:.4g}{unit}" for x in (found, known, within))
        statement = f"{what}: found {found_text}, known {known_text} (within {most})"
        self.claim(statement, abs(found - known) <= within)
        self._claims[-1].update(what=what, found=float(found), known=float(known))

    def track(self, items: Sequence[Item], what: str) -> Iterator[Item]:
        """Yields the items with a progress line where that takes long, and nobody is in a hurry."""
        progress = Progress(what, len(items)) if self._chief and not self.quick else None
        for done, item in enumerate(items):
            yield item
            if progress:
                progress.update(done + 1)
        if progress:
            progress.close()

    @contextlib.contextmanager
    def figure(self, title: str, rows: int = 1, columns: int = 1) -> "Iterator[Axes]":
        """Draws a figure for a lecture hall, and keeps it.

        Args:
            title: What one sees in it, as a sentence.
            rows: Of Axes.
            columns: Of Axes.

        Yields:
            The Axes, or an array of them where there are several.

        Raises:
            ValueError: An axis has no label.
        """
        line = self._line()
        with figures.style():
            figure = figures.empty(title, rows, columns)
            yield figure.axes[0] if rows * columns == 1 else figure.axes
            figures.check(figure)
            if not self._chief:
                return
            slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-")
            name = f"{len(self._figures) + 1:02}-{slug}.png"
            with replacing(self.output / name) as path:
                figure.savefig(path, dpi=100)
        self._figures.append(name)
        self._keep_results()
        self._events.append(_Event(line, f"![{' '.join(title.split())}]({name})"))
        if self._cells:
            print(f"→ {self.output / name}", flush=True)
        else:
            from IPython.display import Image, display

            display(Image(filename=self.output / name))

    def end(self) -> None:
        """Writes the report, asks the exercises, and ends with exit code 1 if a claim failed."""
        if not self._chief:
            return
        asked = exercises.of(self.entry)
        seconds = time.monotonic() - self._start
        failed = [claim for claim in self._claims if not claim["holds"]]
        self._keep_results(finished=True)
        if self._cells:
            with replacing(self.output / "report.md") as path:
                path.write_text(self._report(), "utf-8")
        print("\nExercises")
        for number, exercise in enumerate(asked, 1):
            print(textwrap.fill(exercise.question, _WIDTH, initial_indent=f"{number}. ",
                                subsequent_indent="   "))  # fmt: skip
            print(f"   tfsci lessons check {self.entry.number} --exercise {number} ANSWER")
        held = len(self._claims) - len(failed)
        minutes = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
        kept = self.output / ("report.md" if self._cells else "")
        print(f"\n{held} of {len(self._claims)} claims hold · {minutes} · {kept}")
        if failed and self._cells:
            sys.exit(1)

    def _keep_results(self, finished: bool = False) -> None:
        """Writes ``results.json``; by it a lesson that was cut short knows its folder again."""
        results = {
            "lesson": self.entry.name,
            "finished": finished,
            "quick": self.quick,
            "seconds": round(time.monotonic() - self._start, 1),
            "claims": self._claims,
            "figures": self._figures,
        }
        with replacing(self.output / "results.json") as path:
            path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")

    def _report(self) -> str:
        parts = []
        for cell in self._cells:
            told = [event.text for event in self._events if cell.first <= event.line <= cell.last]
            parts += [cell.text] if cell.prose else told
        return re.sub(r"(?m)^(- .*)\n\n(?=- )", r"\1\n", "\n\n".join(parts)) + "\n"

    def _tell(self, text: str, report: str) -> None:
        if self._chief:
            print(textwrap.fill(text, _WIDTH, subsequent_indent="  "), flush=True)
            self._events.append(_Event(self._line(), report))

    def _line(self) -> int:
        """Returns the line of the lesson's file that runs."""
        frame = sys._getframe(1)
        while frame and self._cells and Path(frame.f_code.co_filename) != self._file:
            frame = frame.f_back
        return frame.f_lineno if frame else 0


def start(number: str) -> Lesson:
    """Starts a lesson with the options of its command line, ``--quick`` and ``--output``.

    Args:
        number: Its number.

    Returns:
        The lesson. Where it needs TensorFlow that has been imported, without its chatter.
    """
    entry = course.find(number)
    parser = Parser(
        f"{entry.name}.py",
        description=f"{entry.title}: {entry.teaches}.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a small part, in less than a minute")
    parser.add_argument(
        "--output", type=Path, default=entry.output, help="folder for what it makes"
    )
    made = []

    def begin():
        given = parser.parse_args(sys.argv[1:] if _is_script(entry) else [])
        if entry.tensorflow:
            import_tensorflow()
        made.append(Lesson(entry, given.output, given.quick))

    command.run(begin)
    if _is_script(entry):
        sys.excepthook = _fail
    return made[0]


def _is_script(entry: course.Entry) -> bool:
    return Path(sys.argv[0]).name == f"{entry.name}.py"


def _fail(kind: type, error: BaseException, trace: object) -> None:
    """Ends a lesson as all commands end: with one line, where the user can mend it."""

    def again():
        raise error

    command.run(again)


def _take(output: Path) -> None:
    """Makes the folder, or empties it of what the lesson left there earlier."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output}: is a file; name a folder")
    output.mkdir(parents=True, exist_ok=True)
    if not any(output.iterdir()):
        return
    try:
        left = json.loads((output / "results.json").read_text(encoding="utf-8"))["figures"]
        earlier = [name for name in left if _FIGURE.fullmatch(name)]
    except (OSError, ValueError, LookupError, TypeError):
        raise ValueError(
            f"--output {output}: holds something that is no lesson's; name another folder"
        ) from None
    for name in [*earlier, "report.md", "results.json"]:
        (output / name).unlink(missing_ok=True)
