import numpy as np
import pytest

from tfsci.data import pipeline
from tfsci.data.source import Split


@pytest.mark.slow
class TestClaims:
    def test_the_same_training_is_twenty_times_faster(self, quick):
        (told,) = [
            c["statement"] for c in quick("03")["claims"] if "times as fast as in" in c["statement"]
        ]
        assert float(told.partition(" times")[0].split()[-1]) >= 20

    def test_what_unrelated_batches_share(self, known):
        ((found, told),) = known("03", "share with ours")
        generator = np.random.default_rng(0)
        orders = [[generator.permutation(256).reshape(8, 32) for _ in range(2)] for _ in range(500)]
        shares = [
            np.isin(a, b).mean() for one, other in orders for a, b in zip(one, other, strict=True)
        ]
        assert told == pytest.approx(np.mean(shares), abs=0.005)
        assert found == pytest.approx(np.mean(shares), abs=0.08)


def test_the_union_over_readers_is_the_same_sequence():
    split = Split(np.arange(96.0)[:, None], np.arange(96))

    def rows(index, readers):
        batches = pipeline.training(split, 12, 5, index, readers).dataset.take(20)
        return [y for _, y in batches.as_numpy_iterator()]

    alone = rows(0, 1)
    for readers in (2, 3, 6):
        shares = [rows(index, readers) for index in range(readers)]
        for whole, *parts in zip(alone, *shares, strict=True):
            assert whole.tolist() == np.concatenate(parts).tolist()
