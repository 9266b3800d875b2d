import math

import numpy as np
import pytest
from scipy import stats


@pytest.mark.slow
class TestClaims:
    def test_the_way_down_is_known(self, known):
        """The distance after 300 steps at a tenth of 2 / λ, by a power of I − ηH."""
        noise = 0.1 * np.random.default_rng(0).normal(size=50)
        force = np.linspace(0, 1, 50)
        rows = np.stack([force, np.ones(50)], 1)
        target = np.polyfit(force, 2 * force + 1 + noise, 1)
        hessian = 2 * rows.T @ rows / 50
        rate = 0.1 * 2 / np.linalg.norm(hessian, 2)
        left = np.linalg.matrix_power(np.eye(2) - rate * hessian, 300) @ target
        ((found, told),) = known("02", "distance left")
        assert found == pytest.approx(np.linalg.norm(left))
        assert told == pytest.approx(np.linalg.norm(left))

    def test_best_accuracies(self, known):
        """The clouds by drawing along the line between them, the rings by the tails of χ²."""
        (_, clouds), (_, circle) = known("02", "accuracy")
        draws = np.random.default_rng(1).normal(math.hypot(1.5, 1) / 2, size=1_000_000)
        assert clouds == pytest.approx(np.mean(draws > 0), abs=0.002)
        edge = 4 * math.log(3) / (1 - 1 / 9)
        within = stats.chi2.cdf([edge, edge / 9], 2)
        assert circle == pytest.approx((within[0] + 1 - within[1]) / 2)

    def test_iterations(self, known):
        assert known("02", "steps in an epoch") == [(2048 / 64, 32)]
