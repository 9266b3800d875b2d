"""Samples into TFRecord files, so many in each, and out of their records again."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci.data.example import Feature, serialize

if TYPE_CHECKING:
    import tensorflow as tf


def write(
    samples: Iterable[Mapping[str, np.ndarray]],
    features: Sequence[Feature],
    folder: str | Path,
    per_file: int,
) -> list[str]:
    """Writes samples as TFRecord files, one after the other.

    Args:
        samples: Arrays by their keys.
        features: How they lie in a record.
        folder: Where the files go; made if missing.
        per_file: Samples in each; the last may hold fewer.

    Returns:
        The files' names in order.

    Raises:
        ValueError: `per_file` is not positive.

    Example:
        >>> features = (Feature("x", "float32", (2,)), Feature("y", "int64", ()))
        >>> write([{"x": [1, 2], "y": 0}] * 3, features, "shards", 2)  # doctest: +SKIP
        ['shards/00000.tfrecord', 'shards/00001.tfrecord']
    """
    import tensorflow as tf

    if per_file < 1:
        raise ValueError(f"per_file: expected at least 1; received {per_file}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    samples, names = iter(samples), []
    while group := list(itertools.islice(samples, per_file)):
        names.append(str(Path(folder, f"{len(names):05}.tfrecord")))
        with tf.io.TFRecordWriter(names[-1]) as writer:
            for sample in group:
                writer.write(serialize(sample, tuple(features)))
    return names


def parser(features: Sequence[Feature]) -> "Callable[[tf.Tensor], tuple[tf.Tensor, ...]]":
    """Returns what makes the arrays of one record, in the order of the features.

    Args:
        features: As they were written.

    Returns:
        A function for `map` on a `TFRecordDataset`.
    """
    import tensorflow as tf

    kinds = {
        f.key: tf.io.FixedLenFeature((), tf.int64 if f.is_label else tf.string) for f in features
    }

    def array(feature: Feature, value: "tf.Tensor") -> "tf.Tensor":
        if feature.is_label:
            return tf.cast(value, feature.dtype)
        return tf.reshape(tf.io.decode_raw(value, feature.dtype), feature.shape)

    def parse(record: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
        found = tf.io.parse_single_example(record, kinds)
        return tuple(array(feature, found[feature.key]) for feature in features)

    return parse
