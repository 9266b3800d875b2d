"""Samples that can only be read in order, from the first to the last.

Each shard reads a stretch of its own, of equal length: every sample comes at most once an epoch
in training and exactly once in evaluation, in as many steps on every shard. Which samples meet in
a global batch depends on the number of shards, and starting at step k reads what comes before.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

_SHUFFLE_BYTES = 64 << 20  # of the samples that wait to be drawn from


@dataclass(frozen=True)
class Streamed:
    """Samples in order.

    Attributes:
        num_samples: Number of samples.
        input_shape: Shape of one input, as the model gets it.
        open: Gives the pairs (x, y) from one sample up to another, as a dataset; a seed in the
            third place mixes the files they come from.
    """

    num_samples: int
    input_shape: tuple[int, ...]
    open: Callable[[int, int, int | None], "tf.data.Dataset"]

    def first(self, number: int) -> "Streamed":
        """Returns the first samples."""
        return replace(self, num_samples=min(number, self.num_samples))

    def training(
        self, steps: int, rows: int, seed: int, shard_index: int, num_shards: int
    ) -> "tf.data.Dataset":
        """Returns the endless batches of a shard: `steps` of `rows` samples an epoch."""
        dataset = self._stretch(shard_index, num_shards, seed)
        waiting = max(rows, _SHUFFLE_BYTES // (4 * math.prod(self.input_shape)))
        dataset = dataset.shuffle(min(waiting, self.num_samples), seed)
        return dataset.take(steps * rows).batch(rows, drop_remainder=True).repeat()

    def evaluation(
        self, steps: int, rows: int, shard_index: int, num_shards: int
    ) -> "tf.data.Dataset":
        """Returns a shard's batches with weights, filled up to `steps` of `rows` samples."""
        import tensorflow as tf

        samples = self._stretch(shard_index, num_shards).map(lambda x, y: (x, y, 1.0))
        filling = tf.nest.map_structure(
            lambda spec: tf.zeros(spec.shape, spec.dtype), samples.element_spec
        )
        filled = samples.concatenate(tf.data.Dataset.from_tensors(filling).repeat())
        return filled.take(steps * rows).batch(rows, drop_remainder=True)

    def _stretch(self, shard_index: int, num_shards: int, seed: int | None = None):
        ends = (self.num_samples * i // num_shards for i in (shard_index, shard_index + 1))
        return self.open(*ends, seed)
