import numpy as np
import pytest

from tfsci import models
from tfsci.models.looking import attended


@pytest.fixture(scope="module")
def gpt():
    model = models.build(
        "gpt", num_layers=2, width=8, num_heads=2, vocabulary_size=5, context_length=6
    )
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def test_shares_sum_to_1_and_none_is_of_a_later_token(gpt):
    tokens = np.random.default_rng(1).integers(0, 5, (3, 6))
    for shares in attended(gpt, tokens):
        assert shares.shape == (3, 2, 6, 6)
        np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-5)
        assert not np.triu(shares, 1).any()


def test_they_are_those_of_the_first_block_by_hand(gpt):
    tokens = np.array([[0, 3, 1, 4, 4, 2]])
    block = gpt.get_layer("block_1")
    weights = {w.path.split("block_1/")[1]: np.asarray(w) for w in block.weights}
    table, positions = (np.asarray(gpt.get_layer(n).weights[0]) for n in ("embedding", "positions"))
    x = table[tokens[0]] + positions
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = x * weights["attention_norm/gamma"] + weights["attention_norm/beta"]
    qkv = x @ weights["attention/qkv/kernel"] + weights["attention/qkv/bias"]
    for head in range(2):
        q, k = (qkv[:, start + 4 * head : start + 4 * head + 4] for start in (0, 8))
        e = np.tril(np.exp(q @ k.T / 2))
        expected = e / e.sum(1, keepdims=True)
        np.testing.assert_allclose(attended(gpt, tokens)[0][0, head], expected, atol=1e-5)


def test_images_have_a_class_token_and_are_seen_whole():
    model = models.build("vit", input_shape=(8, 8, 1), num_classes=2, patch_size=4)
    shares = attended(model, np.ones((1, 8, 8, 1), "float32"))
    assert shares[0].shape[-2:] == (5, 5) and (shares[0] > 0).all()


def test_one_block_alone():
    options = {"num_layers": 1, "width": 4, "num_heads": 1, "context_length": 3}
    model = models.build("gpt", **options, vocabulary_size=2)
    assert [s.shape for s in attended(model, np.zeros((2, 3), int))] == [(2, 1, 3, 3)]


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="model 'mlp_small': has no transformer block"):
        attended(models.build("mlp", input_shape=(2,), num_classes=2), np.zeros((1, 2)))
