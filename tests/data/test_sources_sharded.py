"""Every kind of source, cut over one to eight shards: the same global batches for any number."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tfsci.data import augment, catalog, pipeline
from tfsci.data.direct import Files
from tfsci.data.records import Arrays, Records, scan
from tfsci.data.source import Split
from tfsci.data.text import Windows

TOTAL = 60
KINDS = {
    "memory": Split,
    "npz": Arrays,
    "folder": Files,
    "converted": Arrays,
    "tfrecord": Records,
    "text": Windows,
}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """A training split of each kind, of 60 samples or a few more, no two of them equal."""
    root = tmp_path_factory.mktemp("sources")
    values = np.arange(90, dtype="float32")
    x = np.broadcast_to(values[:, None, None, None], (90, 4, 4, 1)).copy()
    np.savez(root / "many.npz", x=x, y=np.arange(90) % 3)
    for i in range(90):
        folder = root / f"pictures/class-{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), i, "uint8")).save(folder / f"{i}.png")
    (root / "text").write_bytes(np.random.default_rng(0).bytes(1000))
    path = root / "plain.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in range(TOTAL):
            writer.write(bytes([i]))

    def parse():
        def parse_(records):
            number = tf.reshape(tf.io.decode_raw(records, tf.uint8), (-1,))
            return tf.cast(number, tf.float32), tf.cast(number, tf.int32)

        return parse_

    def load(spec):
        return catalog.load(spec, data_dir=root / "prepared").train

    return {
        "memory": Split(x[:TOTAL], np.arange(TOTAL, dtype="int32")),
        "npz": load(f"npz:{root / 'many.npz'}"),
        "folder": load(f"folder:{root / 'pictures'},size=8"),
        "converted": catalog.prepare(f"folder:{root / 'pictures'},size=9", root / "prepared").train,
        "tfrecord": Records((path,), scan(path), parse, ()),
        "text": load(f"text:{root / 'text'},length=10"),
    }


@st.composite
def cuts(draw):
    num_shards = draw(st.integers(1, 8))
    num_samples = draw(st.integers(num_shards, TOTAL))
    batch_size = num_shards * draw(st.integers(1, num_samples // num_shards))
    return num_samples, batch_size, num_shards


def drawn(batches, steps):
    """Column by column, the first batches one above the other."""
    taken = list(batches.dataset.take(steps).as_numpy_iterator())
    return [np.stack(column) for column in zip(*taken, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
class TestEachKind:
    @settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cuts(), st.integers(0, 2**32 - 1), st.integers(0, 3))
    def test_training_is_the_same_sequence(self, splits, kind, cut, seed, first_step):
        num_samples, batch_size, num_shards = cut
        split = splits[kind].first(num_samples)
        assert isinstance(split, KINDS[kind])
        alone = pipeline.training(split, batch_size, seed)
        steps = min(alone.steps + 2, 8)
        shards = [
            pipeline.training(split, batch_size, seed, i, num_shards, first_step)
            for i in range(num_shards)
        ]
        assert {shard.steps for shard in shards} == {num_samples // batch_size}
        columns = zip(*(drawn(shard, steps) for shard in shards), strict=True)
        together = [np.concatenate(column, axis=1) for column in columns]
        for ours, theirs in zip(together, drawn(alone, first_step + steps), strict=True):
            np.testing.assert_array_equal(ours, theirs[first_step:])
        inputs = together[0][: alone.steps - first_step % alone.steps]
        rows = inputs.reshape(inputs.shape[0] * batch_size, -1)
        assert len(np.unique(rows, axis=0)) == len(rows)  # no sample twice in an epoch

    @settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(1, TOTAL), st.integers(1, 8), st.integers(1, 9))
    def test_evaluation_sees_each_sample_once(self, splits, kind, num_samples, num_shards, rows):
        split = splits[kind].first(num_samples)
        shards = [
            pipeline.evaluation(split, rows * num_shards, i, num_shards) for i in range(num_shards)
        ]
        columns = zip(*(drawn(shard, shard.steps) for shard in shards), strict=True)
        x, y, weight = (np.concatenate(column, axis=1) for column in columns)
        assert {shard.steps for shard in shards} == {-(-num_samples // (rows * num_shards))}
        assert weight.sum() == num_samples
        counted = weight == 1
        every_x, every_y = split.reader()(tf.range(num_samples, dtype=tf.int64))
        np.testing.assert_array_equal(x[counted], every_x)
        np.testing.assert_array_equal(y[counted], every_y)


@pytest.mark.parametrize("num_shards", [1, 2, 3, 4, 6, 8])
def test_augmented_batches_are_the_same_too(splits, num_shards):
    changes = augment.parse("flip,rotate=10,crop=0.2,noise=0.1")
    alone = drawn(pipeline.training(splits["folder"], 24, 5, augment=changes), 5)
    shards = [
        pipeline.training(splits["folder"], 24, 5, i, num_shards, 2, changes)
        for i in range(num_shards)
    ]
    columns = zip(*(drawn(shard, 3) for shard in shards), strict=True)
    for ours, theirs in zip(columns, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(ours, axis=1), theirs[2:])
    plain = drawn(pipeline.training(splits["folder"], 24, 5), 5)
    assert not np.array_equal(plain[0], alone[0])
    np.testing.assert_array_equal(plain[1], alone[1])
