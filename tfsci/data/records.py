"""Records of TFRecord files in any order, by an index of where each lies.

A TFRecord is 8 bytes of length, 4 of checksum, the data and 4 of checksum. The index is found by
reading the lengths alone. Records are read one by one into memory that is given back, not mapped:
resident memory is that of the batches on their way, whatever the size on disk.
"""

import os
import resource
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfsci.data.example import Feature
from tfsci.data.source import Reader, as_input

HEADER, FOOTER = 12, 4
_SCAN = 1 << 20  # bytes read at once to find short records


class Index(NamedTuple):
    """Where the samples of a split lie; three arrays of the same length.

    Attributes:
        file: Number of the file.
        x: Where the record, or what is wanted of it, begins, in bytes.
        y: Of a record, its length; of a pair, where the target begins, or the label itself.
    """

    file: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def take(self, rows) -> "Index":
        """Returns some of the places."""
        return Index(*(column[rows] for column in self))

    @classmethod
    def join(cls, parts: Sequence["Index"]) -> "Index":
        """Returns the places of all parts, one after the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    @classmethod
    def of(cls, file: int, x: Sequence[int], y: Sequence[int]) -> "Index":
        """Returns the places in one file."""
        return cls(np.full(len(x), file, "int32"), np.array(x, "int64"), np.array(y, "int64"))


def scan(path: Path, file: int = 0) -> Index:
    """Returns where the records of a TFRecord file begin, and their lengths.

    Args:
        path: The file, not compressed.
        file: Its number in the index.

    Raises:
        ValueError: The file ends within a record, or is no TFRecord file.
    """
    starts, lengths, place = [], [], 0
    with open(path, "rb", buffering=0) as stream:
        size, window, start = os.fstat(stream.fileno()).st_size, b"", 0
        while place < size:
            if not start <= place <= start + len(window) - 8:
                window, start = os.pread(stream.fileno(), _SCAN, place), place
            header = window[place - start : place - start + 8]
            length = struct.unpack("<Q", header)[0] if len(header) == 8 else size
            end = place + HEADER + length + FOOTER
            if end > size:
                raise ValueError(
                    f"{path}: ends within a record, or is no TFRecord file; "
                    "remove its folder and prepare the set anew"
                )
            starts.append(place + HEADER)
            lengths.append(length)
            place = end
    return Index.of(file, starts, lengths)


@dataclass(frozen=True)
class Records:
    """Samples that are parsed out of their records; like `Split`, on disk.

    Attributes:
        files: The TFRecord files.
        index: Where each record begins, and its length.
        parse: Makes inputs and targets of a batch of records; called when a reader is made.
        input_shape: Shape of one input, as the model gets it.
    """

    files: tuple[Path, ...]
    index: Index
    parse: Callable[[], Reader]
    input_shape: tuple[int, ...]

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(self.index.x)

    def first(self, number: int) -> "Records":
        """Returns the first samples."""
        return replace(self, index=self.index.take(slice(number)))

    def reader(self) -> Reader:
        """Returns what reads a batch from disk."""
        import tensorflow as tf

        files, parse = _open(self.files), self.parse()

        def read(rows: np.ndarray) -> np.ndarray:
            places = _rows(self.index, rows)
            return np.array([files[i].read(start, n) for i, start, n in places], dtype=object)

        def batch(rows):
            records = tf.numpy_function(read, [rows], tf.string, stateful=False)
            records.set_shape(rows.shape)
            return parse(records)

        return batch


@dataclass(frozen=True)
class Arrays:
    """Samples of one shape whose bytes are read straight from their records; like `Split`, on disk.

    Attributes:
        files: The TFRecord files.
        index: Where inputs and targets lie in them.
        x: What an input is.
        y: What a target is.
    """

    files: tuple[Path, ...]
    index: Index
    x: Feature
    y: Feature

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(self.index.x)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.x.shape

    def first(self, number: int) -> "Arrays":
        """Returns the first samples."""
        return replace(self, index=self.index.take(slice(number)))

    def reader(self) -> Reader:
        """Returns what reads a batch from disk."""
        import tensorflow as tf

        files = _open(self.files)

        def read(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            places = list(_rows(self.index, rows))
            x = np.empty((len(places), *self.x.shape), self.x.dtype)
            y = np.empty((len(places), *self.y.shape), self.y.dtype)
            for row, (i, x_place, _) in zip(x, places, strict=True):
                files[i].read_into(row, x_place)
            if self.y.is_label:
                return x, self.index.y[rows].astype(self.y.dtype)
            for row, (i, _, y_place) in zip(y, places, strict=True):
                files[i].read_into(row, y_place)
            return x, y

        def batch(rows):
            kinds = (self.x.dtype, self.y.dtype)
            x, y = tf.numpy_function(read, [rows], kinds, stateful=False)
            x.set_shape((*rows.shape, *self.x.shape))
            y.set_shape((*rows.shape, *self.y.shape))
            return as_input(x), y

        return batch


def _rows(index: Index, rows: np.ndarray) -> Iterator[tuple[int, int, int]]:
    return zip(*(column.tolist() for column in index.take(rows)), strict=True)


class _File:
    """A file that is open as long as something reads it."""

    def __init__(self, path: Path):
        self.path, self._descriptor = path, os.open(path, os.O_RDONLY)

    def read(self, start: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, start)
        self._check(len(data), length)
        return data

    def read_into(self, array: np.ndarray, start: int) -> None:
        self._check(os.preadv(self._descriptor, [array], start), array.nbytes)

    def _check(self, came: int, expected: int) -> None:
        if came != expected:
            raise ValueError(f"{self.path}: has become shorter while it was read; prepare it anew")

    def __del__(self):
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def _open(paths: Sequence[Path]) -> list[_File]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 2 * len(paths) + 256 > soft and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return [_File(path) for path in paths]
