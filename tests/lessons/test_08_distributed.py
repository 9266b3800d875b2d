import itertools

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tfsci.lessons.exercises import check


@pytest.mark.horovod
@pytest.mark.slow
class TestClaims:
    def test_all_hold(self, quick):
        assert [c["statement"] for c in quick("08")["claims"] if not c["holds"]] == []

    def test_polaris_turns_where_a_direct_search_finds_the_law_least(self, known):
        ((found, told),) = known("08", "law turns")
        n, seconds = np.array([2, 4, 8]), np.array([15.90, 8.78, 10.74])
        rows = np.stack([1 / n, n - 1]).T / seconds[:, None]  # the bandwidth is fitted to 0
        compute, latency = np.linalg.lstsq(rows, np.ones(3), rcond=None)[0]
        least = minimize_scalar(lambda n: compute / n + latency * (n - 1), (1, 16)).x
        assert told == pytest.approx(least, rel=1e-3)
        assert found == pytest.approx(least, abs=0.01)

    def test_what_the_ranks_exchange_is_the_gradient(self, known):
        layers = [64, 512, 512, 512, 512, 10]
        parameters = sum((a + 1) * b for a, b in itertools.pairwise(layers))
        for _, told in known("08", "all of them"):
            assert told == pytest.approx(4 * parameters / 1e6)
        assert [told for _, told in known("08", "messages a step")] == [1, 2 * 5]


@pytest.mark.parametrize(
    ("exercise", "right", "wrong"),
    [
        (1, ["initialise"], ["shard", "scale", "broadcast"]),
        (2, ["0.8"], ["0.2", "0.05"]),
        (3, ["20"], ["400", "10"]),
        (4, ["187.5"], ["100", "93.75"]),
    ],
)
def test_exercises(exercise, right, wrong, capsys):
    for answer in right:
        assert check("08", exercise, answer), capsys.readouterr().out
    capsys.readouterr()
    for answer in wrong:
        assert not check("08", exercise, answer)
        assert capsys.readouterr().out.startswith("not yet: ")
