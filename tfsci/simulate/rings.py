"""Two kinds of points with one centre, the second spread wider: a circle parts them, no line does.

**Model.** Both kinds are as frequent. Points x of the first are N(0, 1) in each of d dimensions,
those of the second N(0, s²), s = `wider` > 1.

**Known answer.** With r = |x| the odds of the second kind are, by Bayes,

    ln P(2 | x) / P(1 | x) = r² (1 − s⁻²) / 2 − d ln s,

so that the best classifier takes all beyond r₀² = 2 d ln s / (1 − s⁻²) for the second kind. r² is
χ² with d degrees of freedom, times s² for the second. Of half-planes, which know one direction
alone, the best has its edge at the r₀ of d = 1.
"""

import math

import numpy as np
from scipy import integrate, special, stats

from tfsci.simulate.checks import sample_numbers


def generate(
    indices, seed: int = 0, dimensions: int = 2, wider: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the points that `indices` name; number i depends on (seed, i) and the options alone.

    Args:
        indices: Integers from 0 on, in any order.
        seed: Seed of the data set.
        dimensions: d.
        wider: s.

    Returns:
        Points, float32 of shape (len(indices), dimensions), and kinds 0 or 1, int32.

    Raises:
        ValueError: An argument is out of its range.

    >>> generate([4, 2])[0].shape
    (2, 2)
    """
    _check(dimensions, wider)
    rows = sample_numbers(indices)
    drawn = np.array([np.random.default_rng([seed, i]).normal(size=dimensions + 1) for i in rows])
    drawn = drawn.reshape(-1, dimensions + 1)
    y = (drawn[:, 0] > 0).astype("int32")
    return (drawn[:, 1:] * np.where(y, wider, 1.0)[:, None]).astype("float32"), y


def probability(radius, dimensions: int = 2, wider: float = 3.0) -> np.ndarray:
    """Returns the chance that a point at this distance from the centre is of the second kind."""
    _check(dimensions, wider)
    return special.expit(_log_odds(np.asarray(radius, float), dimensions, wider))


def best_radius(dimensions: int = 2, wider: float = 3.0) -> float:
    """Returns r₀, where both kinds are as likely."""
    _check(dimensions, wider)
    return math.sqrt(2 * dimensions * math.log(wider) / (1 - wider**-2))


def best_accuracy(dimensions: int = 2, wider: float = 3.0) -> float:
    """Returns the share of points nobody can beat.

    >>> round(best_accuracy(), 4)
    0.8377
    """
    edge = best_radius(dimensions, wider) ** 2
    within = stats.chi2(dimensions).cdf([edge, edge / wider**2])
    return float(0.5 + (within[0] - within[1]) / 2)


def best_line(wider: float = 3.0) -> float:
    """Returns the share that a half-plane has right at most, in any number of dimensions.

    >>> round(best_line(), 4)
    0.621
    """
    edge = best_radius(1, wider)
    return float(0.5 + (stats.norm.cdf(edge) - stats.norm.cdf(edge / wider)) / 2)


def loss_floor(dimensions: int = 2, wider: float = 3.0) -> float:
    """Returns the lowest possible mean cross-entropy, in nats: that of the exact probabilities."""
    _check(dimensions, wider)

    def of_kind(kind: int) -> float:
        spread, sign = (wider, -1) if kind else (1.0, 1)
        radius = stats.chi(dimensions, scale=spread)

        def cost(r):
            return radius.pdf(r) * np.logaddexp(0, sign * _log_odds(r, dimensions, wider))

        return integrate.quad(cost, 0, radius.isf(1e-14), limit=200)[0]

    return (of_kind(0) + of_kind(1)) / 2


def _log_odds(radius, dimensions: int, wider: float):
    return radius**2 * (1 - wider**-2) / 2 - dimensions * math.log(wider)


def _check(dimensions: int, wider: float) -> None:
    if dimensions != int(dimensions) or dimensions < 1:
        raise ValueError(f"dimensions: expected an integer from 1 on; received {dimensions!r}")
    if not 1 < wider < math.inf:
        raise ValueError(f"wider: expected a finite number above 1; received {wider!r}")
