"""The viscous Burgers equation with its exact solution, as fields and as operator-learning pairs.

**Model.** u_t + u u_x = ν u_xx on −1 ≤ x < 1 with periodic edges, all quantities dimensionless. The
default ν = 0.01/π and the interval are those of Raissi, Perdikaris & Karniadakis (J. Comput. Phys.
378, 2019, 686). Waves steepen into shocks of width 4ν/Δu by t ≈ 1/max(−u_x), travel and merge. The
grid holds point values of the exact solution; at 128 points such a shock is as thin as a pixel.

**Initial conditions.** u(x, 0) = A Σ_{m=1}^{modes} (a_m cos πmx + b_m sin πmx) / m with a and b
standard normal, A such that the mean square over samples and x is amplitude².

**Known answer: the solution itself** (Hopf, Comm. Pure Appl. Math. 3, 1950, 201; Cole, Quart. Appl.
Math. 9, 1951, 225). u = −2ν φ_x/φ turns the equation into φ_t = ν φ_xx. With Ψ_y = u(y, 0) and the
heat kernel G of the circle (the sum of the Gaussian's periodic images) at time t,

    φ(x, t) = ∫ G(x − y) exp(−Ψ(y)/2ν) dy,   u(x, t) = ∫ G exp(−Ψ/2ν) u(y, 0) dy / φ(x, t),

the second by φ_x = ∫ G ∂_y exp(−Ψ/2ν) dy: u is a mean of u(y, 0) with positive weights. Nothing
cancels, though φ may span e^600, where multiplying spectra would lose all digits. A mean flow c,
for which Ψ is not periodic, is taken out by u(x, t) = c + v(x − ct, t).

**Accuracy.** u(y, 0) is a trigonometric polynomial, known exactly between the grid's points. The
integrals are trapezoid sums with a step below 1/1.4 of the narrowest Gaussian of their integrands
(curvature (1/t + max u_x)/2ν): the error falls like exp(−2π² 1.4²), to 1e-13 of max |u|.
"""

import functools
import math

import numpy as np

from tfsci.simulate.checks import sample_numbers

LENGTH = 2.0  # of the interval
VISCOSITY = 0.01 / math.pi
TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
_MOST_NODES = 8192
_LARGEST_EXPONENT = 600.0  # weights down to exp(−600) are summed as they are


def grid(points: int = 128) -> np.ndarray:
    """Returns x_j = −1 + 2j/points, float64 of shape (points,)."""
    _check(points=points)
    return -LENGTH / 2 + LENGTH * np.arange(points) / points


def initial_conditions(
    indices, seed: int = 0, points: int = 128, modes: int = 4, amplitude: float = 0.5
) -> np.ndarray:
    """Returns u(x, 0) on the grid, float64 of shape (len(indices), points).

    Args:
        indices: Integers from 0 on, in any order.
        seed: Seed of the data set.
        points: Points of the grid, above 2·modes. More points sample the same functions.
        modes: Number of Fourier modes.
        amplitude: Root mean square over all samples and x.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check(seed=seed, points=points, modes=modes, amplitude=amplitude)
    if points <= 2 * modes:
        raise ValueError(f"points: expected more than 2·modes = {2 * modes}; received {points}")
    rows = sample_numbers(indices)
    number = np.arange(1, modes + 1)
    phase = 2 * math.pi / LENGTH * number[:, None] * grid(points)
    waves = np.concatenate([np.cos(phase), np.sin(phase)]) / np.tile(number, 2)[:, None]
    waves *= amplitude / math.sqrt((1 / number**2).sum())
    u = np.empty((len(rows), points))
    for row, index in zip(u, rows, strict=True):
        # a_1 b_1 a_2 b_2 …, so that more modes leave the first ones as they are.
        normal = np.random.default_rng([seed, index]).standard_normal((modes, 2))
        row[:] = (normal.T.reshape(-1, 1) * waves).sum(axis=0)
    return u


def generate(
    indices,
    seed: int = 0,
    points: int = 128,
    times=TIMES,
    viscosity: float = VISCOSITY,
    modes: int = 4,
    amplitude: float = 0.5,
) -> np.ndarray:
    """Makes the fields that `indices` name; number i depends on (seed, i) and the options alone.

    Args:
        indices: As for `initial_conditions`, like seed, points, modes and amplitude.
        seed: Same.
        points: Same.
        times: Times from 0 on.
        viscosity: ν.
        modes: Same.
        amplitude: Same.

    Returns:
        u, float32 of shape (len(indices), len(times), points).

    Raises:
        ValueError: An argument is out of its range.

    >>> generate(range(3), times=(0, 0.5)).shape
    (3, 2, 128)
    """
    start = initial_conditions(indices, seed, points, modes, amplitude)
    return solve(start, times, viscosity, "float32")


def pairs(
    indices,
    seed: int = 0,
    points: int = 128,
    time: float = 1.0,
    viscosity: float = VISCOSITY,
    modes: int = 4,
    amplitude: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (u(x, 0), u(x, time)) for learning the operator between them, float32 (n, points).

    Arguments as for `generate`, whose fields they are.
    """
    _check(time=time)
    fields = generate(indices, seed, points, (0.0, time), viscosity, modes, amplitude)
    return fields[:, 0], fields[:, 1]


def solve(start: np.ndarray, times, viscosity: float = VISCOSITY, dtype="float64") -> np.ndarray:
    """Returns the exact solution at the grid's points.

    Args:
        start: u(x, 0) on the grid, (n, points), taken as the trigonometric polynomial through it.
        times: Times from 0 on, in any order.
        viscosity: ν.
        dtype: Of the result; everything before it is float64.

    Returns:
        u, of shape (n, len(times), points).

    Raises:
        ValueError: An argument is out of its range, or features are too narrow to be integrated.
    """
    _check(viscosity=viscosity)
    start, times = np.asarray(start, float), _times(times)
    if start.ndim != 2 or start.shape[1] < 4 or not np.isfinite(start).all():
        raise ValueError(
            "start: expected finite numbers of shape (n, 4 or more points); "
            f"received shape {start.shape}"
        )
    out = np.empty((len(start), len(times), start.shape[1]), dtype)
    later = tuple(t for t in times if t > 0)
    for row, u in zip(start, out, strict=True):
        u[[t == 0 for t in times]] = row
        if later:
            u[[t > 0 for t in times]] = _solve_one(row, later, float(viscosity))
    return out


def _solve_one(u: np.ndarray, times: tuple[float, ...], viscosity: float) -> np.ndarray:
    """Returns (len(times), points) for one initial condition (points,)."""
    points = len(u)
    spectrum = np.fft.rfft(u) / points
    if points % 2 == 0:
        spectrum[-1] /= 2  # the highest wave is half of itself and half of its mirror image
    mean, spectrum[0] = spectrum[0].real, 0
    wave = 2j * math.pi / LENGTH * np.arange(len(spectrum))
    # A bound of max u_x that is safe for sampling: the slope at twice the grid's points.
    slope = max(0.0, (np.fft.irfft(spectrum * wave, 2 * points) * 2 * points).max())
    nodes = _nodes(points, min(times), slope, viscosity)
    moved = spectrum * np.exp(-wave * mean * np.array(times)[:, None])
    wave[0] = 1
    v = np.fft.irfft(moved, nodes) * nodes  # (T, nodes)
    exponent = np.fft.irfft(moved / wave, nodes) * nodes / (-2 * viscosity)
    exponent -= exponent.max(axis=1, keepdims=True)
    if exponent.min() < -_LARGEST_EXPONENT:
        return mean + _solve_in_logs(v, exponent, points, times, viscosity)
    weights = np.exp(exponent)
    kernel = _kernel(points, nodes, times, viscosity)
    # Not by BLAS, whose last bits depend on its threads.
    above, below = (np.einsum("tpn,tn->tp", kernel, column) for column in (weights * v, weights))
    return mean + above / below


def _nodes(points: int, time: float, slope: float, viscosity: float) -> int:
    """Returns how many nodes the trapezoid rule needs, as a power of two."""
    nodes = 1.4 * LENGTH * math.sqrt((1 / time + slope) / (2 * viscosity))
    if nodes > _MOST_NODES:
        least = viscosity * (nodes / _MOST_NODES) ** 2
        raise ValueError(
            f"viscosity: expected at least {least:.2g} at time {time:.2g} with slopes up to "
            f"{slope:.2g}, or later times; received {viscosity:.2g}"
        )
    return 2 ** math.ceil(math.log2(max(nodes, points + 1)))


@functools.lru_cache(maxsize=2)
def _kernel(points: int, nodes: int, times: tuple[float, ...], viscosity: float) -> np.ndarray:
    """Returns the heat kernel of the circle, up to a factor, (len(times), points, nodes)."""
    apart = LENGTH * (np.arange(points)[:, None] / points - np.arange(nodes) / nodes)
    kernel = np.zeros((len(times), points, nodes))
    for time, table in zip(times, kernel, strict=True):
        spread = min(4 * viscosity * time, (10 * LENGTH) ** 2)  # from there on it is flat
        images = math.ceil(math.sqrt(spread * 750) / LENGTH) + 1
        for image in range(-images, images + 1):
            table += np.exp(np.maximum(-((apart + image * LENGTH) ** 2) / spread, -800))
    return kernel


def _solve_in_logs(
    v: np.ndarray, exponent: np.ndarray, points: int, times: tuple[float, ...], viscosity: float
) -> np.ndarray:
    """The same means where float64 cannot hold the weights: each row's largest is made 1."""
    out = np.empty((len(times), points))
    apart = LENGTH * (np.arange(points)[:, None] / points - np.arange(v.shape[1]) / v.shape[1])
    for k, time in enumerate(times):
        spread = min(4 * viscosity * time, (10 * LENGTH) ** 2)
        images = math.ceil(math.sqrt(spread * (50 - exponent[k].min())) / LENGTH) + 1
        shifts = LENGTH * np.arange(-images, images + 1)
        logs = [exponent[k] - (apart + shift) ** 2 / spread for shift in shifts]
        top = functools.reduce(np.maximum, logs).max(axis=1, keepdims=True)
        weights = sum(np.exp(np.maximum(log - top, -700)) for log in logs)
        out[k] = (weights * v[k]).sum(axis=1) / weights.sum(axis=1)
    return out


def _times(times) -> tuple[float, ...]:
    values = np.asarray(times)
    real = values.ndim == 1 and values.size and values.dtype.kind in "iuf"
    if not (real and np.isfinite(values).all() and values.min() >= 0):
        raise ValueError(f"times: expected a list of numbers from 0 on; received {times!r}")
    return tuple(float(t) for t in values)


def _check(**arguments) -> None:
    rules = {
        "points": ("an integer from 4 on", lambda v: v == int(v) and v >= 4),
        "modes": ("an integer from 1 on", lambda v: v == int(v) and v >= 1),
        "seed": ("an integer from 0 on", lambda v: v == int(v) and v >= 0),
        "amplitude": ("a number above 0", lambda v: v > 0),
        "viscosity": ("a number above 0", lambda v: v > 0),
        "time": ("a number from 0 on", lambda v: v >= 0),
    }
    for name, value in arguments.items():
        expected, holds = rules[name]
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and holds(value)):
            raise ValueError(f"{name}: expected {expected}; received {value!r}")
