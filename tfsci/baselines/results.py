"""What a comparison of baselines has found: numbers, a table and files."""

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tfsci.baselines.measures import MEASURES
from tfsci.baselines.trained import Trained


@dataclass(frozen=True)
class Result:
    """How good a baseline is; scores are of its `measure`.

    Attributes:
        name: A row of `table.BASELINES`.
        title: Same.
        measure: A row of `measures.MEASURES`.
        settings: What was chosen from its grid, by the validation samples.
        cross_validation: Mean over the folds of the training samples.
        standard_error: Of that mean: the folds' standard deviation over √folds. The fits share
            samples, so it is rather too small (Bengio & Grandvalet, JMLR 5, 2004, 1089).
        training: On the samples that it was fitted to.
        validation: On those that settings are chosen by.
        test: On those that nothing was chosen by.
        test_standard_error: Sampling error of `test`; None where the measure has none.
        seconds: To fit it to all training samples.
        others: Further measures of the test samples, by name.
        notes: What scikit-learn warned of in any of the fits, such as "did not converge"; or why
            one failed, in which case scores are NaN.
    """

    name: str
    title: str
    measure: str
    settings: Mapping[str, object]
    cross_validation: float
    standard_error: float
    training: float
    validation: float
    test: float
    test_standard_error: float | None
    seconds: float
    others: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def badness(self) -> float:
        """Grows from the best result to the worst; NaN counts as the worst."""
        worse = -self.test if MEASURES[self.measure].higher_is_better else self.test
        return math.inf if math.isnan(worse) else worse


@dataclass(frozen=True)
class Comparison:
    """Baselines, and trained networks, on the same data.

    Attributes:
        data: The data spec.
        measure: What baselines that are told the targets are measured by.
        known_answer: Its best value that any model can have; None where nobody knows.
        samples: Samples of each split.
        folds: Of the cross-validation.
        seed: Of folds and baselines.
        results: Of the baselines, best first among those with the same measure.
        trained: Of networks, from their run folders.
    """

    data: str
    measure: str
    known_answer: float | None
    samples: Mapping[str, int]
    folds: int
    seed: int
    results: Sequence[Result]
    trained: Sequence[Trained] = ()

    @property
    def ranked(self) -> list[Result | Trained]:
        """Those measured by `measure`, best first."""
        these = [r for r in (*self.results, *self.trained) if r.measure == self.measure]
        return sorted(these, key=lambda result: result.badness)

    @property
    def in_order(self) -> tuple[Result, ...]:
        """The results of baselines: those of `ranked`, then those of `structure`."""
        ranked = [result for result in self.ranked if isinstance(result, Result)]
        return (*ranked, *self.structure)

    @property
    def structure(self) -> list[Result]:
        """Those that find structure, each with a measure of its own."""
        return [result for result in self.results if result.measure != self.measure]

    def as_dict(self) -> dict[str, object]:
        """Returns what `metrics.json` holds; None stands for what is not defined."""
        return _finite(dataclasses.asdict(self))

    def as_csv(self) -> str:
        """Returns a row a result, numbers in full precision."""
        columns = [f.name for f in dataclasses.fields(Result)]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for result in (*self.ranked, *self.structure):
            row = _finite(dataclasses.asdict(result))
            row = {key: value for key, value in row.items() if key in columns}
            for key in ("settings", "others"):
                row[key] = _pairs(row.get(key, {}))
            writer.writerow(row | {"notes": "; ".join(row.get("notes", ()))})
        return text.getvalue()

    def as_text(self) -> str:
        """Returns the tables that a terminal shows; what nobody can beat is the last line."""
        label = MEASURES[self.measure].label
        parts = []
        if self.structure:
            rows = [("structure", "measure", *_COLUMNS)]
            rows += [(r.title, MEASURES[r.measure].label, *_cells(r)) for r in self.structure]
            others = [(r.title, _pairs(r.others, ".3f", " = ")) for r in self.structure if r.others]
            parts += [*_table(rows, 2), "", *map(": ".join, others), *([""] if others else [])]
        rows = [("baseline", "settings", *_COLUMNS)]
        for result in self.ranked:
            settings = getattr(result, "settings", {})
            rows.append((result.title, _pairs(settings), *_cells(result)))
        best = "unknown" if self.known_answer is None else f"{self.known_answer:.3f}"
        rows.append((f"best possible {label}", "", "", "", best, ""))
        notes = [f"{r.title}: {note}" for r in self.results for note in r.notes]
        if len(rows) == 2:
            return "\n".join([*parts, *notes]).rstrip()
        *body, last = _table(rows, 2)
        return "\n".join([*parts, *body, *notes, last])


_COLUMNS = ("cross-validation", "validation", "test", "seconds")


def _cells(result: Result | Trained) -> tuple[str, ...]:
    if isinstance(result, Trained):
        return ("", "", _number(result.test), "")
    crossed = f"{_number(result.cross_validation)} ± {_number(result.standard_error)}"
    scores = (_number(score) for score in (result.validation, result.test))
    return (crossed, *scores, _number(result.seconds, ".2f"))


def _number(value: float, form: str = ".3f") -> str:
    return "–" if math.isnan(value) else format(value, form)


def _pairs(values: Mapping[str, object], form: str = "", equals: str = "=") -> str:
    def text(value):
        return format(value, form if isinstance(value, float) else "")

    return ", ".join(f"{key}{equals}{text(value)}" for key, value in values.items())


def _table(rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """Returns rows in columns; all but the first so many are of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _finite(value):
    """Returns a value as JSON can hold it."""
    match value:
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value
