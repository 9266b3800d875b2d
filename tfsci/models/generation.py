"""Text by a GPT: one token after another, each from what came before."""

import keras
import numpy as np
from keras import layers, ops

from tfsci.models import checks
from tfsci.models.transformer import TransformerBlock


class Generator:
    """Continues sequences of tokens; compiled once for each length of prompt and of continuation.

    With a cache of keys and values each token costs one pass of one token through the model;
    without, a pass of the whole context. Both give the same tokens.

    Args:
        model: A model of `tfsci.models.gpt`.
        top_k: Take one of the so many most probable tokens; of all by default.
        use_cache: Whether keys and values are kept.
        jit: Whether XLA compiles the loop.

    Raises:
        ValueError: The model is no GPT, or `top_k` is out of range.
    """

    def __init__(
        self,
        model: keras.Model,
        top_k: int | None = None,
        use_cache: bool = True,
        jit: bool = True,
    ):
        names = [layer.name for layer in model.layers]
        if "embedding" not in names or not _blocks(model) or not _blocks(model)[0].causal:
            raise ValueError(f"model {model.name!r}: expected one that tfsci.models.gpt has built")
        self.vocabulary_size = model.output_shape[-1]
        self.context_length = model.input_shape[-1]
        if top_k is not None and checks.whole("top_k", top_k) > self.vocabulary_size:
            raise ValueError(f"top_k {top_k}: expected 1 to {self.vocabulary_size} tokens")
        self._loop = _Loop(model, top_k, use_cache, name="loop")
        self._jit, self._programs = jit, {}

    def __call__(
        self,
        prompt: np.ndarray,
        num_tokens: int,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> np.ndarray:
        """Continues prompts.

        Args:
            prompt: Tokens, at least one: (P,), or (B, P) for B prompts of one length.
            num_tokens: How many tokens to add.
            temperature: Logits are divided by it; 0 takes the most probable token.
            seed: Of the choice; NumPy's global state, which `keras.utils.set_random_seed` sets,
                by default.

        Returns:
            The prompt and what was added, int32 of shape (…, P + num_tokens).

        Raises:
            ValueError: A token is none of the vocabulary, or the whole is longer than the context.
        """
        tokens = self._tokens(prompt)
        num_tokens = checks.whole("num_tokens", num_tokens)
        if tokens.shape[1] + num_tokens > self.context_length:
            raise ValueError(
                f"num_tokens {num_tokens}: with a prompt of {tokens.shape[1]} longer than the "
                f"model's context of {self.context_length}; expected at most "
                f"{self.context_length - tokens.shape[1]}"
            )
        if not 0 <= temperature < float("inf"):
            raise ValueError(f"temperature {temperature}: expected a number from 0 up")
        random = np.random.random if seed is None else np.random.default_rng(seed).random
        drawn = random((len(tokens), num_tokens)).astype("float32")
        greedy = temperature == 0 or self._loop.top_k == 1
        program = self._program(tokens.shape[1], num_tokens, greedy)
        warmth = np.full(len(tokens), temperature or 1.0, "float32")
        whole = np.asarray(program.predict_on_batch([tokens, drawn, warmth]))
        return whole.reshape(*np.shape(prompt)[:-1], -1)

    def _tokens(self, prompt) -> np.ndarray:
        tokens = np.asarray(prompt)
        if tokens.ndim not in (1, 2) or not tokens.size or tokens.dtype.kind not in "iu":
            raise ValueError(
                f"prompt of shape {tokens.shape} and {tokens.dtype}: expected whole numbers of "
                "shape (tokens,) or (prompts, tokens), at least one"
            )
        if tokens.min() < 0 or tokens.max() >= self.vocabulary_size:
            raise ValueError(
                f"prompt has tokens {tokens.min()} … {tokens.max()}; expected 0 … "
                f"{self.vocabulary_size - 1}"
            )
        return np.atleast_2d(tokens).astype("int32")

    def _program(self, prompt: int, num_tokens: int, greedy: bool) -> keras.Model:
        key = (prompt, num_tokens, greedy)
        if key not in self._programs:
            shapes = {"prompt": ((prompt,), "int32"), "drawn": ((num_tokens,), "float32")}
            inputs = [keras.Input(shape, dtype=dtype) for shape, dtype in shapes.values()]
            inputs.append(keras.Input((), dtype="float32"))
            program = keras.Model(inputs, self._loop(*inputs, greedy=greedy))
            program.jit_compile = self._jit
            self._programs[key] = program
        return self._programs[key]


def generate(
    model: keras.Model,
    prompt: np.ndarray,
    num_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int | None = None,
) -> np.ndarray:
    """Continues prompts once; see `Generator`, which is compiled once for many.

    Args:
        model: A model of `tfsci.models.gpt`.
        prompt: Tokens, (P,) or (B, P).
        num_tokens: How many tokens to add.
        temperature: Logits are divided by it; 0 takes the most probable token.
        top_k: Take one of the so many most probable tokens; of all by default.
        seed: Of the choice.

    Returns:
        The prompt and what was added, int32 of shape (…, P + num_tokens).
    """
    return Generator(model, top_k)(prompt, num_tokens, temperature, seed)


def choose(logits, drawn, temperature=1.0, top_k: int | None = None):
    """Returns a token of each row, by its probability.

    Args:
        logits: (B, V).
        drawn: Uniform random numbers of [0, 1), (B,): the token is where the sum of the
            probabilities, one after another, passes it.
        temperature: Logits are divided by it; above 0, a number or of shape (B,).
        top_k: Choose among the so many most probable tokens.
    """
    index = None
    if top_k:
        logits, index = ops.top_k(logits, top_k)
    temperature = ops.broadcast_to(temperature, ops.shape(drawn))[:, None]
    cumulative = ops.cumsum(ops.softmax(logits / temperature), axis=-1)
    passed = cumulative <= drawn[:, None] * cumulative[:, -1:]
    token = ops.sum(ops.cast(passed, "int32"), axis=-1, keepdims=True)
    token = ops.minimum(token, logits.shape[-1] - 1)
    return (token if index is None else ops.take_along_axis(index, token, axis=-1))[:, 0]


class _Loop(layers.Layer):
    """Prompts (B, P) and random numbers (B, n) → prompts with n tokens more, (B, P + n)."""

    def __init__(self, model: keras.Model, top_k: int | None, use_cache: bool, **kwargs):
        super().__init__(autocast=False, **kwargs)  # random numbers keep their 24 bits
        self.model, self.top_k, self.use_cache = model, top_k, use_cache
        self.built = True

    def compute_output_spec(self, prompt, drawn, temperature, greedy=False):
        return keras.KerasTensor((None, prompt.shape[1] + drawn.shape[1]), "int32")

    def call(self, prompt, drawn, temperature, greedy=False):
        before, added = prompt.shape[1], drawn.shape[1]
        start, go_on = self._cached if self.use_cache else self._uncached
        length = before + added if self.use_cache else self.model.input_shape[-1]
        tokens = ops.pad(prompt, ((0, 0), (0, length - before)))
        logits, state = start(tokens, before)

        def step(i, carried):
            tokens, logits, state = carried
            if greedy:
                token = ops.cast(ops.argmax(logits, axis=-1), "int32")
            else:
                token = choose(logits, ops.take(drawn, i, axis=1), temperature, self.top_k)
            token = ops.cast(token, "int32")[:, None]  # (B, 1)
            tokens = ops.slice_update(tokens, (0, before + i), token)
            logits, state = go_on(tokens, token, state, before + i)
            return tokens, logits, state

        tokens, _, _ = ops.fori_loop(0, added, step, (tokens, logits, state))
        return tokens[:, : before + added]

    @property
    def _cached(self):
        blocks = _blocks(self.model)

        def start(tokens, before):
            batch, length = ops.shape(tokens)[0], tokens.shape[1]
            heads, width = blocks[0].num_heads, self.model.get_layer("norm").output.shape[-1]
            empty = ops.zeros((batch, length, heads, width // heads), blocks[0].compute_dtype)
            return decode(self.model, tokens[:, :before], [(empty, empty) for _ in blocks], 0)

        def go_on(tokens, token, caches, first):
            return decode(self.model, token, caches, first)

        return start, go_on

    @property
    def _uncached(self):
        def start(tokens, before):
            return self.model(tokens)[:, before - 1], ()

        def go_on(tokens, token, state, last):
            return ops.take(self.model(tokens), last, axis=1), ()

        return start, go_on


def decode(model: keras.Model, tokens, caches, first):
    """Runs the next tokens alone through a GPT.

    Args:
        model: A model of `tfsci.models.gpt`.
        tokens: (B, T).
        caches: Of each block keys and values of the tokens before, see `SelfAttention.decode`.
        first: Position of the first token, a number or a tensor.

    Returns:
        Float32 logits after the last of them, (B, V), and the caches with them.
    """
    embedding = model.get_layer("embedding")
    x = embedding(tokens)
    if any(layer.name == "positions" for layer in model.layers):
        x = model.get_layer("positions")(x, first=first)
    filled = []
    for block, cache in zip(_blocks(model), caches, strict=True):
        x, cache = block.decode(x, cache, first)
        filled.append(cache)
    logits = embedding(model.get_layer("norm")(x[:, -1:]), reverse=True)
    return ops.cast(logits[:, 0], "float32"), filled


def _blocks(model: keras.Model) -> list[TransformerBlock]:
    return [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
