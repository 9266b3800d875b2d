import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.data import pipeline
from tfsci.data.pipeline import Batches
from tfsci.data.source import Split

SEEDS = st.integers(0, 2**32 - 1)


def numbered(num_samples: int) -> Split:
    """Sample i has the label i and the input (i, −i)."""
    y = np.arange(num_samples, dtype="int32")
    return Split(np.stack([y, -y], axis=1).astype("float32"), y)


def labels(batches: Batches, steps: int) -> np.ndarray:
    """The labels of the first batches, shape (steps, rows), after a look at their inputs."""
    pairs = list(batches.dataset.take(steps).as_numpy_iterator())
    x, y = (np.stack(part) for part in zip(*pairs, strict=True))
    np.testing.assert_array_equal(x, np.stack([y, -y], axis=-1))
    assert x.dtype == np.float32
    assert y.dtype == np.int32
    return y


@st.composite
def cuts(draw):
    """Samples, global batch and shards that fit each other: N ≥ b, n divides b."""
    num_shards = draw(st.integers(1, 8))
    num_samples = draw(st.integers(num_shards, 60))
    batch_size = num_shards * draw(st.integers(1, num_samples // num_shards))
    return num_samples, batch_size, num_shards


class TestTraining:
    @settings(max_examples=12)
    @given(cuts(), SEEDS)
    def test_the_shards_together_are_the_batches_of_one_process(self, cut, seed):
        num_samples, batch_size, num_shards = cut
        split = numbered(num_samples)
        alone = pipeline.training(split, batch_size, seed)
        steps = min(2 * alone.steps + 1, 12)  # into the third epoch, where epochs are short
        shards = [
            pipeline.training(split, batch_size, seed, shard, num_shards)
            for shard in range(num_shards)
        ]
        assert {(s.steps, s.batch_size, s.num_samples) for s in shards} == {
            (num_samples // batch_size, batch_size, num_samples // batch_size * batch_size)
        }
        together = np.concatenate([labels(shard, steps) for shard in shards], axis=1)
        np.testing.assert_array_equal(together, labels(alone, steps))

    @settings(max_examples=15)
    @given(cuts(), SEEDS)
    def test_an_epoch_draws_no_sample_twice(self, cut, seed):
        num_samples, batch_size, _ = cut
        batches = pipeline.training(numbered(num_samples), batch_size, seed)
        for epoch in np.split(labels(batches, 3 * batches.steps), 3):
            drawn = np.sort(epoch.ravel())
            assert len(np.unique(drawn)) == len(drawn) == batches.num_samples
            assert 0 <= drawn[0] <= drawn[-1] < num_samples

    def test_where_the_batch_divides_the_samples_every_epoch_draws_all(self):
        batches = pipeline.training(numbered(12), 4, seed=3)
        assert (batches.steps, batches.num_samples) == (3, 12)
        for epoch in np.split(labels(batches, 9), 3):
            assert sorted(epoch.ravel()) == list(range(12))

    def test_epochs_and_seeds_have_orders_of_their_own(self):
        def order(seed, epoch):
            batches = pipeline.training(numbered(24), 24, seed, first_step=epoch)
            return tuple(labels(batches, 1)[0])

        orders = {order(seed, epoch) for seed in (0, 1, 2**32 - 1) for epoch in (0, 1, 2, 1000)}
        assert len(orders) == 12
        assert tuple(range(24)) not in orders
        assert order(1, 2) == order(1, 2)

    def test_no_sample_is_always_the_one_that_is_left_out(self):
        epochs = labels(pipeline.training(numbered(5), 4), 60)
        left_out = 10 - epochs.sum(axis=1)  # 0 + 1 + 2 + 3 + 4 = 10
        assert set(left_out) == {0, 1, 2, 3, 4}

    @settings(max_examples=15)
    @given(cuts(), SEEDS, st.data())
    def test_starting_at_a_step_is_skipping_those_before_it(self, cut, seed, data):
        num_samples, batch_size, num_shards = cut
        shard = data.draw(st.integers(0, num_shards - 1), label="shard")
        split = numbered(num_samples)
        start = pipeline.training(split, batch_size, seed, shard, num_shards)
        first = data.draw(st.integers(0, min(3 * start.steps, 40)), label="first_step")
        later = pipeline.training(split, batch_size, seed, shard, num_shards, first_step=first)
        np.testing.assert_array_equal(labels(later, 3), labels(start, first + 3)[first:])

    def test_a_batch_larger_than_the_samples_is_refused(self):
        with pytest.raises(ValueError) as error:
            pipeline.training(numbered(10), 11)
        assert str(error.value) == (
            "--batch-size 11: larger than the 10 training samples; use at most 10"
        )


class TestEvaluation:
    @settings(max_examples=15)
    @given(num_samples=st.integers(1, 60), num_shards=st.integers(1, 8), rows=st.integers(1, 9))
    def test_every_sample_counts_once_in_order_and_filling_never(
        self, num_samples, num_shards, rows
    ):
        batch_size = num_shards * rows
        steps = -(-num_samples // batch_size)
        shards = []
        for shard in range(num_shards):
            batches = pipeline.evaluation(numbered(num_samples), batch_size, shard, num_shards)
            assert (batches.steps, batches.batch_size, batches.num_samples) == (
                steps,
                batch_size,
                num_samples,
            )
            triples = list(batches.dataset.as_numpy_iterator())
            assert len(triples) == steps
            shards.append([np.stack(part) for part in zip(*triples, strict=True)])
        x, y, weight = (np.concatenate(parts, 1) for parts in zip(*shards, strict=True))
        assert y.shape == weight.shape == (steps, batch_size)
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(x, np.stack([y, -y], axis=-1))
        np.testing.assert_array_equal(y[weight == 1], np.arange(num_samples))
        np.testing.assert_array_equal(weight[weight != 1], 0)

    def test_by_hand(self):
        """Five samples over two shards in batches of four: 0 1 | 2 3, then 4 – | – –."""
        left, right = (pipeline.evaluation(numbered(5), 4, shard, 2) for shard in (0, 1))
        for batches, expected in (
            (left, [([0, 1], [1, 1]), ([4, 4], [1, 0])]),
            (right, [([2, 3], [1, 1]), ([4, 4], [0, 0])]),
        ):
            got = [(y.tolist(), w.tolist()) for _, y, w in batches.dataset.as_numpy_iterator()]
            assert got == expected


class TestCuts:
    @pytest.mark.parametrize(
        ("batch_size", "num_shards", "advice"),
        [(50, 4, "48 or 52"), (3, 4, "4"), (0, 4, "4"), (7, 6, "6 or 12"), (0, 1, "1")],
    )
    @pytest.mark.parametrize("make", [pipeline.training, pipeline.evaluation])
    def test_what_does_not_divide_is_refused(self, make, batch_size, num_shards, advice):
        with pytest.raises(ValueError) as error:
            make(numbered(60), batch_size, num_shards=num_shards)
        assert str(error.value) == (
            f"--batch-size {batch_size}: the global batch is cut into {num_shards} equal parts, "
            f"one a rank; use {advice}"
        )

    @settings(max_examples=100)
    @given(batch_size=st.integers(1, 10_000), num_shards=st.integers(1, 100))
    def test_the_advice_is_the_nearest_that_works(self, batch_size, num_shards):
        if batch_size % num_shards == 0:
            return pipeline.check_batch_size(batch_size, num_shards)
        with pytest.raises(ValueError) as error:
            pipeline.check_batch_size(batch_size, num_shards)
        advice = [int(size) for size in str(error.value).split("use ")[1].split(" or ")]
        below = [size for size in range(1, batch_size) if size % num_shards == 0][-1:]
        above = next(size for size in itertools.count(batch_size) if size % num_shards == 0)
        assert advice == [*below, above]

    @pytest.mark.parametrize("make", [pipeline.training, pipeline.evaluation])
    @pytest.mark.parametrize("shard_index", [-1, 2])
    def test_a_shard_out_of_range_is_refused(self, make, shard_index):
        with pytest.raises(ValueError, match=rf"^shard_index {shard_index}: expected 0 … 1$"):
            make(numbered(8), 4, shard_index=shard_index, num_shards=2)


class TestAutotuner:
    """It makes Keras wait at the end of an epoch, see tests/training/test_stall.py."""

    @pytest.mark.parametrize("make", [pipeline.training, pipeline.evaluation])
    def test_is_off_in_both_pipelines(self, make):
        assert make(numbered(8), 4).dataset.options().autotune.enabled is False

    def test_is_off_in_batches_made_by_hand_and_in_what_is_made_of_them(self):
        dataset = tf.data.Dataset.range(3)
        assert dataset.options().autotune.enabled is None
        batches = Batches(dataset, steps=3, batch_size=1, num_samples=3)
        assert batches.dataset.map(lambda i: i + 1).options().autotune.enabled is False
