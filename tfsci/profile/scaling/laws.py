"""Laws of scaling, fitted to measured times by least squares, with their intervals.

Every law here is linear in its parameters θ ≥ 0, y(n) = Σ θₖ·xₖ(n), n being the number of ranks.
Errors are taken to be independent, Gaussian and the same share of each time, so residuals are
divided by what was measured. The intervals are Student's, with as many degrees of freedom as there
are runs more than parameters; without any there is none.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; `low` and `high` are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Law:
    """A law with its parameters.

    Attributes:
        name: ``amdahl``, ``gustafson`` or ``alpha-beta``.
        parameters: By name; times in seconds.
        columns: xₖ(n) for an array of n, shape (k, len(n)).
        theta: Shape (k,).
        inverse: Whether y is the rate instead of the time.
        misfit: Root mean square of what it is off, as a share of each measured y.
        spread: Covariance of θ, (k, k), and relative standard deviation of a run; None where
            there are no more runs than parameters.
        student: Factor of the intervals.
    """

    name: str
    parameters: dict[str, Estimate]
    columns: Callable[[np.ndarray], np.ndarray]
    theta: np.ndarray
    inverse: bool
    misfit: float
    spread: tuple[np.ndarray, float] | None
    student: float

    def seconds(self, world_size: float) -> Estimate:
        """Returns the time that a run of this size is predicted to take.

        The interval is where the time of one such run is to be expected; `high` is infinite where
        nothing bounds it.
        """
        x = self.columns(np.array([float(world_size)]))[:, 0]
        y = float(self.theta @ x)
        low = high = None
        if self.spread:
            covariance, noise = self.spread
            off = self.student * np.sqrt(x @ covariance @ x + (noise * y) ** 2)
            low, high = float(max(0.0, y - off)), float(y + off)
        if not self.inverse:
            return Estimate(y, low, high)
        if low is None:
            return Estimate(1 / y)
        return Estimate(1 / y, 1 / high, 1 / low if low > 0 else float("inf"))


def amdahl(sizes: Sequence[int], seconds: Sequence[float]) -> Law | None:
    """Fits T(n) = T₁·(s + (1 − s)/n), s being the serial share (Amdahl 1967).

    Returns:
        The law, None where there are fewer than two sizes.
    """
    return _with_serial_share("amdahl", lambda n: np.stack([n**0, 1 / n]), sizes, seconds, False)


def gustafson(sizes: Sequence[int], seconds: Sequence[float]) -> Law | None:
    """Fits the rate 1/T(n) = (s + (1 − s)·n)/T₁, the work growing with n (Gustafson 1988)."""
    return _with_serial_share("gustafson", lambda n: np.stack([n**0, n]), sizes, seconds, True)


def alpha_beta(sizes: Sequence[int], seconds: Sequence[float], weak: bool = False) -> Law | None:
    """Fits T(n) = C/n + a·(n − 1) + b·(n − 1)/n: compute, latency and bandwidth of a ring.

    A ring's all-reduce of M bytes takes 2·(n − 1)·α + 2·(n − 1)/n·M·β seconds (Thakur et al.
    2005), so a holds α and b holds β, both times the number of steps. Where each rank keeps its
    batch (`weak`) the steps become fewer and the communication is divided by n.

    Returns:
        The law, None where there are fewer than three sizes.
    """

    def columns(n):
        communication = np.stack([n - 1, (n - 1) / n])
        return np.concatenate([[1 / n], communication / n if weak else communication])

    fitted = _fit(columns, sizes, seconds)
    if not fitted:
        return None
    theta, free, misfit, spread, student = fitted
    named = {}
    for k, name in enumerate(("compute", "latency", "bandwidth")):
        value = float(theta[k])
        named[name] = Estimate(value)
        if spread:
            off = float(student * np.sqrt(spread[0][k, k]))
            low, high = float(free[k]) - off, float(free[k]) + off
            # A time is not negative; the value, which is kept so, belongs to the interval.
            named[name] = Estimate(value, min(max(0.0, low), value), max(high, value))
    return Law("alpha-beta", named, columns, theta, False, misfit, spread, student)


def _with_serial_share(name, columns, sizes, seconds, inverse) -> Law | None:
    y = 1 / np.asarray(seconds, float) if inverse else seconds
    fitted = _fit(columns, sizes, y)
    if not fitted:
        return None
    theta, free, misfit, spread, student = fitted
    share = float(theta[0] / theta.sum())
    low = high = None
    if spread:
        low, high = _share_interval(free, spread[0], student)
        low, high = min(low, share), max(high, share)
    named = {"serial": Estimate(share, low, high)}
    return Law(name, named, columns, theta, inverse, misfit, spread, student)


def _fit(columns, sizes, y):
    """Returns θ ≥ 0, θ unbounded, and `misfit`, `spread` and `student` of a `Law`."""
    from scipy.optimize import nnls

    n, y = np.asarray(sizes, float), np.asarray(y, float)
    rows = (columns(n) / y).T
    unknowns = rows.shape[1]
    if len(set(sizes)) < unknowns:
        return None
    # Columns of one length: an n - 1 of thousands stands beside a 1/n.
    scale = np.linalg.norm(rows, axis=0)
    theta = nnls(rows / scale, np.ones(len(y)))[0] / scale
    free = np.linalg.lstsq(rows / scale, np.ones(len(y)), rcond=None)[0] / scale
    misfit = float(np.sqrt(np.mean((rows @ theta - 1) ** 2)))
    freedom = len(y) - unknowns
    if not freedom:
        return theta, free, misfit, None, float("nan")
    noise = float(np.linalg.norm(rows @ free - 1) / np.sqrt(freedom))
    inverse = np.linalg.inv((rows / scale).T @ (rows / scale)) / np.outer(scale, scale)
    return theta, free, misfit, (noise**2 * inverse, noise), _student(freedom)


@functools.cache
def _student(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, freedom))


def _share_interval(theta, covariance, student) -> tuple[float, float]:
    """Returns where θ₀/(θ₀ + θ₁) lies, by Fieller's theorem, within 0 … 1.

    A share s is in it if (1 − s)·θ₀ − s·θ₁ differs from 0 by no more than its own interval.
    """
    along, across = np.array([1.0, 0.0]), np.array([-1.0, -1.0])  # (along + s·across)·θ

    def form(a, b):
        return a @ theta * (b @ theta) - student**2 * (a @ covariance @ b)

    # It is this quadratic in s that must not be above 0, as it is not at the estimate.
    quadratic = form(across, across), 2 * form(along, across), form(along, along)
    roots = np.roots(quadratic).real  # rounding makes a double root a complex pair
    within = roots[(roots >= 0) & (roots <= 1)]
    roots = within if len(within) else np.clip(roots, 0, 1)
    low = 0.0 if np.polyval(quadratic, 0) <= 0 else float(roots.min())
    return low, 1.0 if np.polyval(quadratic, 1) <= 0 else float(roots.max())
