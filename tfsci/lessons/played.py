"""A store across a network and an accelerator, played by pauses.

Neither takes time of the processor, as the real ones do not, and both are as fast on every machine:
what a lesson predicts of them comes true on any laptop. What is read is really read.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci.data import shards
from tfsci.data.example import Feature

if TYPE_CHECKING:
    import tensorflow as tf


# Requests that may be on their way at once.
_THREADS = 16


class _Played:
    """Pauses, and notes when.

    Attributes:
        spans: Start, on the clock of `time.perf_counter`, and length of each pause in seconds.
    """

    def __init__(self):
        self.spans: list[tuple[float, float]] = []

    def _pause(self, seconds: float) -> None:
        start = time.perf_counter()
        time.sleep(seconds)
        self.spans.append((start, time.perf_counter() - start))


class Accelerator(_Played):
    """Trains on a batch, as far as anyone can see from outside.

    Args:
        seconds: For a step.

    Example:
        >>> Accelerator(0.01)("a batch")
    """

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def __call__(self, batch: object) -> None:
        """Takes its time over a batch."""
        self._pause(self.seconds)


class Store(_Played):
    """Files that take a while to open, and a while to send each sample in them.

    Args:
        opening: Seconds until a file is open, however large.
        record: Seconds for each sample in it.
        features: The arrays of a sample.
    """

    def __init__(self, opening: float, record: float, features: Sequence[Feature]):
        super().__init__()
        self.opening, self.record, self._features = opening, record, tuple(features)

    def slices(self, values: Sequence) -> "tf.data.Dataset":
        """Returns a dataset of values, such as names of files, in which nothing is done unasked.

        What is made of it has threads enough to wait for many files at once.
        """
        import tensorflow as tf

        options = tf.data.Options()
        options.threading.private_threadpool_size = _THREADS
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_optimization.inject_prefetch = False
        return tf.data.Dataset.from_tensor_slices(values).with_options(options)

    def read(self, path: str) -> tuple[np.ndarray, ...]:
        """Returns the sample in a ``.npz`` file of its own."""
        self._pause(self.opening + self.record)
        with np.load(path) as file:
            return tuple(file[f.key].reshape(f.shape).astype(f.dtype) for f in self._features)

    def load(self, path: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
        """Does the same in a pipeline: for `map`."""
        import tensorflow as tf

        kinds = [feature.dtype for feature in self._features]
        values = tf.numpy_function(lambda name: self.read(name.decode()), [path], kinds)
        each = zip(values, self._features, strict=True)
        return tuple(tf.ensure_shape(value, feature.shape) for value, feature in each)

    def pack(self, paths: Sequence[str], folder: str | Path, per_file: int) -> list[str]:
        """Writes the samples of ``.npz`` files as TFRecord files, and returns their names."""

        def samples():
            for path in paths:
                with np.load(path) as file:
                    yield {f.key: file[f.key].reshape(f.shape) for f in self._features}

        return shards.write(samples(), self._features, folder, per_file)

    def parse(self, record: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
        """Returns the sample in a record: for `map`."""
        return shards.parser(self._features)(record)

    def records(self, name: "tf.Tensor") -> "tf.data.Dataset":
        """Returns the records of a TFRecord file: for `flat_map` and `interleave`."""
        import tensorflow as tf

        def sent(value: "tf.Tensor", seconds: float) -> "tf.Tensor":
            def wait(value: bytes) -> bytes:
                self._pause(seconds)
                return value

            return tf.ensure_shape(tf.numpy_function(wait, [value], value.dtype), value.shape)

        # As TensorFlow does, open the file when the first record is asked for: `interleave` makes
        # its datasets one after the other, and reads from them side by side.
        opened = tf.data.Dataset.from_tensors(name).map(lambda name: sent(name, self.opening))
        records = opened.flat_map(tf.data.TFRecordDataset)
        return records.map(lambda record: sent(record, self.record))


class Queue(_Played):
    """An accelerator as it is: it takes work, returns at once, and does one step after the other.

    Args:
        seconds: For a step.

    Example:
        >>> Queue(0.01)("a batch").block_until_ready()
    """

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds, self._worker = seconds, ThreadPoolExecutor(1)

    def __call__(self, batch: object) -> "Pending":
        """Takes a batch, and returns before anything is done."""
        return Pending(self._worker.submit(self._pause, self.seconds))


class Pending:
    """A result that may not be there yet."""

    def __init__(self, future: Future):
        self._future = future

    def block_until_ready(self) -> None:
        """Waits for it, as a JAX array does."""
        self._future.result()
