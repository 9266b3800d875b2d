import numpy as np
import pytest
from scipy import stats

from tfsci.lessons.exercises import check
from tfsci.simulate import ising


@pytest.mark.slow
class TestClaims:
    def test_all_hold(self, quick):
        assert [c["statement"] for c in quick("01")["claims"] if not c["holds"]] == []

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


@pytest.mark.parametrize(
    ("exercise", "right", "wrong"),
    [
        (1, ["0.405", "40.5%"], ["0.36", "0.045"]),
        (2, ["0.607"], ["0.5", "0.64"]),
        (3, ["overfitting", " Overfitting "], ["underfitting", "noise"]),
        (4, ["0.87"], ["0.5", "0.8"]),
    ],
)
def test_exercises(exercise, right, wrong, capsys):
    for answer in right:
        assert check("01", exercise, answer), capsys.readouterr().out
    capsys.readouterr()
    for answer in wrong:
        assert not check("01", exercise, answer)
        assert capsys.readouterr().out.startswith("not yet: ")
