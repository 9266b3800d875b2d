import math

import numpy as np
import pytest

from tfsci.plan import tokens
from tfsci.plan.failures import DEVICE_MTBF_HOURS, Failures

JOB = Failures(mtbf=4 * 3600, checkpoint=120, restart=600)


class TestInterval:
    def test_young_and_daly(self):
        assert JOB.young() == pytest.approx(math.sqrt(2 * 120 * 4 * 3600))
        assert JOB.daly() == pytest.approx(JOB.young() - 120, rel=0.05)
        assert Failures(100, 300, 0).daly() == 100

    def test_daly_is_the_best_of_the_expected(self):
        intervals = np.geomspace(JOB.daly() / 10, JOB.daly() * 10, 2001)
        best = intervals[np.argmin([JOB.expected(1, i) for i in intervals])]
        assert best == pytest.approx(JOB.daly(), rel=0.01)

    def test_a_simulation_finds_the_same(self):
        factors = (0.4, 1.0, 2.5)
        took = [
            JOB.simulate(200 * f * JOB.daly(), f * JOB.daly(), 2000).mean() / f for f in factors
        ]
        assert min(took) == took[1]


class TestSimulated:
    @pytest.mark.parametrize("factor", [0.3, 1, 3])
    def test_takes_as_long_as_expected(self, factor):
        interval = factor * JOB.daly()
        took = JOB.simulate(50 * interval, interval, 4000, seed=1)
        error = 4 * took.std() / math.sqrt(len(took))
        assert took.mean() == pytest.approx(JOB.expected(50 * interval, interval), abs=error)

    def test_without_failures_only_checkpoints_cost(self):
        job = Failures(1e15, 60, 600)
        assert job.simulate(3600, 600, 3).tolist() == [3600 + 6 * 60] * 3
        assert job.goodput(600) == pytest.approx(600 / 660)

    def test_is_the_same_every_time(self):
        assert JOB.simulate(1e5, 3000, 10).tolist() == JOB.simulate(1e5, 3000, 10).tolist()


def test_llama_had_a_failure_every_three_hours():
    assert pytest.approx(3.1, abs=0.05) == DEVICE_MTBF_HOURS / 16384


@pytest.mark.parametrize("values", [(0, 1, 1), (1, 0, 1), (1, 1, -1), (math.nan, 1, 1)])
def test_what_can_not_be_is_refused(values):
    with pytest.raises(ValueError, match="failures: expected a time between failures"):
        Failures(*values)


class TestTokens:
    def test_published_trainings(self):
        assert tokens.training_flops(540e9, 780e9) == pytest.approx(2527.2e21)
        assert tokens.training_flops(405e9, 15.6e12) == pytest.approx(3.8e25, rel=0.01)

    def test_chinchilla_itself(self):
        """Hoffmann 2022: Gopher's 5.76e23 operations are best spent on about 70 B and 1.4 T."""
        size = tokens.optimal(5.76e23)
        assert size.parameters == pytest.approx(70e9, rel=0.02)
        assert size.tokens == pytest.approx(1.4e12, rel=0.02)

    def test_the_least_loss_is_least(self):
        best = tokens.optimal_by_loss(1e23)
        assert tokens.training_flops(best.parameters, best.tokens) == pytest.approx(1e23)
        for factor in (0.9, 1.1):
            other = tokens.Size(best.parameters * factor, best.tokens / factor)
            assert other.loss > best.loss

    @pytest.mark.parametrize("flops", [0, -1, math.inf, math.nan])
    def test_no_budget_is_refused(self, flops):
        with pytest.raises(ValueError, match="number of operations above 0"):
            tokens.optimal(flops)
