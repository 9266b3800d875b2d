"""Ising: Kaufman against enumeration, Onsager and Yang; the sampler against all of them."""

import math

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import ellipk

from tfsci.simulate import ising

T_C = ising.CRITICAL_TEMPERATURE


def all_states(size):
    sites = size**2
    return (np.arange(2**sites)[:, None] >> np.arange(sites) & 1).reshape(-1, size, size) * 2 - 1


def test_critical_temperature():
    assert pytest.approx(2.269185314213022, abs=1e-15) == T_C
    assert math.sinh(2 / T_C) == pytest.approx(1, abs=1e-14)  # Kramers-Wannier


@pytest.mark.parametrize("modulus", [0.0, 0.3, 0.9, 0.999999])
def test_elliptic_integral_by_the_arithmetic_geometric_mean(modulus):
    k = math.pi / 2 / ising.arithmetic_geometric_mean(1, math.sqrt(1 - modulus**2))
    assert k == pytest.approx(ellipk(modulus**2), rel=1e-13)


def test_onsager_energy():
    # The slope of his free energy, −βf = ½ ln(2 sinh 2K) + (1/2π) ∫_0^π arcosh(cosh 2K coth 2K −
    # cos θ) dθ, integrated numerically.
    def log_z(k):
        angle = (np.arange(4000) + 0.5) * math.pi / 4000
        c = math.cosh(2 * k) ** 2 / math.sinh(2 * k)
        return 0.5 * math.log(2 * math.sinh(2 * k)) + 0.5 * np.arccosh(c - np.cos(angle)).mean()

    for t in (0.8, 1.5, 2.0, 2.2, 2.35, 3.0, 10.0):
        slope = (log_z(1 / t + 1e-5) - log_z(1 / t - 1e-5)) / 2e-5
        assert ising.energy_per_spin(t) == pytest.approx(-slope, abs=1e-6)
    assert ising.energy_per_spin(T_C) == pytest.approx(-math.sqrt(2), abs=1e-6)
    assert ising.energy_per_spin(T_C + 1e-13) == pytest.approx(-math.sqrt(2), abs=1e-6)
    assert ising.energy_per_spin(0.05) == pytest.approx(-2)
    # High temperature: −2 tanh K (1 + 2 tanh² K + …).
    assert ising.energy_per_spin(50.0) == pytest.approx(-2 * 0.02, rel=2e-3)


def test_yang_magnetization():
    # Low temperature: m = 1 − 2 z⁴ − 8 z⁶ − 34 z⁸ − …, z = exp(−2/T), by counting flipped spins.
    z = math.exp(-2 / 0.9)
    series = 1 - 2 * z**4 - 8 * z**6 - 34 * z**8 - 152 * z**10 - 714 * z**12
    assert ising.spontaneous_magnetization(0.9) == pytest.approx(series, abs=1e-7)
    assert ising.spontaneous_magnetization(0.02) == 1
    assert ising.spontaneous_magnetization(T_C) == ising.spontaneous_magnetization(9.0) == 0


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("t", [0.6, T_C, 2.5, 40.0])
def test_kaufman_is_the_sum_over_all_states(size, t):
    energies = np.rint(ising.energy(all_states(size)) * size**2)
    weights = np.exp(-(energies + 2 * size**2) / t)
    log_z = ising.log_partition(1 / t, size)
    assert log_z.real == pytest.approx(math.log(weights.sum()) + 2 * size**2 / t, abs=1e-12)
    levels, p = ising.energy_distribution(t, size)
    assert set(energies) <= set(levels)
    counted = [weights[energies == level].sum() / weights.sum() for level in levels]
    assert np.allclose(p, counted, rtol=0, atol=1e-13)


def test_states_of_the_two_by_two_torus_by_hand():
    # Neighbours are bonded twice: all equal −8 (2 states), checkerboard 8 (2), the rest 0 (12).
    assert np.bincount(np.rint(ising.energy(all_states(2)) * 4).astype(int) + 8).tolist() == (
        [2] + [0] * 7 + [12] + [0] * 7 + [2]
    )


def test_lowest_levels_of_a_large_torus_by_hand():
    # 2 ground states; one spin flipped: 2 L² states 8 higher; two neighbours: 2·2L², 12 higher.
    energies, p = ising.energy_distribution(1.2, 32)
    sites = 32**2
    assert energies[[0, 2, 3]].tolist() == [-2 * sites, 8 - 2 * sites, 12 - 2 * sites]
    assert p[1] < 1e-12
    assert p[2] / p[0] == pytest.approx(sites * math.exp(-8 / 1.2), rel=1e-9)
    assert p[3] / p[0] == pytest.approx(2 * sites * math.exp(-12 / 1.2), rel=1e-9)


@pytest.mark.parametrize("t", [0.7, 1.5, 2.0, 3.0, 6.0, 100.0])
def test_large_tori_approach_onsager(t):
    energies, p = ising.energy_distribution(t, 64)
    assert p.sum() == pytest.approx(1, abs=1e-10)
    assert energies @ p / 64**2 == pytest.approx(ising.energy_per_spin(t), abs=1e-6)


def test_clusters_against_a_graph_library():
    rng = np.random.default_rng(1)
    right, down = rng.random((2, 5, 9, 9)) < np.linspace(0.2, 0.9, 5)[:, None, None]
    site = np.arange(5 * 81).reshape(5, 9, 9)
    ends = [np.concatenate([site[right], site[down]])]
    ends.append(np.concatenate([np.roll(site, -1, 2)[right], np.roll(site, -1, 1)[down]]))
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(405, 405))
    count, label = connected_components(graph, directed=False)
    lowest = np.full(count, 405)
    np.minimum.at(lowest, label, np.arange(405))
    assert np.array_equal(ising.clusters(right, down), lowest[label])
    nothing, everything = np.zeros((1, 3, 3), bool), np.ones((1, 3, 3), bool)
    assert np.array_equal(ising.clusters(nothing, nothing), np.arange(9))
    assert not ising.clusters(everything, everything).any()


def chi_squared(sample, expected):
    """Merges levels until each is expected 10 times; returns (χ² − n)/√(2n)."""
    group = np.floor(np.cumsum(expected) / 10)
    seen, awaited = (
        np.bincount(np.unique(group, return_inverse=True)[1], w) for w in (sample, expected)
    )
    keep = awaited > 5
    chi = ((seen - awaited) ** 2 / np.maximum(awaited, 1e-9))[keep].sum()
    return (chi - keep.sum()) / math.sqrt(2 * keep.sum())


@pytest.mark.parametrize(("size", "t"), [(2, 2.0), (3, 2.0), (4, 1.7), (8, T_C), (16, 2.5)])
def test_sampled_energies_have_the_exact_distribution(size, t):
    x, _ = ising.generate(range(2000), seed=3, size=size, temperatures=(t, t))
    energies, p = ising.energy_distribution(t, size)
    index = (np.rint(ising.energy(x) * size**2) - energies[0]) / (energies[1] - energies[0])
    counts = np.bincount(np.rint(index).astype(int), minlength=len(p))
    assert counts[p < 1e-12].sum() == 0
    assert abs(chi_squared(counts, 2000 * p)) < 4


def test_sampled_states_have_the_boltzmann_distribution():
    x, _ = ising.generate(range(6000), seed=2, size=2, temperatures=(3.0, 3.0))
    weights = np.exp(-4 * ising.energy(all_states(2)) / 3)
    state = (x.reshape(-1, 4) > 0) @ [1, 2, 4, 8]
    expected = 6000 * weights / weights.sum()
    chi = (np.bincount(state, minlength=16) - expected) ** 2 / expected
    assert chi.sum() < 45  # 15 degrees of freedom: above 45 once in 10,000


@pytest.mark.parametrize("t", [1.8, T_C, 2.6])
def test_energy_and_magnetization_of_the_infinite_lattice(t):
    x, _ = ising.generate(range(250), seed=6, size=32, temperatures=(t, t))
    energy, m = ising.energy(x), abs(x.mean(axis=(1, 2, 3), dtype=float))
    levels, p = ising.energy_distribution(t, 32)
    error = energy.std() / 250**0.5
    assert abs(energy.mean() - levels @ p / 32**2) < 4 * error
    if t != T_C:  # there 32×32 is 0.019 below −√2
        assert abs(energy.mean() - ising.energy_per_spin(t)) < 4 * error
    if t < T_C:
        known = ising.spontaneous_magnetization(t)
        assert abs(m.mean() - known) < 4 * m.std() / 250**0.5
    if t > T_C:
        assert m.mean() < 0.3


def test_both_signs_are_as_likely_and_every_site_is_alike():
    x, _ = ising.generate(range(1000), seed=8, size=8, temperatures=(1.5, 2.0))
    assert abs(np.sign(x.sum(axis=(1, 2, 3))).mean()) < 4 / 1000**0.5
    assert abs(x.mean(axis=0)).max() < 5 / 1000**0.5


def test_best_accuracy_against_the_best_rule_on_samples():
    # The rule from nothing but the exact P(E | T): is E above the level where the phases tie?
    temperatures = (1.8, 2.9)
    x, y = ising.generate(range(2000), seed=4, size=12, temperatures=temperatures)
    grid = np.linspace(*temperatures, 801)
    p = np.array([ising.energy_distribution(t, 12)[1] for t in grid])
    levels = ising.energy_distribution(2.0, 12)[0]
    above = p[grid > T_C].sum(axis=0) > p[grid < T_C].sum(axis=0)
    bulk = p.sum(axis=0) > 1e-9
    assert (np.diff(above[bulk].astype(int)) >= 0).all()  # a threshold
    hits = above[np.searchsorted(levels, np.rint(ising.energy(x) * 144))] == y
    best = ising.best_accuracy(12, temperatures)
    assert abs(hits.mean() - best) < 4 * math.sqrt(best * (1 - best) / 2000)
    by_magnetization = (abs(x.mean(axis=(1, 2, 3))) < 0.62) == y
    assert by_magnetization.mean() < best + 0.02


def test_limits_of_the_best_accuracy():
    assert ising.best_accuracy(8, (2.3, 3.0)) == ising.best_accuracy(8, (2.0, 2.0)) == 1
    assert ising.best_accuracy(8, (1.0, T_C + 1e-9)) == pytest.approx(1, abs=1e-8)
    accuracies = [ising.best_accuracy(size) for size in (2, 4, 8, 16, 32)]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] == pytest.approx((3.5 - T_C) / 2)  # 2×2: always "above" is best
    assert accuracies[-1] == pytest.approx(0.97904, abs=1e-5)
    # 2×2 from 1 to 3.5: E is −8, 0 or 8 with weights 2 e^{8/T}, 12, 2 e^{−8/T}.
    t = 1 + 2.5 * (np.arange(200_000) + 0.5) / 200_000
    weights = np.array([2 * np.exp(8 / t), 12 + 0 * t, 2 * np.exp(-8 / t)])
    weights /= weights.sum(axis=0) * len(t)
    tie = np.maximum(weights[:, t > T_C].sum(axis=1), weights[:, t < T_C].sum(axis=1)).sum()
    assert tie > (3.5 - T_C) / 2.5 + 0.01
    assert ising.best_accuracy(2, (1.0, 3.5)) == pytest.approx(tie, abs=1e-5)


def test_shapes_labels_and_temperatures():
    x, y = ising.generate(range(300), seed=1, size=6)
    t = ising.temperature(range(300), seed=1)
    assert x.shape == (300, 6, 6, 1) and x.dtype == np.float32 and y.dtype == np.int32
    assert set(np.unique(x)) == {-1, 1}
    assert np.array_equal(y, t > T_C)
    assert t.min() >= 1.5 and t.max() <= 3.5 and abs(t.mean() - 2.5) < 4 * 0.58 / 300**0.5
    assert ising.generate([], size=4)[0].shape == (0, 4, 4, 1)


def test_a_sample_depends_on_its_index_alone():
    x, y = ising.generate(range(150), seed=4, size=12)
    for rows in ([3], [140, 7, 3], list(range(37, 120))):
        some, labels = ising.generate(rows, seed=4, size=12)
        assert np.array_equal(some, x[rows]) and np.array_equal(labels, y[rows])
    assert not np.array_equal(x, ising.generate(range(150), seed=5, size=12)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ising.generate([-1]), "indices: expected"),
        (lambda: ising.generate([[1]]), r"indices: expected .* shape \(1, 1\)"),
        (lambda: ising.generate([0], seed=-2), "seed: expected .* received -2"),
        (lambda: ising.generate([0], size=1), "size: expected .* received 1"),
        (lambda: ising.generate([0], sweeps=0), "sweeps: expected .* received 0"),
        (lambda: ising.generate([0], temperatures=(3, 2)), r"temperatures: .* received \(3, 2\)"),
        (lambda: ising.temperature([0], temperatures=2.0), "temperatures: .* received 2.0"),
        (lambda: ising.energy_per_spin(0), "temperature: expected .* received 0"),
        (lambda: ising.best_accuracy(size=256), "size: expected 2 to 128 .* received 256"),
        (lambda: ising.log_partition(-1, 4), "coupling: expected .* received -1"),
        (lambda: ising.energy(np.ones(4)), r"x: expected .* received \(4,\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
