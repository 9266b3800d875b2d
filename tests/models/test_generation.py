import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_builders import randomized

from tfsci import models
from tfsci.models import generation

SMALL = {"num_layers": 2, "width": 16, "num_heads": 2, "vocabulary_size": 20, "context_length": 12}


@pytest.fixture(scope="module", params=["learned", "rotary"])
def model(request):
    return randomized(models.build("gpt", **SMALL, positions=request.param))


PROMPT = np.random.default_rng(0).integers(0, 20, (3, 4))


def test_logits_with_a_cache_are_those_without(model):
    tokens = np.random.default_rng(1).integers(0, 20, (3, 12)).astype("int32")
    whole = np.asarray(model(tokens))
    empty = np.zeros((3, 12, 2, 8), "float32")
    logits, caches = generation.decode(model, tokens[:, :5], [(empty, empty)] * 2, 0)
    np.testing.assert_allclose(logits, whole[:, 4], rtol=1e-5, atol=1e-5)
    for t in range(5, 12):
        logits, caches = generation.decode(model, tokens[:, t : t + 1], caches, t)
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_tokens_with_a_cache_are_those_without(model, temperature):
    cached = generation.Generator(model)(PROMPT, 8, temperature, seed=2)
    whole = generation.Generator(model, use_cache=False)(PROMPT, 8, temperature, seed=2)
    np.testing.assert_array_equal(cached, whole)
    np.testing.assert_array_equal(cached[:, :4], PROMPT)


def test_the_most_probable_token_each_time(model):
    tokens = np.zeros((1, 12), "int32")
    tokens[0, :4] = PROMPT[0]
    for t in range(4, 12):  # by the plain model
        tokens[0, t] = np.argmax(model(tokens)[0, t - 1])
    written = generation.generate(model, PROMPT[0], 8, temperature=0)
    np.testing.assert_array_equal(written, tokens[0])
    np.testing.assert_array_equal(
        generation.generate(model, PROMPT[0], 8, top_k=1, seed=0), tokens[0]
    )


def test_a_seed_repeats_and_another_does_not(model):
    write = generation.Generator(model)
    once, again, other = (write(PROMPT, 8, 3.0, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    np.random.seed(0)
    assert (write(PROMPT, 8, 3.0) != write(PROMPT, 8, 3.0)).any()


class TestChoose:
    LOGITS = np.log(np.array([[0.1, 0.2, 0.3, 0.4]], "float32"))

    @pytest.mark.parametrize(
        ("drawn", "token"), [(0, 0), (0.09, 0), (0.11, 1), (0.31, 2), (0.59, 2), (0.61, 3), (1, 3)]
    )
    def test_by_the_sum_of_probabilities(self, drawn, token):
        assert int(generation.choose(self.LOGITS, np.array([drawn], "float32"))[0]) == token

    @pytest.mark.parametrize(("drawn", "token"), [(0, 3), (0.57, 3), (0.58, 2), (0.99, 2)])
    def test_among_the_most_probable(self, drawn, token):
        """Of two: 0.4 / 0.7 = 0.571 and 0.3 / 0.7."""
        chosen = generation.choose(self.LOGITS, np.array([drawn], "float32"), top_k=2)
        assert int(chosen[0]) == token

    def test_temperature_half_squares_the_odds(self):
        """0.01, 0.04, 0.09 and 0.16 of 0.30: the first has 0.033, the first two 0.167."""
        for drawn, token in [(0.03, 0), (0.04, 1), (0.16, 1), (0.17, 2)]:
            chosen = generation.choose(self.LOGITS, np.array([drawn], "float32"), 0.5)
            assert int(chosen[0]) == token

    @given(st.floats(0, 1, exclude_max=True, width=32), st.integers(0, 2**32 - 1))
    def test_never_what_can_not_be(self, drawn, seed):
        logits = np.random.default_rng(seed).normal(0, 3, (1, 9)).astype("float32")
        logits[:, ::2] = -np.inf
        assert int(generation.choose(logits, np.array([drawn], "float32"))[0]) % 2


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda write: write(PROMPT, 9), "num_tokens 9: with a prompt of 4 longer than the model's "
         "context of 12; expected at most 8"),
        (lambda write: write(PROMPT, 0), "num_tokens 0: expected at least 1"),
        (lambda write: write([20], 1), "prompt has tokens 20 … 20; expected 0 … 19"),
        (lambda write: write([], 1), "prompt of shape (0,) and float64: expected whole numbers of "
         "shape (tokens,) or (prompts, tokens), at least one"),
        (lambda write: write([1], 1, -1), "temperature -1: expected a number from 0 up"),
        (lambda write: generation.Generator(write._loop.model, top_k=21),
         "top_k 21: expected 1 to 20 tokens"),
        (lambda write: generation.Generator(models.build("mlp", input_shape=(3,), num_classes=2)),
         "model 'mlp_small': expected one that tfsci.models.gpt has built"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, text):
    write = generation.Generator(models.build("gpt", **SMALL))
    with pytest.raises(ValueError) as error:
        call(write)
    assert str(error.value) == text
