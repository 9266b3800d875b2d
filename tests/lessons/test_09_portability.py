import numpy as np
import pytest
from scipy.signal import correlate

from tfsci import models
from tfsci.lessons import backends
from tfsci.lessons.exercises import check


@pytest.mark.slow
class TestClaims:
    def test_all_hold(self, quick):
        assert [c["statement"] for c in quick("09")["claims"] if not c["holds"]] == []

    def test_every_backend_and_format_was_compared(self, known):
        rows = known("09", "minus NumPy")
        assert len(rows) == len(backends.installed()) + len(backends.formats())
        assert all(found < 1e-5 and told == 0 for found, told in rows)


def test_same_padding_comes_after_an_even_row():
    """As the lesson's referee has it, against SciPy's correlation."""
    model = models.build("cnn", input_shape=(8, 8, 1), num_classes=2)
    picture = np.random.default_rng(0).random((8, 8))
    layer = model.get_layer("conv_1")
    kernel, bias = layer.get_weights()
    padded = np.pad(picture, ((0, 1), (0, 1)))
    by_scipy = correlate(padded, kernel[:, :, 0, 5], "valid")[::2, ::2] + bias[5]
    found = np.asarray(layer(picture[None, :, :, None]))[0, ..., 5]
    np.testing.assert_allclose(found, by_scipy, atol=1e-5)


@pytest.mark.parametrize(
    ("exercise", "right", "wrong"),
    [
        (1, ["0.0596", "6%"], ["0.00000006", "0.6"]),
        (2, ["rounding", "Rounding"], ["bug", "seed"]),
        (3, ["2"], ["1", "0"]),
        (4, ["litert", "LiteRT"], ["keras", "savedmodel"]),
    ],
)
def test_exercises(exercise, right, wrong, capsys):
    for answer in right:
        assert check("09", exercise, answer), capsys.readouterr().out
    for answer in wrong:
        assert not check("09", exercise, answer)
        assert "not yet: " in capsys.readouterr().out
