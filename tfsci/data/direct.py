"""People's files as they lie: read, and decoded, each time a batch needs them.

Pictures are kept as they come, as decoded they take many times the space; a training that waits for
them is told to convert them once.
"""

from dataclasses import dataclass, replace

import numpy as np

from tfsci.data.collection import Collection
from tfsci.data.convert import check_classes, split_rows
from tfsci.data.source import SPLITS, Reader, Source, as_input


@dataclass(frozen=True)
class Files:
    """Samples that are a file each; like `Split`, on disk.

    Attributes:
        collection: What reads a file.
        rows: Index of each sample's file among the collection's parts.
        kept_by: The command after which nothing is left to decode.
    """

    collection: Collection
    rows: np.ndarray
    kept_by: str

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(self.rows)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.collection.shape

    def first(self, number: int) -> "Files":
        """Returns the first samples."""
        return replace(self, rows=self.rows[:number])

    def reader(self) -> Reader:
        """Returns what reads a batch from its files."""
        import tensorflow as tf

        parts, read = self.collection.parts, self.collection.read

        def load(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            pairs = [read(parts[i]) for i in self.rows[rows]]
            return tuple(np.concatenate(each) for each in zip(*pairs, strict=True))

        def decode(rows):
            kinds = (self.collection.dtype, "int32")
            x, y = tf.numpy_function(load, [rows], kinds, stateful=False)
            x.set_shape((*rows.shape, *self.input_shape))
            y.set_shape(rows.shape)
            return as_input(x), y

        decode.kept_by = self.kept_by  # for `tfsci.profile`
        return decode


def source(spec: str, collection: Collection, kept_by: str) -> Source:
    """Returns a set whose samples are a file each, in the splits that converting it would give.

    Args:
        spec: The data spec.
        collection: Whose parts are a sample each and know their labels.
        kept_by: As in `Files`.

    Raises:
        ValueError: A file can't be opened, or a class is in one split alone.
    """
    if collection.unreadable:  # rather than after hours, where it is one to test with
        raise collection.unreadable
    labels = np.array([part.label for part in collection.parts])
    given = np.array([SPLITS.index(p.split) if p.split else -1 for p in collection.parts])
    rows = split_rows(labels, given)
    check_classes(spec, labels, rows, collection)
    splits = (Files(collection, rows[name], kept_by) for name in SPLITS)
    return Source(spec, *splits, collection.num_classes, class_names=collection.class_names)
