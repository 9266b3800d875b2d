import math

import pytest

from tfsci.lessons.exercises import check
from tfsci.models import cost


@pytest.mark.slow
class TestClaims:
    def test_random_words_cost_what_a_uniform_choice_of_sixteen_does(self, known):
        ((found, told),) = known("10", "loss of the first words")
        assert told == pytest.approx(math.log(16))
        assert found > told - 0.02  # none beats the floor but by luck
        assert known("10", "loss of their copies")[0][1] == 0

    def test_growth_of_the_cost_by_a_count_of_all_products(self, known):
        """A token meets 12 C² weights of the block and C of each word's, and T tokens twice."""

        def products(tokens, width=128, words=32):
            return tokens * (12 * width**2 + width * words + 2 * tokens * width)

        for what, length in (("short sequences", 32), ("long ones", 2**15)):
            ((found, _),) = known("10", what)
            assert found == pytest.approx(products(2 * length) / products(length))


def test_a_block_costs_what_the_exercise_says():
    def counted(tokens):
        sizes = {"num_heads": 12, "width": 768, "vocabulary_size": 2, "context_length": tokens}
        two, one = (cost.sketch("gpt", **sizes, num_layers=n).flops for n in (2, 1))
        return two - one

    assert check("10", 3, counted(8192) / counted(1024))
