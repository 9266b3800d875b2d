"""Exercises of `lessons/10_transformers.py`."""

import numpy as np

from tfsci.lessons.exercises import Exercise, choice, number


def _share(products: np.ndarray, size: int) -> float:
    """Returns the share of the first key, from the products of a query with all."""
    e = np.exp(np.asarray(products) / np.sqrt(size))
    return float(e[0] / e.sum())


def _block(tokens: int, channels: int) -> float:
    """Returns the operations of a block in a forward pass."""
    return 24 * tokens * channels**2 + 4 * tokens**2 * channels


EXERCISES = (
    Exercise(
        "A query of 16 numbers has the products 8, 4 and 0 with three keys. Which share does the "
        "first one get? Give it to 0.01.",
        number(
            lambda: _share(np.array([8, 4, 0]), 16),
            0.006,
            "divide the products by the root of 16 first, then exponentiate and divide by the sum",
        ),
        "without the root it would be 98 %: the scale decides how sharply it looks",
    ),
    Exercise(
        "Six tokens with a causal mask, and all scores are 0. Which share does the third token "
        "give to the first one? Give it to 0.01.",
        number(
            lambda: 1 / 3,
            0.006,
            "the third token sees three: itself and two before it; equal scores are equal shares",
        ),
        "the mask takes away later tokens before the softmax, so that the rest still sums to 1",
    ),
    Exercise(
        "By how many times do the operations of a block with 768 channels grow from 1,024 to 8,192 "
        "tokens? Use the formula of the section on cost; give it to 0.1.",
        number(
            lambda: _block(8192, 768) / _block(1024, 768),
            0.06,
            "dense layers grow 8 times, attention 64 times: weigh both by what they cost at 1,024",
        ),
        "not yet 64 times, but well above 8: attention has become the larger part",
    ),
    Exercise(
        "You train the copying block of the last section without position embeddings and without "
        "a mask. Can it tell which token followed the current one the first time? Answer yes or "
        "no.",
        choice(
            "no",
            {
                "yes": "one block without positions sees who is there, not where: shuffled tokens "
                "give the same outputs, shuffled"
            },
        ),
        "what followed what is order, and order is what positions are for",
    ),
)
