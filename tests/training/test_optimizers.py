import keras
import numpy as np
import pytest

from tfsci.data.source import Source, Split
from tfsci.models import build
from tfsci.training import optimizers
from tfsci.training.options import Options

SPLIT = Split(np.zeros((1, 2), "float32"), np.zeros(1, "int32"))


def network() -> keras.Model:
    """y = 2x + 3 of one number."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.set_weights([np.full((1, 1), 2.0), np.full(1, 3.0)])
    return model


def after(options: Options, *gradients: tuple[float, float]) -> list[float]:
    """Kernel and bias after updates with learning rate 0.1."""
    model = network()
    optimizer = optimizers.make(options, 0.1, model)
    for kernel, bias in gradients:
        optimizer.apply([np.array([[kernel]]), np.array([bias])], model.trainable_variables)
    return [float(w.ravel()[0]) for w in model.get_weights()]


class TestByHand:
    def test_sgd_with_momentum(self):
        # Speeds −0.1·1 and 0.9·(−0.1) − 0.1·1: −0.1 − 0.19.
        assert after(Options(), (1, 0), (1, 0)) == pytest.approx([1.71, 3])

    def test_decay_is_of_kernels_and_outside_the_momentum(self):
        kernel = 2 * (1 - 0.1 * 0.5) ** 2
        assert after(Options(weight_decay=0.5), (0, 0), (0, 0)) == pytest.approx([kernel, 3])
        options = Options(optimizer="adamw", weight_decay=0.5)
        assert after(options, (0, 0), (0, 0)) == pytest.approx([kernel, 3])

    def test_adamw(self):
        """Its first step is the learning rate, whatever the gradient; nothing decays unasked."""
        assert after(Options(optimizer="adamw"), (7, -0.01)) == pytest.approx([1.9, 3.1], abs=1e-4)

    def test_the_global_norm_is_clipped(self):
        """(3, 4) has norm 5: clipped to 1 it is (0.6, 0.8); a shorter one stays."""
        assert after(Options(clip_norm=1), (3, 4)) == pytest.approx([1.94, 2.92])
        assert after(Options(clip_norm=6), (3, 4)) == pytest.approx([1.7, 2.6])


@pytest.mark.parametrize(
    ("name", "options", "kernels"),
    [
        # Of each block q-k-v, output, expand, contract; neither tokens nor positions.
        ("gpt", {"num_layers": 2, "width": 8, "num_heads": 2}, 8),
        ("cnn", {"input_shape": (8, 8, 1), "num_classes": 3}, 4),
        ("rnn", {"input_shape": (5, 2), "num_classes": 3, "variant": "gru"}, 3),
    ],
)
def test_what_decays_in_a_model(name, options, kernels):
    variables = build(name, **options).trainable_variables
    decaying = [v for v in variables if optimizers.decays(v)]
    assert len(decaying) == kernels
    assert all(len(v.shape) >= 2 for v in decaying)


@pytest.mark.parametrize(
    ("options", "name", "rate"),
    [
        (Options(), "digits", 0.1),
        (Options(), "ising", 0.02),
        (Options(optimizer="adamw"), "digits", 0.001),
        (Options(learning_rate=0.3), "digits", 0.3),
    ],
)
def test_the_default_rate(options, name, rate):
    assert optimizers.default_rate(options, Source(name, SPLIT, SPLIT, SPLIT, 2)) == rate


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="--optimizer lion: expected one of sgd, adamw"):
        optimizers.make(Options(optimizer="lion"), 0.1, network())
