"""A data set as scikit-learn takes it: every sample a row of numbers, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfsci.data import catalog
from tfsci.data.source import Indexed, Source, Split
from tfsci.data.stream import Streamed

MOST_SAMPLES = 20_000  # of a split: a support vector machine takes minutes
MOST_VALUES = 100_000_000  # of a split: 400 MB, of which scaling makes a copy

_TOKENS = ("sequences", "text")


@dataclass(frozen=True)
class Problem:
    """What baselines learn from, choose by and are tested on.

    Attributes:
        source: Where it is from.
        splits: Inputs, float32 of shape (samples, numbers), and targets of each split: classes,
            integers (samples,), or numbers, float32 (samples, …).
        used: Samples of each split that are used; fewer than the source has where those would not
            fit in memory.
    """

    source: Source
    splits: Mapping[str, Split]

    @property
    def task(self) -> str:
        """``"classes"`` or ``"numbers"``, as in `table.Baseline`."""
        return "classes" if self.source.measure == "accuracy" else "numbers"

    @property
    def used(self) -> dict[str, int]:
        """Samples of each split that are used."""
        return {name: split.num_samples for name, split in self.splits.items()}

    @property
    def num_inputs(self) -> int:
        """Numbers that make one input."""
        return self.splits["train"].x.shape[1]

    def headline(self) -> str:
        """Returns what is used, in one line or two."""
        sizes = "/".join(f"{number:,}" for number in self.used.values())
        shape = "×".join(map(str, self.source.input_shape))
        line = f"{self.source.name}, {sizes} samples to train/validate/test, {shape} numbers each"
        there = [split.num_samples for split in self.source.splits.values()]
        if there != list(self.used.values()):
            line += (
                f"\nuses the first samples of {'/'.join(f'{number:,}' for number in there)}: "
                f"baselines hold theirs in memory, at most {_most(self.source):,} of a split"
            )
        return line


def load(
    spec: str = "digits", limit: int | None = None, data_dir: str | Path | None = None
) -> Problem:
    """Returns the problem that a data spec names.

    Args:
        spec: As for `catalog.load`, like the other arguments.
        limit: Same.
        data_dir: Same.

    Raises:
        ValueError: As `catalog.load` does; or the targets are tokens, the samples can only be
            streamed, or are nothing to learn from.
        OSError: As `catalog.load` does.
    """
    if catalog.parse(spec)[0] in _TOKENS:  # before it is prepared
        raise ValueError(
            f"--data {spec}: its targets are tokens, which no baseline predicts; expected classes "
            "(such as digits, damage:2 or folder:DIR) or numbers (burgers)"
        )
    return of_source(catalog.load(spec, limit, data_dir))


def of_source(source: Source) -> Problem:
    """Reads the samples of a source, at most `MOST_SAMPLES` and `MOST_VALUES` of each split.

    Raises:
        ValueError: As for `load`.
    """
    splits = source.splits
    if any(isinstance(split, Streamed) for split in splits.values()):
        raise ValueError(
            f"--data {source.name}: can only be streamed, and baselines hold their samples in "
            f"memory; write it as files (tfsci data export {source.name} DIR) and use npz:DIR"
        )
    labelled = source.measure == "accuracy"
    if source.measure == "loss" or (labelled and not source.num_classes):
        raise ValueError(f"--data {source.name}: its targets are neither classes nor numbers")
    read = {name: _read(source, name, split) for name, split in splits.items()}
    problem = Problem(source, read)
    if labelled:
        _check_classes(problem)
    return problem


def _most(source: Source) -> int:
    return max(1, min(MOST_SAMPLES, MOST_VALUES // max(1, int(np.prod(source.input_shape)))))


def _read(source: Source, name: str, split: Indexed) -> Split:
    number = min(_most(source), split.num_samples)
    x = np.empty((number, int(np.prod(source.input_shape))), "float32")
    y, done = [], 0
    for batch, targets in _batches(source, name, split, number):
        x[done : done + len(batch)] = batch.reshape(len(batch), -1)
        y.append(targets)
        done += len(batch)
    y = np.concatenate(y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(
            f"--data {source.name}: has values that are not finite among its {name} samples; "
            f"tfsci data check {source.name} lists them"
        )
    return Split(x, y)


def _batches(source: Source, name: str, split: Indexed, number: int):
    if isinstance(split, Split):  # what is in memory needs no TensorFlow
        scale = np.float32(255 if split.x.dtype == np.uint8 else 1)
        yield split.x[:number] / scale, split.y[:number]
        return
    from tfsci.data import samples

    yield from samples.of_source(source).read(name, number)


def _check_classes(problem: Problem) -> None:
    _, counts = np.unique(problem.splits["train"].y, return_counts=True)
    if np.sum(counts > 1) < 2:
        raise ValueError(
            f"--data {problem.source.name}: expected at least two training samples of each of two "
            f"classes; its {counts.sum()} training samples have none; use more"
        )
