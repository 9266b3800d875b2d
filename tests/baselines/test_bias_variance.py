import numpy as np
import pytest

from tfsci.baselines import bias_variance


def test_a_mean_has_no_bias_for_a_constant_and_the_variance_of_a_mean():
    hat = np.full((3, 5), 1 / 5)
    bias, variance = bias_variance.exact(hat, np.full(5, 2.0), 0.5, np.full(3, 2.0))
    assert bias == pytest.approx(0)
    assert variance == pytest.approx(0.25 / 5)


def test_by_hand():
    predictions = np.array([[1.0, 0.0], [3.0, 4.0]])
    found = bias_variance.resampled(predictions, np.array([1.0, 2.0]))
    assert found == (pytest.approx((1 + 0) / 2), pytest.approx((2 + 8) / 2))


def test_both_routes_agree():
    random = np.random.default_rng(0)
    hat, signal, truth = random.normal(size=(4, 6)), random.normal(size=6), random.normal(size=4)
    noisy = signal + 0.3 * random.normal(size=(40_000, 6))
    found = bias_variance.resampled(noisy @ hat.T, truth)
    assert found == pytest.approx(bias_variance.exact(hat, signal, 0.3, truth), rel=0.02)
