"""The damage tiles: the bound by two routes, its limits, what the picture shows, determinism."""

import numpy as np
import pytest

from tfsci.simulate import damage

ROWS = range(160)


@pytest.fixture(scope="module")
def tiles():
    return damage.generate(ROWS, seed=3)[0], damage.severity(ROWS, seed=3)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("imbalance", [1.0, 8.0, 0.25])
def test_bound_agrees_with_someone_who_knows_the_severity(classes, imbalance):
    # The label model drawn, not integrated: the best rule's hits on 200,000 noisy labels.
    rng = np.random.default_rng(classes)
    s = rng.random(400_000)
    s = s[rng.random(len(s)) * max(1, 1 / imbalance) < imbalance**-s]  # rejection from r^(−s)
    thresholds = damage.THRESHOLDS[classes]
    label = np.searchsorted(thresholds, s + rng.normal(0, 0.1, len(s)), side="right")
    rule = damage.label_probabilities(s, classes, 0.1).argmax(axis=1)
    hits = rule == label
    best = damage.best_accuracy(classes, 0.1, imbalance)
    assert abs(hits.mean() - best) < 4 * hits.std() / len(s) ** 0.5
    prior = damage.label_prior(classes, 0.1, imbalance)
    assert np.bincount(label) / len(label) == pytest.approx(prior, abs=4 * 0.5 / len(s) ** 0.5)


def test_bound_in_closed_form_for_two_classes_and_a_uniform_prior():
    # ∫ max(Φ, 1 − Φ)((s − c)/σ) ds = 1 − 2σ/√(2π) where c is many σ from both ends.
    assert damage.best_accuracy(2, 0.05) == pytest.approx(1 - 0.1 / (2 * np.pi) ** 0.5, abs=1e-6)


def test_limits_of_the_bound():
    for classes in (2, 3, 5):
        assert damage.best_accuracy(classes, 0) == 1
        assert damage.best_accuracy(classes, 1e-3) > 0.996
        # Blind: every severity is as likely to be seen below all thresholds as above them.
        assert damage.best_accuracy(classes, 1e4) == pytest.approx(0.5, abs=1e-3)
        assert damage.label_prior(classes, 1e4).max() == pytest.approx(0.5, abs=1e-3)
        largest = damage.label_prior(classes, 0.1, 5.0).max()
        assert damage.best_accuracy(classes, 0.1, 5.0, quality=0) == largest
        assert damage.best_accuracy(classes, 0.1, 5.0, quality=0.01) > largest
        bounds = [damage.best_accuracy(classes, noise) for noise in (0, 0.05, 0.1, 0.2)]
        assert bounds == sorted(bounds, reverse=True)


def test_bounds_order_two_three_five():
    two, three, five = (damage.best_accuracy(classes) for classes in (2, 3, 5))
    assert two == pytest.approx(0.9202, abs=1e-4)
    assert three == pytest.approx(0.8413, abs=1e-4)
    assert five == pytest.approx(0.6877, abs=1e-4)
    for imbalance in (0.1, 1.0, 10.0):
        two, three, five = (damage.best_accuracy(k, 0.1, imbalance) for k in (2, 3, 5))
        assert two > three > five


def test_merged_labels_are_the_same_annotators():
    five, three, two = (damage.generate(ROWS, size=16, classes=k)[1] for k in (5, 3, 2))
    assert np.array_equal(three, np.array([0, 1, 1, 2, 2])[five])
    assert np.array_equal(two, np.array([0, 0, 0, 1, 1])[five])
    exact = damage.generate(ROWS, size=16, annotator_noise=0)[1]
    assert np.array_equal(exact, np.searchsorted(damage.THRESHOLDS[5], damage.severity(ROWS)))
    assert 0.1 < np.mean(five != exact) < 0.5


def test_imbalance_skews_the_severities():
    even, skewed = damage.severity(range(2000)), damage.severity(range(2000), imbalance=20.0)
    # Mean of p(s) = ln r · r^(−s)/(1 − 1/r): 1/ln r − 1/(r − 1).
    assert even.mean() == pytest.approx(0.5, abs=0.02)
    assert skewed.mean() == pytest.approx(1 / np.log(20) - 1 / 19, abs=0.02)
    assert np.array_equal(np.argsort(even), np.argsort(skewed))


def roughness(x):
    """Mean absolute difference of neighbouring pixels' brightness: debris and torn roofs."""
    grey = x.mean(axis=-1)
    return np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2))


def test_severity_shows_in_the_picture_and_less_at_lower_quality(tiles):
    x, s = tiles
    sharp = np.corrcoef(roughness(x), s)[0, 1]
    dull = np.corrcoef(roughness(damage.generate(ROWS, seed=3, quality=0.5)[0]), s)[0, 1]
    assert sharp > 0.85
    assert dull < sharp - 0.1


def test_nothing_shows_at_quality_zero():
    x, _ = damage.generate(ROWS, seed=3, size=32, quality=0)
    assert x.mean(axis=(1, 2)) == pytest.approx(0.72, abs=0.02)


def test_dtype_range_and_labels(tiles):
    x, _ = tiles
    assert x.dtype == np.float32
    assert x.shape == (160, 64, 64, 3)
    assert x.min() >= 0 and x.max() <= 1
    y = damage.generate(ROWS, size=16)[1]
    assert y.dtype == np.int32
    assert set(y) == set(range(5))
    assert damage.generate([], size=16)[0].shape == (0, 16, 16, 3)


def test_a_sample_is_the_same_in_any_batch(tiles):
    x, _ = tiles
    for rows in ([7], [150, 3, 7], range(30, 71)):
        assert np.array_equal(damage.generate(rows, seed=3)[0], x[list(rows)])
    assert not np.array_equal(damage.generate([7], seed=4)[0][0], x[7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 4}, "classes: expected 5, 3 or 2; received 4"),
        ({"quality": 1.5}, "quality: expected a number from 0 to 1; received 1.5"),
        ({"quality": float("nan")}, "quality: expected .* received nan"),
        ({"imbalance": 0}, "imbalance: expected a number from 1e-06 to 1000000.0; received 0"),
        ({"annotator_noise": -0.1}, "annotator_noise: expected .* received -0.1"),
        ({"size": 8}, "size: expected an integer from 16 to 4096; received 8"),
        ({"size": "64"}, "size: expected .* received '64'"),
        ({"seed": -1}, "seed: expected .* received -1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        damage.generate([0], **options)


@pytest.mark.parametrize("indices", [[-1], [0.5], 3, [[1]], ["a"]])
def test_bad_indices_are_named(indices):
    with pytest.raises(ValueError, match=r"indices: expected .* received"):
        damage.generate(indices)
