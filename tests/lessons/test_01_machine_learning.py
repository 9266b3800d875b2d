import numpy as np
import pytest
from scipy import stats

from tfsci.simulate import ising


@pytest.mark.slow
class TestClaims:
    def test_the_best_of_many_coins_is_what_order_statistics_say(self, known):
        ((found, told),) = known("01", "coin-tossers")
        draws = np.random.default_rng(1).binomial(100, 0.5, (4000, 1000)).max(1).mean() / 100
        assert found == pytest.approx(draws, abs=0.003)
        assert told == pytest.approx(draws, abs=0.002)

    def test_known_answers(self, known):
        ((_, area),) = known("01", "area under the curve")
        assert area == pytest.approx(stats.f(10, 10).cdf(1.5**2))  # F and 1/F have one distribution
        ((_, accuracy),) = known("01", "test accuracy")
        assert accuracy == pytest.approx(ising.best_accuracy(32))
