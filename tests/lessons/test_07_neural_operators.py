import numpy as np
import pytest

from tfsci import models
from tfsci.lessons.exercises import check
from tfsci.lessons.exercises.neural_operators import _terms
from tfsci.simulate import burgers


@pytest.mark.slow
class TestClaims:
    def test_the_network_integrates(self, known):
        for what in ("product by hand", "sum over a fine grid"):
            ((found, told),) = known("07", what)
            assert (found < 1e-5, told) == (True, 0)


def test_the_floor_is_the_error_of_the_best_mixture():
    """By least squares on the components themselves, which the floor does not ask for."""
    some = range(2_000_000_000, 2_000_000_500)
    (exact,) = burgers.generate(some, points=64, times=(1.0,), viscosity=0.02).transpose(1, 0, 2)
    exact = exact.astype(float)
    needed = _terms(0.02, 0.02)
    for terms, reached in ((needed, True), (needed - 1, False)):
        centred = exact - exact.mean(1, keepdims=True)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        basis = np.column_stack([vectors[:, np.argsort(-values)[:terms]], np.ones(64)])
        mixed = basis @ np.linalg.lstsq(basis, exact.T, rcond=None)[0]
        error = np.sqrt(((mixed.T - exact) ** 2).mean() / (exact**2).mean())
        assert bool(error < 0.02) is reached


def test_the_network_has_as_many_parameters_as_the_exercise_says():
    net = models.build("deeponet", input_shape=(64,), points=(0.0,), period=2.0, harmonics=4)
    assert check("07", 3, net.count_params())
