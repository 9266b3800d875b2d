import numpy as np
import pytest

from tfsci.simulate import sequences


@pytest.mark.slow
class TestClaims:
    def test_the_floor_after_one_letter_is_what_a_long_text_has(self, known):
        ((_, told),) = known("11", "after a single letter")
        text = sequences.generate(range(4000), seed=1, length=130, contrast=3.0)
        counts = np.zeros((20, 20))
        np.add.at(counts, (text[:, :-1], text[:, 1:]), 1)
        chances = counts / counts.sum(1, keepdims=True)
        seen = counts[counts > 0] / counts.sum()
        assert told == pytest.approx(-(seen * np.log(chances[counts > 0])).sum(), abs=0.01)

    def test_sizes_for_gophers_budget(self, known):
        ((found, _),) = known("11", "best size for Gopher")
        n = np.geomspace(1e9, 1e12, 100_001)  # Hoffmann 2022, equation 10, with 6ND operations
        loss = 1.69 + 406.4 / n**0.34 + 410.7 / (5.76e23 / 6 / n) ** 0.28
        assert found == pytest.approx(n[loss.argmin()] / 1e9, rel=1e-3)
        ((found, _),) = known("11", "twenty tokens")
        assert 6 * found * 1e9 * 20 * found * 1e9 == pytest.approx(5.76e23)
