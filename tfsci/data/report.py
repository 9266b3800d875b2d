"""What a check of a data set found: problems, notes, and classes by split."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import NamedTuple

import numpy as np

from tfsci.data.source import SPLITS

SHOWN = 20  # lines of a kind
_UNEVEN = 3  # times as many samples in one class as in another


class Table(NamedTuple):
    """What is kept of all samples.

    Attributes:
        hashes: Of the inputs, uint64 (n,).
        labels: Classes (n,); None where targets are none.
        rows: Which samples are in each split.
        place: Gives the name of a sample.
    """

    hashes: np.ndarray
    labels: np.ndarray | None
    rows: Mapping[str, np.ndarray]
    place: Callable[[int], str]


@dataclass
class Report:
    """What was found.

    Attributes:
        spec: The data spec.
        samples: Number of samples that could be read, by split.
        counts: Samples of each class, by split; empty where targets are no classes.
        class_names: Where they have names.
        values: Least and greatest value of the inputs; None where nothing could be read.
        problems: What is wrong: lines by what they are about.
        notes: What may well be as it should be, in the same way.
    """

    spec: str
    samples: dict[str, int] = field(default_factory=dict)
    counts: dict[str, dict[int, int]] = field(default_factory=dict)
    class_names: Sequence[str] | None = None
    values: tuple[float, float] | None = None
    problems: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def problem(self, kind: str, line: str) -> None:
        """Adds a line to what is wrong."""
        self.problems.setdefault(kind, []).append(line)

    def note(self, kind: str, line: str) -> None:
        """Adds a line to what may well be as it should be."""
        self.notes.setdefault(kind, []).append(line)

    def name(self, label: int) -> str:
        """Returns what a class is called."""
        names = self.class_names
        return names[label] if names and 0 <= label < len(names) else f"class {label}"

    def judge(
        self, table: Table, num_classes: int | None, by_chance: bool = False, complete: bool = True
    ) -> None:
        """Counts samples and classes, and finds classes that splits lack and identical samples.

        Args:
            table: The samples.
            num_classes: Number of classes; where it is None, labels say it.
            by_chance: Samples are drawn, so identical ones and missing classes are notes.
            complete: Every file was read; if not, no class is said to be missing.
        """
        self.samples = {split: len(rows) for split, rows in table.rows.items()}
        if table.labels is not None and len(table.labels):
            for split, rows in table.rows.items():
                labels, counts = np.unique(table.labels[rows], return_counts=True)
                self.counts[split] = dict(zip(labels.tolist(), counts.tolist(), strict=True))
            self._balance()
            if complete:
                self._missing(num_classes, self.note if by_chance else self.problem)
        if complete:
            for split in SPLITS:
                if not self.samples[split]:
                    self.problem("empty", f"no sample is left for {split}; more are needed")
        self._identical(table, self.note if by_chance else self.problem)

    def _balance(self) -> None:
        counts = self.counts["train"]
        if counts and max(counts.values()) > _UNEVEN * min(counts.values()):
            most, least = max(counts, key=counts.get), min(counts, key=counts.get)
            self.note(
                "balance",
                f"classes are uneven: {counts[most]:,} training samples of {self.name(most)}, "
                f"{counts[least]:,} of {self.name(least)}",
            )

    def _missing(self, num_classes: int | None, say: Callable[[str, str], None]) -> None:
        present = set().union(*self.counts.values())
        for label in sorted(present):
            having = [split for split in SPLITS if label in self.counts[split]]
            if having == ["train"] or "train" not in having:
                number = sum(self.counts[split][label] for split in having)
                line = f"{self.name(label)} is in {' and '.join(having)} alone, with {number:,} "
                say("alone", line + f"sample{'s' * (number > 1)}; it can't be learnt and tested")
        end = num_classes or max(present) + 1
        if end > len(present):
            few = list(islice((n for n in count() if n not in present), min(5, end - len(present))))
            names = ", ".join(map(self.name, few)) + " …" * (end - len(present) > len(few))
            self.note("missing", f"of {end:,} classes no sample is there of {names}")

    def _identical(self, table: Table, say: Callable[[str, str], None]) -> None:
        split = np.full(len(table.hashes), -1)
        for number, name in enumerate(SPLITS):
            split[table.rows[name]] = number
        order = np.argsort(table.hashes, kind="stable")
        hashes = table.hashes[order]
        starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]]) if len(hashes) else []
        within = 0
        for group in np.split(order, starts[1:]) if len(starts) < len(hashes) else ():
            if len(group) == 1:
                continue
            found = {
                int(number): place
                for number, place in zip(split[group][::-1], group[::-1], strict=True)
            }
            within += len(group) - len(found)
            if len(found) > 1:
                places = [f"{SPLITS[n]} ({table.place(i)})" for n, i in sorted(found.items())]
                say("identical", f"the same sample is in {' and in '.join(places)}")
        if within:
            self.note(
                "copies", f"samples that are copies of another one of their split: {within:,}"
            )


def first_lines(findings: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yields the first lines of each kind, and how many more there are."""
    for kind, lines in findings.items():
        yield from lines[:SHOWN]
        if len(lines) > SHOWN:
            yield f"… and {len(lines) - SHOWN:,} more ({kind})"
