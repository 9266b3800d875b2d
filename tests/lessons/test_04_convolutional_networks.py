import numpy as np
import pytest

from tfsci.simulate import damage


@pytest.mark.slow
class TestClaims:
    def test_two_annotators_agree_as_drawn_labels_do(self, known):
        """Both draw their own label of each picture, a hundred thousand times."""
        ((found, told),) = known("04", "annotators agree")
        rng = np.random.default_rng(1)
        s = rng.random(100_000)
        first, second = np.searchsorted((0.2, 0.6), s + 0.3 * rng.normal(size=(2, s.size)))
        assert told == pytest.approx(np.mean(first == second), abs=0.005)
        assert found == pytest.approx(told, abs=0.08)

    def test_convolution_and_pooling_are_those_of_keras(self, known):
        for what in ("convolution", "pooling"):
            ((difference, _),) = known("04", what)
            assert 0 <= difference < 1e-5

    def test_what_the_course_reports_is_told_as_its_own(self, quick):
        assert not any("course" in claim["statement"] for claim in quick("04")["claims"])


def test_careful_annotators_by_drawing_labels():
    """Exercise 3: who knows the severity names the grade it lies in."""
    rng = np.random.default_rng(0)
    s = rng.random(200_000)
    thresholds = (0.2, 0.4, 0.6, 0.8)
    label = np.searchsorted(thresholds, s + 0.05 * rng.normal(size=s.size))
    known = damage.best_accuracy(5, 0.05)
    assert np.mean(np.searchsorted(thresholds, s) == label) == pytest.approx(known, abs=0.003)
