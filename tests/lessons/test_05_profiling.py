import re

import pytest

from tfsci.profile.throughput import Throughput


def stages(told):
    """The claims' numbers by a word of them."""
    return float(re.search(r"([\d.,]+) times as fast", told)[1])


@pytest.mark.slow
class TestClaims:
    def test_the_whole_way_is_the_product_of_its_steps(self, quick):
        told = [c["statement"] for c in quick("05")["claims"]]
        (whole,) = (stages(each) for each in told if each.startswith("the fastest"))
        (first,) = (stages(each) for each in told if each.startswith("reading in parallel"))
        (batch,) = (stages(each) for each in told if " at a time are" in each)
        assert whole > 20
        assert whole > first * batch  # the graph and the kept input are on the way, too

    def test_the_queue_does_a_step_after_the_other(self, known):
        ((found, told),) = known("05", "rate of the queue")
        assert told == pytest.approx(128 / 0.02)
        assert found <= told * 1.01  # a pause may last longer, never shorter

    def test_bfloat16_rounds_to_eight_bits(self, known):
        ((found, _),) = known("05", "bfloat16")
        assert 2**-12 < found < 8 * 2**-8


def test_the_published_claim_is_off_by_what_the_lesson_says():
    images = 152_500
    found = Throughput(100, images, 1.0, images / 1_050_000)
    assert found.dispatched_per_second / found.examples_per_second == pytest.approx(6.89, abs=0.01)
    assert "6.9 times too many" in found.warning
