import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.training.schedules import scaled, schedule


def rates(rate, steps):
    return np.array([rate(k) for k in range(steps)])


class TestDecays:
    """Each against its closed form, over 900 steps: 90 epochs of 10."""

    K = np.arange(900)

    def test_constant(self):
        np.testing.assert_array_equal(rates(schedule(0.3, 900), 900), np.full(900, 0.3))

    def test_cosine(self):
        expected = 0.3 * 0.5 * (1 + np.cos(np.pi * self.K / 900))
        got = rates(schedule(0.3, 900, decay="cosine"), 900)
        np.testing.assert_allclose(got, expected, rtol=1e-12)
        assert got[0] == 0.3
        assert got[450] == pytest.approx(0.15)

    def test_step_is_the_imagenet_recipe(self):
        """A tenth from epochs 30, 60 and 80 of 90 on: Goyal et al. 2017, section 5.1."""
        drops = np.sum(self.K[:, None] // 10 >= [30, 60, 80], axis=1)
        got = rates(schedule(0.3, 900, decay="step"), 900)
        np.testing.assert_allclose(got, 0.3 * 0.1**drops, rtol=1e-12)

    @pytest.mark.parametrize("decay", ["constant", "cosine", "step"])
    def test_comes_after_the_warm_up(self, decay):
        after = schedule(0.3, 1000, warmup_steps=100, decay=decay)
        alone = schedule(0.3, 900, decay=decay)
        np.testing.assert_array_equal([after(100 + k) for k in self.K], rates(alone, 900))


class TestWarmUp:
    def test_by_hand(self):
        np.testing.assert_allclose(
            rates(schedule(0.4, 6, warmup_steps=3), 6), [0.1, 0.2, 0.3, 0.4, 0.4, 0.4], rtol=1e-12
        )
        np.testing.assert_allclose(
            rates(schedule(1, 4, warmup_steps=1, start=0.5), 4), [0.75, 1, 1, 1], rtol=1e-12
        )

    def test_may_last_all_the_training(self):
        np.testing.assert_allclose(rates(schedule(3, 2, warmup_steps=2), 2), [1, 2])

    @settings(max_examples=100)
    @given(st.floats(1e-6, 10), st.integers(1, 50), st.integers(0, 50))
    def test_rises_in_equal_parts(self, peak, warmup, more):
        got = rates(schedule(peak, warmup + more + 1, warmup), warmup + 1)
        np.testing.assert_allclose(np.diff(got, prepend=0), peak / (warmup + 1), rtol=1e-9)


class TestScaling:
    @pytest.mark.parametrize(
        ("rule", "world_size", "expected"),
        [
            ("none", 6, 0.1),
            ("linear", 6, 0.6),
            ("sqrt", 4, 0.2),
            ("linear", 1, 0.1),
            ("sqrt", 1, 0.1),
            ("linear", 32, 3.2),  # Goyal et al. 2017: 0.1 for 256 images is 3.2 for 8,192
        ],
    )
    def test_by_hand(self, rule, world_size, expected):
        assert scaled(0.1, rule, world_size) == pytest.approx(expected, rel=1e-12)


class TestRefusals:
    def test_an_unknown_decay(self):
        with pytest.raises(ValueError) as error:
            schedule(0.1, 10, decay="linear")
        assert str(error.value) == "--schedule linear: expected one of constant, cosine, step"

    def test_a_warm_up_longer_than_the_training(self):
        with pytest.raises(ValueError) as error:
            schedule(0.1, 10, warmup_steps=11)
        assert str(error.value) == (
            "--warmup-epochs: 11 steps of warm-up in a training of 10; "
            "expected at most as many epochs as --epochs"
        )
