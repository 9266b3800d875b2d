import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.data import pipeline
from tfsci.data.stream import Streamed


def numbered(num_samples: int) -> Streamed:
    def open_(start, stop, seed):
        return tf.data.Dataset.range(start, stop).map(lambda i: (tf.cast([i, -i], tf.float32), i))

    return Streamed(num_samples, (2,), open_)


@st.composite
def cuts(draw):
    num_shards = draw(st.integers(1, 8))
    num_samples = draw(st.integers(num_shards, 60))
    batch_size = num_shards * draw(st.integers(1, num_samples // num_shards))
    return num_samples, batch_size, num_shards


@settings(max_examples=15)
@given(cuts(), st.integers(0, 100))
def test_an_epoch_draws_each_sample_at_most_once_in_equal_steps(cut, seed):
    num_samples, batch_size, num_shards = cut
    shards = [
        pipeline.training(numbered(num_samples), batch_size, seed, shard, num_shards)
        for shard in range(num_shards)
    ]
    steps = num_samples // batch_size
    assert {shard.steps for shard in shards} == {steps}
    for epoch in range(2):
        drawn = []
        for shard in shards:
            for x, y in shard.dataset.skip(epoch * steps).take(steps).as_numpy_iterator():
                assert len(y) == batch_size // num_shards
                np.testing.assert_array_equal(x[:, 1], -y)
                drawn += y.tolist()
        assert len(drawn) == len(set(drawn)) == steps * batch_size


@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 5))
def test_evaluation_sees_each_sample_once_in_equal_steps(num_samples, num_shards, rows):
    seen, steps = [], set()
    for shard in range(num_shards):
        batches = pipeline.evaluation(numbered(num_samples), rows * num_shards, shard, num_shards)
        drawn = list(batches.dataset.as_numpy_iterator())
        assert len(drawn) == batches.steps
        steps.add(batches.steps)
        for _, y, weight in drawn:
            assert len(y) == rows
            seen += y[weight == 1].tolist()
            assert set(weight) <= {0.0, 1.0}
    assert sorted(seen) == list(range(num_samples))
    assert len(steps) == 1


def test_a_seed_repeats_its_order_and_epochs_differ():
    def order(seed, epoch):
        batches = pipeline.training(numbered(30), 30, seed, first_step=epoch)
        return tuple(next(batches.dataset.as_numpy_iterator())[1])

    assert order(3, 0) == order(3, 0)
    assert order(3, 1) == order(3, 1)
    assert len({order(3, 0), order(3, 1), order(4, 0)}) == 3


def test_the_first_samples():
    assert numbered(30).first(7).num_samples == 7
    assert numbered(30).first(70).num_samples == 30
