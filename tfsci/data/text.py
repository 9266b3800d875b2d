"""A text file as windows of bytes for language models, of any size: it is never held in memory."""

import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfsci.data.source import Reader

VOCABULARY_SIZE = 256


@dataclass(frozen=True)
class Windows:
    """A stretch of a file, cut into windows of bytes that lie side by side.

    Sample i is the bytes from start + i·length to start + (i + 1)·length, the last one included:
    each byte is predicted from those before it, so the windows share their outermost byte.

    Attributes:
        path: The file.
        start: Where the stretch begins.
        num_samples: Number of windows.
        length: Tokens a window.
    """

    path: Path
    start: int
    num_samples: int
    length: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (self.length,)

    def first(self, number: int) -> "Windows":
        """Returns the first windows."""
        return replace(self, num_samples=min(number, self.num_samples))

    def reader(self) -> Reader:
        """Returns what reads a batch from the file."""
        import tensorflow as tf

        def batch(rows):
            pair = tf.numpy_function(self.read, [rows], (tf.int32, tf.int32), stateful=False)
            return tuple(tf.ensure_shape(tokens, (*rows.shape, self.length)) for tokens in pair)

        return batch

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads windows; may be called from several threads at once.

        Args:
            indices: Which windows, integers of shape (n,), in any order.

        Returns:
            Tokens x and the tokens y that follow them, int32, both of shape (n, length).

        Raises:
            FileNotFoundError: The file is gone.
            ValueError: An index is out of range, or the file has become shorter or unreadable.
        """
        indices = np.asarray(indices)
        wrong = indices[(indices < 0) | (indices >= self.num_samples)]
        if wrong.size:
            raise ValueError(
                f"indices: expected 0 to {self.num_samples - 1}, the windows of {self.path}; "
                f"received {wrong[0]}"
            )
        tokens = np.empty((len(indices), self.length + 1), np.uint8)
        # Not mapped: pages of a mapped file count as this process's memory.
        file = _open(self.path)
        try:
            for row, index in zip(tokens, indices.tolist(), strict=True):
                if os.preadv(file, [row], self.start + index * self.length) != len(row):
                    raise ValueError(
                        f"{self.path}: has become shorter while it was in use; start anew"
                    )
        finally:
            os.close(file)
        return tokens[:, :-1].astype(np.int32), tokens[:, 1:].astype(np.int32)


def splits(path: Path, length: int = 128) -> tuple[Windows, Windows, Windows]:
    """Cuts a file 70/20/10, in order, so that no two splits share a byte.

    Args:
        path: The file.
        length: Tokens a window.

    Returns:
        Windows for training, validation and test. Up to length bytes at the end of each split are
        left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no readable file, or too short to give each split a window.
    """
    if length < 1:
        raise ValueError(f"length: expected at least 1; received {length}")
    if os.path.isdir(path):
        raise ValueError(f"{path}: a folder; expected one text file")
    os.close(_open(path))
    size = os.path.getsize(path)
    # The test split is ⌈size / 10⌉ bytes, and a window takes length + 1.
    needed = 10 * length + 1
    if size < needed:
        raise ValueError(
            f"{path}: has {size} bytes; expected at least {needed}, for windows of {length} in "
            "each split; use a longer text or shorter windows"
        )
    cuts = (0, size * 7 // 10, size * 9 // 10, size)
    train, validation, test = (
        Windows(path, start, (last - start - 1) // length, length)
        for start, last in itertools.pairwise(cuts)
    )
    return train, validation, test


def decode(tokens: np.ndarray) -> str:
    """Returns tokens as text; bytes that are not UTF-8 become the replacement character.

    >>> decode([104, 195, 169, 33, 195])
    'hé!\ufffd'
    """
    tokens = np.asarray(tokens)
    wrong = tokens[(tokens < 0) | (tokens >= VOCABULARY_SIZE)]
    if wrong.size:
        raise ValueError(
            f"tokens: expected bytes, 0 to {VOCABULARY_SIZE - 1}; received {wrong.flat[0]}"
        )
    return tokens.astype(np.uint8).tobytes().decode("utf-8", errors="replace")


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; expected a text file") from None
    except OSError as error:
        raise ValueError(
            f"{path}: can't be read ({error.strerror}); check its permissions"
        ) from None
