import math

import numpy as np
import pytest

from tfsci.simulate import rings


@pytest.fixture(scope="module")
def points():
    return rings.generate(range(40_000))


def test_a_sample_depends_on_its_number_alone(points):
    x, y = rings.generate([7, 3])
    np.testing.assert_array_equal(x, points[0][[7, 3]])
    np.testing.assert_array_equal(y, points[1][[7, 3]])
    assert (x.dtype, y.dtype) == ("float32", "int32")
    assert rings.generate([], dimensions=3)[0].shape == (0, 3)
    assert not np.array_equal(rings.generate([7, 3], seed=1)[0], x)


def test_kinds_have_their_widths_and_shares(points):
    x, y = points
    assert y.mean() == pytest.approx(0.5, abs=0.01)
    assert x[y == 0].std() == pytest.approx(1, abs=0.02)
    assert x[y == 1].std() == pytest.approx(3, abs=0.06)


def test_best_scores_by_drawing(points):
    """The exact probabilities, and the best of many half-planes, tried on points."""
    x, y = points
    p = rings.probability(np.linalg.norm(x, axis=1))
    assert np.mean((p > 0.5) == y) == pytest.approx(rings.best_accuracy(), abs=0.006)
    told = -np.mean(np.log(np.where(y, p, 1 - p)))
    assert told == pytest.approx(rings.loss_floor(), abs=0.006)
    lines = [np.mean((x[:, 0] > edge) == y) for edge in np.linspace(-5, 5, 201)]
    assert max(lines) == pytest.approx(rings.best_line(), abs=0.008)


def test_two_dimensions_by_hand():
    """χ² of two degrees has the tail e^(−r²/2); r₀² = 4 ln 3 / (1 − 1/9)."""
    edge = 4 * math.log(3) / (8 / 9)
    assert rings.best_radius() ** 2 == pytest.approx(edge)
    expected = (1 - math.exp(-edge / 2) + math.exp(-edge / 18)) / 2
    assert rings.best_accuracy() == pytest.approx(expected)
    assert rings.probability(rings.best_radius()) == pytest.approx(0.5)


def test_the_floor_falls_with_the_dimensions_and_starts_at_a_coins():
    floors = [rings.loss_floor(d) for d in (1, 2, 10, 40)]
    assert math.log(2) > floors[0] > floors[1] > floors[2] > floors[3] > 0
    assert rings.loss_floor(2, 1.0001) == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"wider": 1}, "wider: expected a finite number above 1; received 1"),
        ({"dimensions": 0}, "dimensions: expected an integer from 1 on; received 0"),
    ],
)
def test_what_is_out_of_range_is_refused(options, text):
    with pytest.raises(ValueError, match=text):
        rings.generate([0], **options)
