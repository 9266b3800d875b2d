import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.models.attention import PositionEmbedding, SelfAttention, rotate


def attend(x, weights, heads, causal):
    """Attention in plain NumPy, one head and one token after another."""
    kernel, bias, output_kernel, output_bias = weights
    batch, tokens, channels = x.shape
    size = channels // heads
    q, k, v = np.split(x @ kernel + bias, 3, axis=-1)
    y = np.zeros((batch, tokens, channels))
    for b in range(batch):
        for n in range(heads):
            part = slice(n * size, (n + 1) * size)
            for t in range(tokens):
                seen = t + 1 if causal else tokens
                scores = np.exp(k[b, :seen, part] @ q[b, t, part] / np.sqrt(size))
                y[b, t, part] = scores / scores.sum() @ v[b, :seen, part]
    return y @ output_kernel + output_bias


def layer(channels, *arguments, **options):
    made = SelfAttention(*arguments, **options, deviation=0.5)
    made.build((None, None, channels))
    generator = np.random.default_rng(0)
    made.set_weights([generator.normal(0, 0.5, w.shape) for w in made.get_weights()])
    return made


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_equals_numpy(heads, causal):
    x = np.random.default_rng(1).normal(size=(2, 5, 12)).astype("float32")
    attention = layer(12, heads, causal)
    expected = attend(x, attention.get_weights(), heads, causal)
    np.testing.assert_allclose(attention(x), expected, rtol=1e-5, atol=1e-5)


def test_heads_must_divide_the_channels_and_rotary_ones_be_even():
    with pytest.raises(ValueError, match="num_heads 5: does not divide the 12 channels"):
        layer(12, 5)
    with pytest.raises(ValueError, match="num_heads 4: heads of 3 channels, expected an even"):
        layer(12, 4, rotary=True)


def test_shares_are_computed_in_float32():
    """At scores of some hundreds bfloat16 could not tell 256 from 257, whose shares differ."""
    attention = SelfAttention(1, dtype="mixed_bfloat16")
    q = np.full((1, 1, 1, 1), 16.0)
    k = np.array([16.0, 15.0]).reshape(1, 2, 1, 1)
    v = np.array([1.0, 0.0]).reshape(1, 2, 1, 1)
    attention.build((None, 1, 1))
    attention.set_weights([np.zeros((1, 3)), np.zeros(3), np.ones((1, 1)), np.zeros(1)])
    cast = [keras.ops.cast(z, "bfloat16") for z in (q, k, v)]
    share = float(keras.ops.squeeze(attention._attend(*cast, 0)))
    assert share == pytest.approx(1 / (1 + np.exp(-16)), abs=1e-2)


class TestRotary:
    def test_a_pair_turns_by_its_position(self):
        """H = 2: one pair, which turns by 1 a token; (1, 0) at position 2 is (cos 2, sin 2)."""
        x = np.array([[1.0, 0.0]] * 3, "float32").reshape(1, 3, 1, 2)
        expected = [[np.cos(t), np.sin(t)] for t in range(3)]
        np.testing.assert_allclose(rotate(x)[0, :, 0], expected, atol=1e-6)
        np.testing.assert_allclose(rotate(x, 4)[0, 0, 0], [np.cos(4), np.sin(4)], atol=1e-6)

    def test_the_second_pair_turns_100_times_slower(self):
        """H = 4: 10000^(-2/4) = 1/100; channels 1 and 3 are a pair."""
        x = np.array([0.0, 1.0, 0.0, 0.0], "float32").reshape(1, 1, 1, 4)
        expected = [0, np.cos(0.5), 0, np.sin(0.5)]
        np.testing.assert_allclose(rotate(x, 50)[0, 0, 0], expected, atol=1e-6)

    @given(shift=st.integers(0, 500), seed=st.integers(0, 2**32 - 1))
    def test_scores_depend_on_distances_alone(self, shift, seed):
        generator = np.random.default_rng(seed)
        q, k = generator.normal(size=(2, 1, 6, 2, 8)).astype("float32")

        def scores(first):
            return np.einsum("btnh,bsnh->bnts", rotate(q, first), rotate(k, first))

        np.testing.assert_allclose(scores(shift), scores(0), atol=2e-4)
        same = np.diagonal(scores(0), 0, 2, 3).swapaxes(1, 2)  # (B, T, N)
        np.testing.assert_allclose(same, (q * k).sum(-1), atol=1e-5)


def test_positions_are_rows_of_the_table():
    positions = PositionEmbedding(5)
    x = np.zeros((2, 3, 4), "float32")
    positions(x)
    (table,) = positions.get_weights()
    np.testing.assert_array_equal(positions(x)[1], table[:3])
    np.testing.assert_array_equal(positions(x, first=2)[0], table[2:])
    with pytest.raises(ValueError, match="6 tokens: expected at most 5 positions"):
        PositionEmbedding(5).build((None, 6, 4))
