import math

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from tfsci.baselines import measures


class Says:
    """Predicts what it is told to."""

    def __init__(self, predicted):
        self.predict = lambda x: np.asarray(predicted)


X = np.zeros((4, 1))


def test_accuracy_and_its_sampling_error():
    score = measures.accuracy(Says([0, 1, 1, 1]), X, np.array([0, 1, 1, 0]))
    assert score.value == 0.75
    assert score.standard_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_error_of_fields_is_relative():
    y = np.array([[3.0, 4.0], [0.0, 2.0]])
    # Off by 1 of 5, and by 2 of 2.
    score = measures.error(Says([[3, 5], [2, 2]]), X[:2], y)
    assert score.value == pytest.approx((0.2 + 1) / 2)
    assert score.standard_error == pytest.approx(0.4)  # half their distance
    assert measures.error(Says(y), X[:2], y).value == 0
    assert measures.error(Says([[0, 3]]), X[:1], np.zeros((1, 2))).value == 3


def test_error_of_single_numbers_is_the_root_mean_square():
    score = measures.error(Says([1.0, 3.0, 0.0, 0.0]), X, np.array([0.0, 0.0, 0.0, 0.0]))
    assert score.value == pytest.approx(math.sqrt(10 / 4))
    # d√m = dm/2√m with m the mean of 1, 9, 0, 0, whose standard error is √(57/3)/2.
    assert score.standard_error == pytest.approx(math.sqrt(57 / 3) / 2 / (2 * math.sqrt(2.5)))


class TestVarianceKept:
    def fitted(self, x, *before, components=12):
        return Pipeline([*before, ("reduce", PCA(components))]).fit(x)

    def test_is_that_of_a_known_covariance(self):
        variances = np.arange(12, 0, -1.0)
        generator = np.random.default_rng(0)
        turn, _ = np.linalg.qr(generator.standard_normal((12, 12)))
        train, test = generator.standard_normal((2, 20_000, 12)) * np.sqrt(variances) @ turn
        score = measures.variance_kept(self.fitted(train), test, None)
        assert score.value == pytest.approx(75 / 78, abs=0.003)
        # Eight hold 12 + 11 + … + 5 = 68 of 78, which is 0.87; nine hold 72, 0.92.
        assert score.others == {"components for 90 %": 9}

    def test_of_the_fitted_samples_is_their_explained_variance_ratio(self):
        x = np.random.default_rng(1).random((40, 15)) ** 3
        for before in ((), (("scale", StandardScaler()),)):
            fitted = self.fitted(x, *before)
            expected = fitted[-1].explained_variance_ratio_[:10].sum()
            assert measures.variance_kept(fitted, x, None).value == pytest.approx(expected)

    def test_of_equal_samples_is_not_defined(self):
        fitted = self.fitted(np.random.default_rng(1).random((9, 3)), components=2)
        fitted[-1].mean_ = np.ones(3)
        score = measures.variance_kept(fitted, np.ones((4, 3)), None)
        assert math.isnan(score.value) and score.others == {}


@pytest.mark.parametrize(
    ("clusters", "index", "information"),
    [
        ([2, 2, 0, 0, 1, 1], 1.0, 1.0),
        ([0, 0, 0, 0, 0, 0], 0.0, 0.0),
        # Pairs: 3 together in classes, 3 in clusters, 1 in both, 15 in all, so 3·3/15 = 0.6 are
        # expected: (1 − 0.6)/(3 − 0.6).
        ([0, 0, 1, 2, 1, 2], 1 / 6, None),
    ],
)
def test_clusters_against_classes(clusters, index, information):
    score = measures.rand_index(Says(clusters), X, np.array([0, 0, 1, 1, 2, 2]))
    assert score.value == pytest.approx(index)
    if information is not None:
        assert score.others["normalised mutual information"] == pytest.approx(information)


class Anomalies:
    def __init__(self, scores):
        self.scores = scores

    def fit(self, x, y):
        return self

    def anomaly_scores(self, x):
        return {label: np.asarray(scores) for label, scores in self.scores.items()}


def test_area_under_the_curve_of_each_class_kept_out():
    y = np.array([0, 0, 1, 1])
    # Class 0: all four pairs in order; class 1: three of four.
    fitted = Pipeline([("forest", Anomalies({0: [4, 3, 2, 1], 1: [3, 1, 2, 4], 7: [0, 0, 0, 0]}))])
    score = measures.anomaly_auc(fitted, X, y)
    assert score.value == (1 + 0.75) / 2
    assert score.others == {"lowest of a class": 0.75, "highest": 1}
    assert math.isnan(measures.anomaly_auc(fitted, X, np.zeros(4)).value)
