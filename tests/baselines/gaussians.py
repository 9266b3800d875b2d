"""Problems whose answer is known in closed form, or by hand."""

import math

import numpy as np

from tfsci.baselines.problem import Problem, of_source
from tfsci.data.source import Source, Split

# Classes at ±1 along the first of three axes, variance 1: the best rule is the sign, right Φ(1).
BEST = 0.5 * (1 + math.erf(1 / math.sqrt(2)))


def split(x, y) -> Split:
    """Samples as a data set stores them."""
    return Split(np.asarray(x, "float32"), np.asarray(y))


def problem(train, validation, test, num_classes=2, known_answer=None, measure="accuracy"):
    """A problem of given samples."""
    parts = (split(*part) for part in (train, validation, test))
    return of_source(Source("given", *parts, num_classes, known_answer, measure))


def gaussians(*sizes: int, seed: int = 0) -> Problem:
    """Two Gaussian classes with as many samples each, in splits of these sizes."""
    generator = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        y = generator.permutation(np.arange(size) % 2)
        x = generator.standard_normal((size, 3))
        x[:, 0] += 2 * y - 1
        parts.append((x, y))
    return problem(*parts, known_answer=BEST)


def noise(*sizes: int, num_inputs: int, seed: int = 0) -> Problem:
    """Two classes that nothing tells apart."""
    generator = np.random.default_rng(seed)
    return problem(
        *(
            (generator.standard_normal((size, num_inputs)), generator.permutation(size) % 2)
            for size in sizes
        )
    )
