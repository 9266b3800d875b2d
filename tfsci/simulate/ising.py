"""Two-dimensional Ising configurations across the phase transition, and who can tell the phases.

**Model.** Spins s = ±1 on an L×L lattice with periodic edges, H = −Σ_<ij> s_i s_j (J = 1, no
field), P(s | T) = exp(−H/T) / Z(T), T in units of J/k_B. Temperatures are uniform over a range; the
label is T > T_c = 2/ln(1 + √2) (Onsager, Phys. Rev. 65, 1944, 117).

**Sampling.** Swendsen & Wang (Phys. Rev. Lett. 58, 1987, 86): bonds between equal spins with
probability 1 − exp(−2/T), a fair coin for each cluster of bonded sites. Every sample is the end of
a chain of its own, so that samples are independent. It starts ordered and takes 40 sweeps. At T_c,
where that is slowest, the mean energy of L = 32 is 1.14 standard deviations below the exact one
after 5 sweeps, 0.32 after 10, 0.10 after 15 (measured): a factor e in 4.2 sweeps, 3e-4 after 40.
L = 64 takes 4.8 sweeps for a factor e.

**Known answers.** For the infinite lattice Onsager's energy and Yang's magnetisation; for every L×L
torus Kaufman's partition function (Phys. Rev. 76, 1949, 1232), and with it, exactly, how often each
energy occurs: Z at complex K = β + iθ/4, divided by Z(β), is the characteristic function of
P(E | T), which one Fourier transform inverts (Beale, Phys. Rev. Lett. 76, 1996, 78, expands the
same Z in powers of exp(−4K), for which he needs exact integers).

**Best possible accuracy.** P(s | T) depends on s by its energy alone, so that no classifier can do
better than one that sees E and nothing else: Σ_E max(P(E, T > T_c), P(E, T < T_c)). The best rule
is a threshold on E. See `best_accuracy`.
"""

import functools
import math

import numpy as np

from tfsci.simulate.checks import sample_numbers

CRITICAL_TEMPERATURE = 2 / math.log(1 + math.sqrt(2))  # 2.269185314213022
_CHUNK = 64


def energy_per_spin(temperature: float) -> float:
    """Returns Onsager's mean energy per spin of the infinite lattice, in units of J.

    u = −coth 2K [1 + (2/π) κ′ K₁(κ)], K = 1/T, κ = 2 sinh 2K / cosh² 2K, κ′ = 2 tanh² 2K − 1
    (Onsager 1944). The complete elliptic integral is K₁ = π / (2 agm(1, |κ′|)).

    >>> round(energy_per_spin(CRITICAL_TEMPERATURE), 6)  # −√2
    -1.414214
    """
    _check(temperature=temperature)
    tanh = math.tanh(2 / temperature)
    complement = 2 * tanh**2 - 1
    if abs(complement) < 1e-15:  # κ′ ln κ′ → 0
        return -1 / tanh
    return -(1 + complement / arithmetic_geometric_mean(1.0, abs(complement))) / tanh


def arithmetic_geometric_mean(a: float, b: float) -> float:
    """Returns Gauss's mean of two numbers above 0; K₁(κ) = π / (2 agm(1, √(1 − κ²)))."""
    while abs(a - b) > 4e-16 * a:
        a, b = (a + b) / 2, math.sqrt(a * b)
    return a


def spontaneous_magnetization(temperature: float) -> float:
    """Returns (1 − sinh⁻⁴(2/T))^(1/8) below T_c, 0 from there on.

    Per spin, of the infinite lattice (Yang, Phys. Rev. 85, 1952, 808).
    """
    _check(temperature=temperature)
    if temperature >= CRITICAL_TEMPERATURE:
        return 0.0
    return max(0.0, 1 - math.sinh(min(2 / temperature, 100.0)) ** -4) ** 0.125


def log_partition(coupling, size: int) -> np.ndarray:
    """Returns ln Z of the L×L torus, L = `size`, at couplings K = 1/T, real part above 0.

    Kaufman 1949: with cosh γ_l = cosh 2K coth 2K − cos(π l/L), γ_0 = 2K + ln tanh K,

    Z = ½ (2 sinh 2K)^(L²/2) [Π_odd 2cosh(Lγ/2) + Π_odd 2sinh(Lγ/2) + Π_even 2cosh(Lγ/2)
        + Π_even 2sinh(Lγ/2)],   odd l = 1, 3, … 2L−1, even l = 0, 2, … 2L−2.

    γ_l = γ_{2L−l}: only γ_0 and γ_L = 2K − ln tanh K stand alone, so that the signs of the others
    do not matter and Z can be continued to complex K.

    Args:
        coupling: K, real or complex, of any shape.
        size: L, 2 or more.

    Returns:
        Complex128 of the coupling's shape, the imaginary part up to multiples of 2π.
    """
    _check(size=size)
    k = np.asarray(coupling, complex)
    if not (k.real > 0).all() or (k.real > 100).any():
        raise ValueError(f"coupling: expected real parts above 0, up to 100; received {coupling!r}")
    log_sinh, log_cosh = np.log(np.sinh(k)), np.log(np.cosh(k))
    double = np.cosh(2 * k) / np.tanh(2 * k)
    cosh, sinh = [0.0, 0.0], [0.0, 0.0]  # ln of the products over even and odd l
    for index in range(1, size):
        c = double - math.cos(math.pi * index / size)
        gamma = np.log(c + np.sqrt(c - 1) * np.sqrt(c + 1))  # either sign will do: it comes twice
        small = np.exp(-size * gamma)
        cosh[index % 2] = cosh[index % 2] + size * gamma + 2 * np.log(1 + small)
        sinh[index % 2] = sinh[index % 2] + size * gamma + 2 * np.log(1 - small)
    for index, gamma in ((0, 2 * k + log_sinh - log_cosh), (size, 2 * k - log_sinh + log_cosh)):
        odd = gamma.real < 0  # sinh changes its sign with γ, cosh does not
        gamma = np.where(odd, -gamma, gamma)
        small = np.exp(-size * gamma)
        cosh[index % 2] = cosh[index % 2] + size / 2 * gamma + np.log(1 + small)
        with np.errstate(divide="ignore"):  # γ_0 = 0 at T_c: one of the four terms is 0
            sinh[index % 2] = (
                sinh[index % 2] + size / 2 * gamma + np.log(np.where(odd, -1, 1) * (1 - small))
            )
    stack = np.stack(cosh + sinh)
    top = stack.real.max(axis=0)
    total = np.log(np.exp(stack - top).sum(axis=0)) + top
    return size**2 / 2 * (2 * math.log(2) + log_sinh + log_cosh) - math.log(2) + total


def energy_distribution(temperature: float, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Returns all energies E of the L×L torus, in J, and their P(E | T), exact but for rounding.

    Absolute errors stay below 1e-10 up to L = 64 and 1e-8 up to 128.

    >>> energies, p = energy_distribution(2.0, size=2)  # 2 states at −8, 12 at 0, 2 at 8
    >>> bool(abs(p[0] / p[2] - math.exp(4) / 6) < 1e-9)
    True
    """
    _check(temperature=temperature, size=size)
    sites, step = size**2, 2 if size % 2 else 4  # broken bonds come in pairs where L is even
    count = 4 * sites // step + 1
    angle = 2 * math.pi * np.arange(count // 2 + 1) / count
    k = 1 / temperature + 1j * angle / step
    logs = log_partition(k, size) - 2 * sites * k
    p = np.fft.irfft(np.exp(logs - logs[0]), count)
    return step * np.arange(count) - 2 * sites, np.maximum(p, 0)


@functools.lru_cache(maxsize=32)
def _best(size: int, low: float, high: float) -> float:
    if not low < CRITICAL_TEMPERATURE < high:
        return 1.0
    nodes, weights = np.polynomial.legendre.leggauss(size + 32)
    joint = []
    for a, b in ((low, CRITICAL_TEMPERATURE), (CRITICAL_TEMPERATURE, high)):
        p = [energy_distribution(t, size)[1] for t in a + (b - a) * (nodes + 1) / 2]
        joint.append((b - a) / (high - low) / 2 * weights @ p)
    return float(np.maximum(*joint).sum())


def best_accuracy(size: int = 32, temperatures: tuple[float, float] = (1.5, 3.5)) -> float:
    """Returns the accuracy in telling T > T_c that no classifier of configurations can exceed.

    Σ_E max(∫_{T > T_c} P(E|T) p(T) dT, ∫_{T < T_c} P(E|T) p(T) dT), p uniform, with the exact
    P(E | T) of `energy_distribution` and Gauss-Legendre quadrature on either side of T_c: exact to
    about 1e-8 for ranges a few units wide. For the labels and temperatures that `generate` draws.

    Args:
        size: L, 2 to 128.
        temperatures: Lowest and highest T.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check(size=size, temperatures=temperatures)
    if size > 128:
        raise ValueError(f"size: expected 2 to 128 for the exact answer; received {size}")
    return _best(int(size), float(temperatures[0]), float(temperatures[1]))


def temperature(
    indices, seed: int = 0, temperatures: tuple[float, float] = (1.5, 3.5)
) -> np.ndarray:
    """Returns the temperature of each sample, float64 of shape (len(indices),)."""
    _check(seed=seed, temperatures=temperatures)
    draws = [np.random.default_rng([seed, i]).random() for i in sample_numbers(indices)]
    return temperatures[0] + (temperatures[1] - temperatures[0]) * np.array(draws, float)


def generate(
    indices,
    seed: int = 0,
    size: int = 32,
    temperatures: tuple[float, float] = (1.5, 3.5),
    sweeps: int = 40,
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the samples that `indices` name; sample i depends on (seed, i) and the options alone.

    Args:
        indices: Integers from 0 on, in any order.
        seed: Seed of the data set.
        size: L, the sites along an edge.
        temperatures: Lowest and highest T; equal ones give one temperature.
        sweeps: Swendsen-Wang sweeps from the ordered start.

    Returns:
        Spins, float32 of shape (N, size, size, 1), each −1 or 1, and labels, int32 of shape (N,):
        1 where T > T_c.

    Raises:
        ValueError: An argument is out of its range.

    >>> x, y = generate(range(4), size=8)
    >>> x.shape, y.shape
    ((4, 8, 8, 1), (4,))
    """
    _check(seed=seed, size=size, temperatures=temperatures, sweeps=sweeps)
    rows, size = sample_numbers(indices), int(size)
    x = np.empty((len(rows), size, size, 1), "float32")
    y = np.empty(len(rows), "int32")
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        streams = [np.random.default_rng([seed, i]) for i in rows[part]]
        span = temperatures[1] - temperatures[0]
        t = [temperatures[0] + span * rng.random() for rng in streams]
        y[part] = [value > CRITICAL_TEMPERATURE for value in t]
        bond = np.array([-math.expm1(-2 / value) for value in t], "float32")
        spins = np.ones((len(t), size, size), bool)
        uniforms = np.empty((len(t), 3, size, size), "float32")
        for _ in range(sweeps):
            for rng, out in zip(streams, uniforms, strict=True):
                rng.random(dtype="float32", out=out)
            spins = _sweep(spins, bond, uniforms)
        x[part] = np.where(spins, 1, -1)[..., None]
    return x, y


def _sweep(spins: np.ndarray, bond: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """One Swendsen-Wang sweep of all lattices: (B, L, L), (B,), (B, 3, L, L) -> (B, L, L)."""
    bonded = uniforms[:, :2] < bond[:, None, None, None]
    right = bonded[:, 0] & (spins == np.roll(spins, -1, axis=2))
    down = bonded[:, 1] & (spins == np.roll(spins, -1, axis=1))
    return (uniforms[:, 2] < 0.5).ravel()[clusters(right, down)].reshape(spins.shape)


def clusters(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Returns for each site the lowest site of its cluster, as flat indices (B·L·L,).

    Runs along rows come first; what remains are edges between runs, and each round hooks every root
    to its lowest neighbour and follows the links to their ends, until no edge joins two roots.

    Args:
        right: Bonds between (b, i, j) and (b, i, j + 1), bool (B, L, L), periodic.
        down: Bonds between (b, i, j) and (b, i + 1, j), likewise.
    """
    start = np.arange(right.size, dtype="int32").reshape(right.shape)
    start[:, :, 1:][right[:, :, :-1]] = 0
    root = np.maximum.accumulate(start.ravel())
    run, wraps = root.reshape(right.shape), right[:, :, -1]
    a = np.concatenate([run[down], run[:, :, -1][wraps]])
    b = np.concatenate([np.roll(run, -1, axis=1)[down], run[:, :, 0][wraps]])
    while len(a):
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(further := root[root], root):
            root = further
        a, b = root[a], root[b]
        a, b = a[a != b], b[a != b]
    return root


def energy(x: np.ndarray) -> np.ndarray:
    """Returns H/L² of configurations of ±1, (n, L, L) or (n, L, L, 1), in J: float64 (n,)."""
    s = np.asarray(x, float)
    if s.ndim not in (3, 4) or s.shape[3:] not in ((), (1,)):
        raise ValueError(f"x: expected shape (n, L, L) or (n, L, L, 1); received {s.shape}")
    s = s.reshape(s.shape[:3])
    return -(s * (np.roll(s, 1, axis=1) + np.roll(s, 1, axis=2))).mean(axis=(1, 2))


def _check(**arguments) -> None:
    rules = {
        "temperature": ("a number from 0.01 on", lambda v: v >= 0.01),
        "size": ("an integer from 2 on", lambda v: v == int(v) and v >= 2),
        "sweeps": ("an integer from 1 on", lambda v: v == int(v) and v >= 1),
        "seed": ("an integer from 0 on", lambda v: v == int(v) and v >= 0),
    }
    for name, value in arguments.items():
        if name == "temperatures":
            pair = isinstance(value, (tuple, list)) and len(value) == 2
            if not (pair and all(_number(t) for t in value) and 0.01 <= value[0] <= value[1]):
                raise ValueError(
                    f"temperatures: expected (lowest, highest), from 0.01 on; received {value!r}"
                )
            continue
        expected, holds = rules[name]
        if not (_number(value) and holds(value)):
            raise ValueError(f"{name}: expected {expected}; received {value!r}")


def _number(value) -> bool:
    real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return real and math.isfinite(value)
