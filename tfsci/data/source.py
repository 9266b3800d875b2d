"""What a data set is: three splits, what their labels mean, and the best score that is possible."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.7, 0.2, 0.1)

# Rows of a batch, int64 (B,), to its inputs (B, …) and targets, in TensorFlow's graph.
Reader = Callable[["tf.Tensor"], tuple["tf.Tensor", "tf.Tensor"]]


class Indexed(Protocol):
    """Samples that can be read in any order.

    Attributes:
        num_samples: Number of samples.
        input_shape: Shape of one input, as the model gets it.
    """

    num_samples: int
    input_shape: tuple[int, ...]

    def first(self, number: int) -> "Indexed":
        """Returns the first samples."""

    def reader(self) -> Reader:
        """Returns what reads a batch; made once, called in the graph of a pipeline."""


class Split(NamedTuple):
    """Samples in memory.

    Attributes:
        x: Inputs, shape (samples, …); uint8 for pictures, see `as_input`.
        y: Labels, int32, shape (samples,), or targets of any shape.
    """

    x: np.ndarray
    y: np.ndarray

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(self.y)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.x.shape[1:]

    def first(self, number: int) -> "Split":
        """Returns the first samples."""
        return Split(self.x[:number], self.y[:number])

    def reader(self) -> Reader:
        """Returns what reads a batch out of memory."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            x, y = tf.constant(self.x), tf.constant(self.y)
        return lambda rows: (as_input(tf.gather(x, rows)), tf.gather(y, rows))


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        name: The data spec, for example ``"digits"``.
        train: What the model learns from.
        validation: What choices are made by.
        test: What is looked at once, at the end.
        num_classes: Number of classes, or of tokens; None where targets are numbers.
        known_answer: The best value of `measure` that any model can have; None where nobody knows.
        measure: ``"accuracy"``, ``"loss"`` (nats) or ``"error"``.
        class_names: Of each class; None where they have no names.
    """

    name: str
    train: Indexed
    validation: Indexed
    test: Indexed
    num_classes: int | None
    known_answer: float | None = None
    measure: str = "accuracy"
    class_names: tuple[str, ...] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train.input_shape)

    @property
    def splits(self) -> dict[str, Indexed]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def as_input(x: "tf.Tensor") -> "tf.Tensor":
    """Returns what a model takes: pictures, stored as uint8, in 0 … 1; spins, int8, as floats."""
    import tensorflow as tf

    if x.dtype == tf.uint8:
        return tf.cast(x, tf.float32) / 255
    return tf.cast(x, tf.float32) if x.dtype == tf.int8 else x


def sizes(number: int) -> list[int]:
    """Returns how many of `number` samples each split has, by `FRACTIONS`."""
    ends = [round(number * end) for end in np.cumsum(FRACTIONS)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def stratified_split(
    labels: np.ndarray, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> list[np.ndarray]:
    """Cuts samples into parts in which every class has its share.

    Each class is shuffled and laid out evenly over the unit interval, which is then cut at the
    cumulative fractions: parts differ from their exact share by less than a sample a class.

    Args:
        labels: Class of each sample, shape (samples,).
        fractions: Share of each part; they sum to 1.
        seed: Of the shuffle. The split belongs to the data set, not to a training.

    Returns:
        Indices of each part in the order of their places in the interval, so that the first few
        of a part hold every class in its share, too.
    """
    generator = np.random.default_rng(seed)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        position[generator.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.argsort(position, kind="stable")
    cuts = np.searchsorted(position[order], np.cumsum(fractions)[:-1])
    return np.split(order, cuts)
