"""Protein-like sequences from a Markov source whose entropy rate is exact: the floor of the loss.

**Model.** Tokens 0 … 19 are the amino acids of `AMINO_ACIDS`. The next one depends on the last k
(k = `order`), with the transition probabilities

    P(x | c_1 … c_k) ∝ q_x exp(contrast · (g_1[c_k, x] + g_2[c_{k−1}, c_k, x] + …) / √k),

q about the composition of proteins in Swiss-Prot (fixed here, not to be cited) and g_j tables of
standard normal numbers, drawn once from `numpy.random.default_rng([source, j])`: they belong to the
source, not to a sample. Each longer context adds something, so that a model's loss goes down in
steps: composition, pairs, triples. Sequences start in the stationary distribution.

**Known answer.** All probabilities are positive, so that the chain of k-tuples forgets its start
and has one stationary distribution μ = μP (Perron-Frobenius). With it, the entropy rate (Shannon
1948; Cover & Thomas, Elements of Information Theory, 2nd ed. 2006, sect. 4.2) is

    h = −Σ_c μ(c) Σ_x P(x | c) ln P(x | c)   nats per token (÷ ln 2: bits),

the lowest mean cross-entropy any model can reach on a token if it sees the k before. A token with
fewer before it costs more: by the chain rule n tokens from a stationary start have H(X_1 … X_n) =
Σ_j H(X_j | X_1 … X_{j−1}), whose terms are `entropy_rate(context=j − 1)` and h for j > k.
"""

import functools
import math

import numpy as np

from tfsci.simulate.checks import sample_numbers

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
_PER_CENT = [  # in the order of AMINO_ACIDS
    [8.25, 1.38, 5.46, 6.71, 3.86, 7.07, 2.27, 5.90, 5.79, 9.64],
    [2.41, 4.06, 4.74, 3.93, 5.52, 6.65, 5.36, 6.85, 1.10, 2.92],
]
COMPOSITION = np.ravel(_PER_CENT) / np.sum(_PER_CENT)
VOCABULARY_SIZE = len(AMINO_ACIDS)


def transition_probabilities(order: int = 2, contrast: float = 1.5, source: int = 0) -> np.ndarray:
    """Returns P, float64 of shape (20,) * (order + 1): P[c_1, …, c_k, x], summing to 1 over x.

    Args:
        order: k, 1 to 3: how many tokens the next one depends on.
        contrast: 0 (independent tokens of protein composition) and up (more predictable) to 5.
        source: Seed of the tables; another number is another language.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check(order=order, contrast=contrast, source=source)
    return _source(int(order), float(contrast), int(source))[0].copy()


def stationary_distribution(order: int = 2, contrast: float = 1.5, source: int = 0) -> np.ndarray:
    """Returns μ, float64 of shape (20,) * order: how often each k-tuple occurs.

    By power iteration until it changes by less than 1e-15 in all; arguments as for
    `transition_probabilities`.
    """
    _check(order=order, contrast=contrast, source=source)
    return _source(int(order), float(contrast), int(source))[1].copy()


@functools.lru_cache(maxsize=8)
def _source(order: int, contrast: float, source: int) -> tuple[np.ndarray, np.ndarray]:
    logits = np.zeros((VOCABULARY_SIZE,) * (order + 1))
    for j in range(1, order + 1):
        table = np.random.default_rng([source, j]).standard_normal((VOCABULARY_SIZE,) * (j + 1))
        logits += contrast / math.sqrt(order) * table  # the shorter one holds for all older tokens
    p = COMPOSITION * np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    mu = np.full((VOCABULARY_SIZE,) * order, VOCABULARY_SIZE**-order)
    for _ in range(10_000):
        before, mu = mu, (mu[..., None] * p).sum(axis=0)
        mu /= mu.sum()
        if np.abs(mu - before).sum() < 1e-15:
            break
    return p, mu


def entropy_rate(
    order: int = 2, contrast: float = 1.5, source: int = 0, context: int | None = None
) -> float:
    """Returns h in nats per token: the floor of the loss of a model that sees the last k tokens.

    Args:
        order: As for `transition_probabilities`, like the next two.
        contrast: Same.
        source: Same.
        context: The floor of a model that sees the last `context` tokens alone, which is higher
            where that is less than the order. Default: all.

    Raises:
        ValueError: An argument is out of its range.

    >>> [round(entropy_rate(order=2, context=c) / math.log(2), 3) for c in (0, 1, 2)]  # bits
    [4.105, 3.484, 2.999]
    """
    _check(order=order, contrast=contrast, source=source)
    context = order if context is None else context
    _check(context=context)
    p, mu = _source(int(order), float(contrast), int(source))
    joint = mu[..., None] * p  # of k + 1 tokens
    seen = min(context, order)
    joint = joint.sum(axis=tuple(range(order - seen)))
    return _entropy(joint) - _entropy(joint.sum(axis=-1))


def _entropy(probabilities: np.ndarray) -> float:
    p = probabilities[probabilities > 0]
    return float(-(p * np.log(p)).sum())


def loss_floor(
    length: int = 128, given: int = 0, order: int = 2, contrast: float = 1.5, source: int = 0
) -> float:
    """Returns the lowest possible mean loss, in nats per token, over a window of `length` tokens.

    (H(X_1 … X_length) − H(X_1 … X_given)) / (length − given), the window starting anywhere in a
    stationary sequence. A model that is fed tokens 1 … T−1 and predicts 2 … T has `given` = 1.

    Args:
        length: Tokens in the window.
        given: How many of them, at its start, are not predicted.
        order: As for `transition_probabilities`, like the next two.
        contrast: Same.
        source: Same.

    Raises:
        ValueError: An argument is out of its range.

    >>> entropy_rate() < loss_floor(1000) < loss_floor(10)
    True
    """
    _check(length=length, given=given)
    if given >= length:
        raise ValueError(f"given: expected less than the length, {length}; received {given}")
    # Beyond `order` tokens of context each term is h.
    short = [entropy_rate(order, contrast, source, j) for j in range(given, min(order, length))]
    rate = entropy_rate(order, contrast, source)
    return (sum(short) + (length - given - len(short)) * rate) / (length - given)


def best_accuracy(order: int = 2, contrast: float = 1.5, source: int = 0) -> float:
    """Returns the share of tokens nobody can beat in guessing the next one: Σ_c μ(c) max_x P(x|c).

    Exact where the last k tokens are seen; arguments as for `transition_probabilities`.
    """
    _check(order=order, contrast=contrast, source=source)
    p, mu = _source(int(order), float(contrast), int(source))
    return float((mu * p.max(axis=-1)).sum())


def generate(
    indices,
    seed: int = 0,
    length: int = 128,
    order: int = 2,
    contrast: float = 1.5,
    source: int = 0,
) -> np.ndarray:
    """Makes the sequences that `indices` name; number i depends on (seed, i) and the options alone.

    A longer sequence begins with the shorter one.

    Args:
        indices: Integers from 0 on, in any order.
        seed: Seed of the data set.
        length: Tokens in a sequence.
        order: As for `transition_probabilities`, like the next two.
        contrast: Same.
        source: Same.

    Returns:
        Tokens 0 … 19, int32 of shape (len(indices), length).

    Raises:
        ValueError: An argument is out of its range.

    >>> generate([3, 5], length=12).shape
    (2, 12)
    """
    _check(seed=seed, length=length, order=order, contrast=contrast, source=source)
    rows = sample_numbers(indices)
    p, mu = _source(int(order), float(contrast), int(source))
    tokens = np.zeros((len(rows), max(length, order)), "int32")
    uniforms = np.empty((len(rows), max(length, order)))
    for row, index in zip(uniforms, rows, strict=True):
        np.random.default_rng([seed, index]).random(out=row)
    # The k-tuples in lexicographic order on [0, 1): one uniform picks the start.
    start = np.searchsorted(np.cumsum(mu)[:-1], uniforms[:, 0], side="right")
    tokens[:, :order] = np.stack(np.unravel_index(start, mu.shape), axis=1)
    cumulative = np.cumsum(p, axis=-1)[..., :-1].reshape(-1, VOCABULARY_SIZE - 1)
    state = start
    for t in range(order, length):
        tokens[:, t] = (cumulative[state] <= uniforms[:, t, None]).sum(axis=1)
        state = (state * VOCABULARY_SIZE + tokens[:, t]) % VOCABULARY_SIZE**order
    return tokens[:, :length]


def log_likelihood(
    tokens: np.ndarray, order: int = 2, contrast: float = 1.5, source: int = 0
) -> np.ndarray:
    """Returns ln P(x_t | the k before it), float64 (n, length − order): minus the best loss.

    Args:
        tokens: Integers 0 … 19 of shape (n, length), length above the order.
        order: As for `transition_probabilities`, like the next two.
        contrast: Same.
        source: Same.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check(order=order, contrast=contrast, source=source)
    tokens = _tokens(tokens)
    if tokens.shape[1] <= order:
        raise ValueError(
            f"tokens: expected more than {order} in a row; received shape {tokens.shape}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(tokens, order + 1, axis=1)
    return np.log(_source(int(order), float(contrast), int(source))[0][tuple(windows.T)].T)


def text(tokens: np.ndarray) -> list[str]:
    """Returns the sequences in one-letter code.

    >>> text(np.array([[10, 0, 19]]))
    ['MAY']
    """
    return ["".join(AMINO_ACIDS[token] for token in row) for row in _tokens(tokens)]


def _tokens(tokens) -> np.ndarray:
    tokens = np.asarray(tokens)
    whole = tokens.ndim == 2 and (tokens.dtype.kind in "iu" or not tokens.size)
    if not whole or (tokens.size and not 0 <= tokens.min() <= tokens.max() < VOCABULARY_SIZE):
        raise ValueError(
            f"tokens: expected integers from 0 to {VOCABULARY_SIZE - 1} of shape (n, length); "
            f"received {tokens.dtype} of shape {tokens.shape}"
        )
    return tokens


def _check(**arguments) -> None:
    rules = {
        "order": ("1, 2 or 3", lambda v: v in (1, 2, 3)),
        "contrast": ("a number from 0 to 5", lambda v: 0 <= v <= 5),
        "length": ("an integer from 1 on", lambda v: v == int(v) and v >= 1),
    }
    for name, value in arguments.items():
        expected, holds = rules.get(
            name, ("an integer from 0 on", lambda v: v == int(v) and v >= 0)
        )
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and holds(value)):
            raise ValueError(f"{name}: expected {expected}; received {value!r}")
