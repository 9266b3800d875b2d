import keras
import pytest
from keras import layers
from test_builders import SMALL

from tfsci import models
from tfsci.models import cost
from tfsci.models.transformer import TransformerBlock


def of(shape, layer):
    inputs = keras.Input(shape)
    return cost.measure(keras.Model(inputs, layer(inputs)))


@pytest.mark.parametrize(
    ("shape", "layer", "flops"),
    [
        ((5,), layers.Dense(3), 2 * 5 * 3),
        ((7, 5), layers.Dense(3), 2 * 7 * 5 * 3),
        # 4 × 3 places, each of 8 channels from 3 × 3 × 2 numbers
        ((8, 6, 2), layers.Conv2D(8, 3, 2, "same"), 2 * 4 * 3 * 8 * 18),
        ((9, 4), layers.Conv1D(5, 3), 2 * 7 * 5 * 12),
        # each of 4 × 4 points goes into 2 × 2 places of 5 channels
        ((4, 4, 3), layers.Conv2DTranspose(5, 2, 2), 2 * 16 * 3 * 4 * 5),
        # 6 steps, each four products of (3 + 5) × 5
        ((6, 3), layers.LSTM(5), 2 * 6 * 4 * 8 * 5),
        ((6, 3), layers.GRU(5), 2 * 6 * 3 * 8 * 5),
        ((6, 3), layers.Bidirectional(layers.LSTM(5)), 2 * 2 * 6 * 4 * 8 * 5),
        # 10 tokens of 8: Q K V 8·24, output 8·8, dense 8·32 twice; 2 heads: 10·10 scores of 4
        # numbers, and 10·10 shares of 4 numbers
        (
            (10, 8),
            TransformerBlock(2),
            2 * 10 * (8 * 24 + 8 * 8 + 2 * 8 * 32) + 2 * 2 * (2 * 10 * 10 * 4),
        ),
        ((8,), layers.Dropout(0.5), 0),
    ],
)
def test_operations_by_hand(shape, layer, flops):
    assert of(shape, layer).flops == flops


def test_the_table_costs_only_on_the_way_out():
    found = cost.sketch(
        "gpt", num_layers=1, width=8, num_heads=2, vocabulary_size=11, context_length=10
    )
    block = of((10, 8), TransformerBlock(2)).flops
    assert found.flops == block + 2 * 10 * 8 * 11


class TestMemory:
    def test_by_hand(self):
        """Input, 5 and 3 numbers of 4 bytes; 4 · 5 + 5 and 5 · 3 + 3 parameters of 16 bytes."""
        inputs = keras.Input((4,))
        found = cost.measure(keras.Model(inputs, layers.Dense(3)(layers.Dense(5)(inputs))))
        assert found.activations == 4 * (5 + 3)
        assert found.memory(1) == 4 * 8 + 16 * 43
        assert found.memory(43) == 4 * 8 + 16

    def test_computing_again_keeps_less(self):
        options = SMALL["gpt"]
        kept, less = (cost.sketch("gpt", **options, recompute=flag) for flag in (False, True))
        assert less.flops == kept.flops
        # Two blocks of 8 tokens of 16 channels in 2 heads; 18 C + N T numbers a token, or 2 C.
        assert kept.activations - less.activations == 2 * 8 * (18 * 16 + 2 * 8 - 2 * 16) * 4

    def test_half_precision_halves_it(self):
        full = cost.sketch("unet", input_shape=(8, 8, 1))
        half = cost.sketch("unet", "mixed_bfloat16", input_shape=(8, 8, 1))
        logits = 4 * 8 * 8  # float32 in either
        assert half.activations - logits == (full.activations - logits) / 2


@pytest.mark.parametrize("name", SMALL)
def test_a_sketch_costs_what_the_model_does(name):
    assert cost.sketch(name, **SMALL[name]) == cost.measure(models.build(name, **SMALL[name]))


def test_a_sketch_leaves_nothing_behind(python):
    """Neither memory (6.2 GB of weights), nor precision, nor weights that others must make."""
    done = python(
        "import resource\n"
        "from tfsci.startup import import_tensorflow\n"
        "import_tensorflow()\n"
        "import keras\n"
        "from tfsci.models import build, cost\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6\n"
        "before = peak()\n"
        "cost.sketch('gpt', 'mixed_bfloat16', variant='gpt2-xl')\n"
        "build('mlp', input_shape=(3,), num_classes=2)\n"
        "print(keras.config.dtype_policy().name, peak() - before < 1)\n"
    )
    assert done.stdout.split() == ["float32", "True"], done.stderr


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="unknown model 'x'"):
        cost.sketch("x")
