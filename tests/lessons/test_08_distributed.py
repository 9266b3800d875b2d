import itertools

import numpy as np
import pytest
from scipy.optimize import minimize_scalar


@pytest.mark.horovod
@pytest.mark.slow
class TestClaims:
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
