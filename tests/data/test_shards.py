import numpy as np
import pytest
import tensorflow as tf

from tfsci.data import shards
from tfsci.data.example import Feature

FEATURES = (Feature("x", "float32", (2, 3)), Feature("y", "int32", ()))


def samples(count):
    return [{"x": np.full((2, 3), i / 4, "float32"), "y": i} for i in range(count)]


def test_what_is_written_is_read_in_order(tmp_path):
    names = shards.write(iter(samples(7)), FEATURES, tmp_path / "new", 3)
    assert [name.rpartition("/")[2] for name in names] == [f"0000{i}.tfrecord" for i in range(3)]
    held = [sum(1 for _ in tf.data.TFRecordDataset(name)) for name in names]
    assert held == [3, 3, 1]
    pairs = list(tf.data.TFRecordDataset(names).map(shards.parser(FEATURES)))
    assert [int(y) for _, y in pairs] == list(range(7))
    for i, (x, y) in enumerate(pairs):
        assert (x.dtype, y.dtype, x.shape) == (tf.float32, tf.int32, (2, 3))
        np.testing.assert_array_equal(x, np.full((2, 3), i / 4))


def test_arrays_come_in_the_order_of_the_features(tmp_path):
    names = shards.write(samples(2), FEATURES, tmp_path, 2)
    y, x = next(iter(tf.data.TFRecordDataset(names).map(shards.parser(FEATURES[::-1]))))
    assert (x.shape, y.shape) == ((2, 3), ())


def test_a_file_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="per_file: expected at least 1; received 0"):
        shards.write(samples(2), FEATURES, tmp_path, 0)
