"""From a split to the batches of one shard.

A global batch is cut over the shards: shard r of n gets its rows r·b/n … (r+1)·b/n. Put together,
the shards' batches are the same sequence for every n, so a training does not depend on n.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfsci.data.augment import Augmentation
from tfsci.data.source import Indexed, Reader
from tfsci.data.stream import Streamed

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Batches:
    """One shard's batches, and what all shards together make of them.

    The dataset's autotuner is switched off here, where every dataset passes: see
    `without_autotune`.

    Attributes:
        dataset: Pairs (x, y) to train on, without end, or triples (x, y, weight) to evaluate.
        steps: Batches in an epoch.
        batch_size: Samples of a global batch, over all shards.
        num_samples: Samples that count in an epoch, over all shards.
        from_step: Returns the same batches from another step on, counted over all epochs.
    """

    dataset: "tf.data.Dataset"
    steps: int
    batch_size: int
    num_samples: int
    from_step: "Callable[[int], Batches] | None" = None

    def __post_init__(self):
        object.__setattr__(self, "dataset", without_autotune(self.dataset))


def check_batch_size(batch_size: int, num_shards: int) -> None:
    """Raises a ValueError with the nearest sizes that work where n does not divide the batch."""
    if batch_size < 1 or batch_size % num_shards:
        below = max(0, batch_size // num_shards * num_shards)
        sizes = [str(size) for size in (below, below + num_shards) if size > 0]
        raise ValueError(
            f"--batch-size {batch_size}: the global batch is cut into {num_shards} equal parts, "
            f"one a rank; use {' or '.join(sizes)}"
        )


def steps_per_epoch(num_samples: int, batch_size: int) -> int:
    """Returns the full batches in an epoch; the last, partial one is dropped in training."""
    if batch_size > num_samples:
        raise ValueError(
            f"--batch-size {batch_size}: larger than the {num_samples} training samples; "
            f"use at most {num_samples}"
        )
    return num_samples // batch_size


def training(
    split: Indexed | Streamed,
    batch_size: int,
    seed: int = 0,
    shard_index: int = 0,
    num_shards: int = 1,
    first_step: int = 0,
    augment: Augmentation | None = None,
) -> Batches:
    """Returns the endless batches of one shard, in an order of its own for every epoch.

    Which rows make batch k follows from the seed and k alone, so starting at step k costs what
    starting at 0 does. (Not so for a streamed split; see `tfsci.data.stream`.)

    Args:
        split: What to draw from.
        batch_size: Size of the global batch.
        seed: Of the order and of the augmentation.
        shard_index: Which shard, 0 … num_shards − 1.
        num_shards: Number of shards.
        first_step: Where to start, counted over all epochs.
        augment: What is done to the inputs; it follows from the seed and the sample's place among
            all samples of the training, whatever the number of shards.

    Returns:
        Pairs (x, y) of batch_size / num_shards samples each.

    Raises:
        ValueError: The shards do not divide the batch, or the batch exceeds the samples.
    """
    import tensorflow as tf

    _check_shard(shard_index, num_shards)
    check_batch_size(batch_size, num_shards)
    num_samples = split.num_samples
    steps = steps_per_epoch(num_samples, batch_size)
    rows = batch_size // num_shards
    first_row = shard_index * rows

    def epoch_batches(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(num_samples), [seed, epoch])
        batches = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices(batches[:, first_row : first_row + rows])

    def augmented(step, pair):
        places = step * batch_size + first_row + tf.range(rows, dtype=tf.int64)
        return augment.apply(pair[0], places, seed), pair[1]

    if isinstance(split, Streamed):
        batches = split.training(steps, rows, seed, shard_index, num_shards).skip(first_step)
    else:
        epochs = tf.data.Dataset.range(first_step // steps, 2**31)
        batches = epochs.flat_map(epoch_batches).skip(first_step % steps)
        batches = _read(batches, split.reader())
    if augment is not None:
        batches = batches.enumerate(first_step).map(augmented, _cores(), deterministic=True)

    def from_step(step):
        return training(split, batch_size, seed, shard_index, num_shards, step, augment)

    return Batches(batches.prefetch(2), steps, batch_size, steps * batch_size, from_step)


def evaluation(
    split: Indexed | Streamed, batch_size: int, shard_index: int = 0, num_shards: int = 1
) -> Batches:
    """Returns the batches of one shard, in order, that hold every sample once.

    The last global batch is filled up with copies of the last sample at weight 0, so that all
    shards see the same number of full batches.

    Args:
        split: What to evaluate.
        batch_size: Size of the global batch.
        shard_index: Which shard, 0 … num_shards − 1.
        num_shards: Number of shards.

    Returns:
        Triples (x, y, weight) of batch_size / num_shards samples each; the weight is 1 for a
        sample and 0 for filling.

    Raises:
        ValueError: The shards do not divide the batch.
    """
    import tensorflow as tf

    _check_shard(shard_index, num_shards)
    check_batch_size(batch_size, num_shards)
    num_samples = split.num_samples
    rows = batch_size // num_shards
    steps = -(-num_samples // batch_size)
    if isinstance(split, Streamed):
        batches = split.evaluation(steps, rows, shard_index, num_shards)
        return Batches(batches.prefetch(2), steps, batch_size, num_samples)

    def places(step):
        return step * batch_size + shard_index * rows + tf.range(rows, dtype=tf.int64)

    def weighted(step, pair):
        return *pair, tf.cast(places(step) < num_samples, tf.float32)

    batches = tf.data.Dataset.range(steps).map(lambda i: tf.minimum(places(i), num_samples - 1))
    batches = _read(batches, split.reader()).enumerate().map(weighted)
    return Batches(batches.prefetch(2), steps, batch_size, num_samples)


def _read(batches: "tf.data.Dataset", reader: Reader) -> "tf.data.Dataset":
    return batches.map(reader, _cores(), deterministic=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def without_autotune(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Returns the dataset with tf.data's autotuner off, which makes every epoch wait for it.

    When an iterator ends, TensorFlow 2.21 joins the autotuner's thread, which sleeps 10, 20, 40 …
    ms and is not woken: an epoch's time is rounded up to the next of 0.63, 1.27, 2.55, 5.11,
    10.23 … s. See ``docs/keras-fit-waits-for-tf-data.md``.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _check_shard(shard_index: int, num_shards: int) -> None:
    if not 0 <= shard_index < num_shards:
        raise ValueError(f"shard_index {shard_index}: expected 0 … {num_shards - 1}")
