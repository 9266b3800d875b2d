"""What the course consists of: its lessons, and the days that they fill."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A lesson of the course.

    Attributes:
        number: ``"04"``.
        slug: The name of its file without the number: ``"convolutional_networks"``.
        title: What it is called.
        minutes: How long it runs on two cores, at most.
        teaches: What one knows afterwards, in a line.
        tensorflow: Whether it needs TensorFlow from its first line.
    """

    number: str
    slug: str
    title: str
    minutes: int
    teaches: str
    tensorflow: bool = True

    @property
    def name(self) -> str:
        """The name of its file without the ending."""
        return f"{self.number}_{self.slug}"

    @property
    def output(self) -> Path:
        """Where it writes to by default."""
        return Path("runs", "lessons", self.name.replace("_", "-"))

    @property
    def path(self) -> Path:
        """Its file, in the folder ``lessons`` of the clone.

        Raises:
            FileNotFoundError: There is none: the package was installed without its lessons.
        """
        for folder in (Path("lessons"), Path(__file__).parents[2] / "lessons"):
            if (path := folder / f"{self.name}.py").is_file():
                return path
        raise FileNotFoundError(
            f"lessons/{self.name}.py: not here; lessons come with a clone of the repository, run "
            "this in it"
        )


LESSONS = (
    Entry("01", "machine_learning", "Machine learning for science", 3,
          "fit, validate, test; too simple and too flexible; why never to peek", tensorflow=False),
    Entry("02", "deep_learning", "Introduction to deep learning", 3,
          "from a line to a network, with back-propagation by hand"),
    Entry("03", "data_pipelines", "Building data pipelines", 3,
          "twenty times faster in steps, each predicted before it is made"),
    Entry("04", "convolutional_networks", "Convolutional networks", 3,
          "convolution by hand; what limits a model: capacity, data, labels or imbalance"),
    Entry("05", "profiling", "Profiling deep learning", 5,
          "eight stages from naive to fast, each named by the profiler; honest rates"),
    Entry("06", "responsible_ai", "AI ethics and responsible data science", 3,
          "calibration, uncertainty, groups that a set under-represents; a model card"),
    Entry("07", "neural_operators", "Transfer and multi-task learning with neural operators", 5,
          "a DeepONet against an exact solution; transfer with a tenth of the data"),
    Entry("08", "distributed", "Distributed deep learning", 5,
          "the eight steps of data parallelism, each broken on purpose; scaling"),
    Entry("09", "portability", "AI test beds: one model on many backends", 3,
          "TensorFlow, JAX and PyTorch give the same; export, reload, time"),
    Entry("10", "transformers", "Transformers", 3,
          "attention by hand; what it costs; which tokens it looks at"),
    Entry("11", "language_models", "Language models", 5,
          "a GPT against its entropy floor; sampling; a scaling law"),
)  # fmt: skip


@dataclass(frozen=True)
class Session:
    """A part of a day.

    Attributes:
        time: When it starts.
        what: A lesson's number, or what else is done.
        room: Where several go on at a time.
    """

    time: str
    what: str
    room: str = ""


DAYS = {
    "one day": (
        Session("8:30", "01"),
        Session("9:10", "02", "main room"),
        Session("9:10", "03", "breakout"),
        Session("10:15", "break"),
        Session("10:45", "04", "main room"),
        Session("10:45", "05", "breakout"),
        Session("12:00", "06"),
        Session("12:30", "lunch"),
        Session("13:30", "07"),
        Session("14:00", "08"),
        Session("15:00", "break"),
        Session("15:30", "09"),
        Session("16:15", "10"),
        Session("17:00", "11"),
        Session("17:45", "questions"),
    ),
    "half a day": (
        Session("8:30", "01"),
        Session("9:10", "02"),
        Session("9:50", "04"),
        Session("10:30", "break"),
        Session("10:45", "05"),
        Session("11:25", "08"),
        Session("12:15", "questions"),
    ),
}


def find(number: str) -> Entry:
    """Returns a lesson by its number, ``"4"`` or ``"04"``, or its name.

    Raises:
        ValueError: There is none.
    """
    wanted = number.zfill(2) if re.fullmatch(r"\d+", number) else number.removesuffix(".py")
    for entry in LESSONS:
        if wanted in (entry.number, entry.name, entry.slug):
            return entry
    raise ValueError(f"lesson {number!r}: expected one of {LESSONS[0].number} to "
                     f"{LESSONS[-1].number} (see tfsci lessons)")  # fmt: skip


def schedule(day: str = "one day") -> str:
    """Returns a day's sessions as a table of text.

    Args:
        day: A name in `DAYS`.
    """
    lines = []
    for session in DAYS[day]:
        titles = [entry for entry in LESSONS if entry.number == session.what]
        what = f"{session.what} {titles[0].title}" if titles else session.what
        room = f" ({session.room})" if session.room else ""
        lines.append(f"{session.time:>5}  {what}{room}")
    return "\n".join(lines)
