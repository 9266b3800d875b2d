"""What a data set is: three splits, a number of classes, and the best score that is possible."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Samples in memory.

    Attributes:
        x: Inputs, float32, shape (samples, …).
        y: Labels, int32, shape (samples,).
    """

    x: np.ndarray
    y: np.ndarray

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(self.y)


@dataclass(frozen=True)
class Source:
    """A data set for classification.

    Attributes:
        name: The data spec, for example ``"digits"``.
        train: What the model learns from.
        validation: What choices are made by.
        test: What is looked at once, at the end.
        num_classes: Number of classes.
        known_answer: The best accuracy that any model can have; None where nobody knows it.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    known_answer: float | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.train.x.shape[1:]


def stratified_split(
    labels: np.ndarray, fractions: Sequence[float] = (0.7, 0.2, 0.1), seed: int = 0
) -> list[np.ndarray]:
    """Cuts samples into parts in which every class has its share.

    Each class is shuffled and laid out evenly over the unit interval, which is then cut at the
    cumulative fractions: parts differ from their exact share by less than a sample a class.

    Args:
        labels: Class of each sample, shape (samples,).
        fractions: Share of each part; they sum to 1.
        seed: Of the shuffle. The split belongs to the data set, not to a training.

    Returns:
        Sorted indices of each part.
    """
    generator = np.random.default_rng(seed)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        position[generator.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    part = np.searchsorted(np.cumsum(fractions)[:-1], position, side="right")
    return [np.flatnonzero(part == i) for i in range(len(fractions))]
