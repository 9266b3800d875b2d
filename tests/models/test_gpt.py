import math

import keras
import numpy as np
import pytest
from test_attention import attend
from test_builders import randomized

from tfsci import models
from tfsci.models import cost

SMALL = {"num_layers": 2, "width": 8, "num_heads": 2, "vocabulary_size": 7, "context_length": 6}


@pytest.fixture(params=["learned", "rotary"])
def model(request):
    return randomized(models.build("gpt", **SMALL, positions=request.param))


def tokens(seed=0):
    return np.random.default_rng(seed).integers(0, 7, (2, 6))


class TestParameters:
    @pytest.mark.parametrize(
        ("variant", "count"),
        [
            # The released models.
            ("gpt2-small", 124_439_808),
            ("gpt2-medium", 354_823_168),
            ("gpt2-xl", 1_557_611_200),
            # 24 (12 · 2064² + 13 · 2064) + (50257 + 2048) 2064 + 2 · 2064
            ("oak-ridge", 1_335_513_264),
        ],
    )
    def test_published(self, variant, count):
        assert cost.sketch("gpt", variant=variant).parameters == count

    def test_of_a_block_and_the_rest(self):
        model = models.build("gpt", **SMALL)
        # Each block: two norms 2 · 8, Q K V 24, output 8, 32 and 8 units with biases.
        block = 2 * 16 + 9 * 24 + 9 * 8 + 9 * 32 + 33 * 8
        assert model.count_params() == 2 * block + (7 + 6) * 8 + 16
        assert models.build("gpt", **SMALL, positions="rotary").count_params() == (
            2 * block + 7 * 8 + 16
        )

    def test_one_table_is_for_what_comes_in_and_goes_out(self):
        model = models.build("gpt", **SMALL)
        assert [w.path for w in model.weights if 7 in w.shape] == ["embedding/embeddings"]


def norm(x, scale, offset):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + offset


def gelu(x):
    """The approximation that GPT-2 was trained with."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def forward(weights, x):
    """A GPT with learned positions, in NumPy."""
    names = {name: np.asarray(value, "float64") for name, value in weights.items()}
    table = names["embedding/embeddings"]
    y = table[x] + names["positions/table"][: x.shape[1]]
    for i in (1, 2):

        def of(name, i=i):
            return names[f"block_{i}/{name}"]

        attention = [
            of(f"attention/{part}/{kind}")
            for part in ("qkv", "output")
            for kind in ("kernel", "bias")
        ]
        z = norm(y, of("attention_norm/gamma"), of("attention_norm/beta"))
        y = y + attend(z, attention, 2, causal=True)
        z = norm(y, of("dense_norm/gamma"), of("dense_norm/beta"))
        z = gelu(z @ of("expand/kernel") + of("expand/bias"))
        y = y + z @ of("contract/kernel") + of("contract/bias")
    return norm(y, names["norm/gamma"], names["norm/beta"]) @ table.T


def test_equals_numpy():
    model = randomized(models.build("gpt", **SMALL))
    weights = {weight.path: weight for weight in model.weights}
    np.testing.assert_allclose(model(tokens()), forward(weights, tokens()), rtol=1e-4, atol=1e-5)


def test_no_token_sees_a_later_one(model):
    x, changed = tokens(), tokens()
    changed[:, 4] = (x[:, 4] + 3) % 7
    before, after = np.asarray(model(x)), np.asarray(model(changed))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (np.abs(before[:, 4:] - after[:, 4:]).max(axis=-1) > 1e-3).all()


def test_another_length_than_the_context_is_refused():
    with pytest.raises(ValueError, match=r"expected shape=\(None, 6\), found shape=\(2, 7\)"):
        models.build("gpt", **SMALL)(np.zeros((2, 7), "int32"))


def test_starts_by_knowing_nothing():
    """Every token is nearly as probable: a loss of ln V."""
    keras.utils.set_random_seed(0)
    model = models.build("gpt", variant="1m")
    x = np.random.default_rng(0).integers(0, 512, (4, 128))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(x, model(x[:, ::-1]))
    assert float(loss) == pytest.approx(math.log(512), abs=0.1)
