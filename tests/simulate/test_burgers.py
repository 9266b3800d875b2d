"""Burgers: the equation's residual, solutions known by hand, conservation laws, determinism."""

import math

import numpy as np
import pytest

from tfsci.simulate import burgers


def one_mode(x, t, a, wave, viscosity):
    """Cole-Hopf of φ = 1 + a exp(−νk²t) cos kx."""
    a = a * math.exp(-viscosity * wave**2 * t)
    return 2 * viscosity * wave * a * np.sin(wave * x) / (1 + a * np.cos(wave * x))


def derivative(u, order=1):
    wave = 2j * math.pi / burgers.LENGTH * np.arange(u.shape[-1] // 2 + 1)
    return np.fft.irfft(np.fft.rfft(u) * wave**order, u.shape[-1])


@pytest.mark.parametrize("mean", [0.0, 0.7])
@pytest.mark.parametrize(("viscosity", "cycles"), [(0.1, 1), (0.01, 1), (0.01, 2)])
def test_one_mode_solution(viscosity, cycles, mean):
    x, wave, times = burgers.grid(256), math.pi * cycles, (2.0, 0.0, 0.03, 0.4, 50.0)
    start = mean + one_mode(x, 0, 0.6, wave, viscosity)
    u = burgers.solve(start[None], times, viscosity)[0]
    for k, t in enumerate(times):
        exact = mean + one_mode(x - mean * t, t, 0.6, wave, viscosity)
        assert abs(u[k] - exact).max() < 1e-12


def test_steepest_slope_of_the_sine_wave():
    # Basdevant et al., Computers & Fluids 14 (1986) 23: −sin πx at ν = 0.01/π has its steepest
    # slope, 152.00516, at x = 0 and t = 1.6037/π.
    u = burgers.solve(-np.sin(math.pi * burgers.grid(2048))[None], [1.6037 / math.pi])[0, 0]
    assert abs(derivative(u)).max() == pytest.approx(152.00516, abs=1e-3)
    assert abs(derivative(u)).argmax() == 1024


def test_travelling_saw_tooth():
    # φ = Σ_n exp(−(x − 2n − 1)²/4νt), Gaussians spreading from odd x, solves the heat equation and
    # makes a saw-tooth: u = (x − tanh(x/2νt))/t near its shock at 0, moving at c as a whole.
    viscosity, c, x = 0.02, 0.3, burgers.grid(512)

    def saw_tooth(x, t):
        apart = x[:, None] - np.arange(-9, 10, 2)
        weight = np.exp(-(apart**2) / (4 * viscosity * t))
        return (weight * apart).sum(axis=1) / weight.sum(axis=1) / t

    near = abs(x) < 0.3
    shock = (x - np.tanh(x / (2 * viscosity * 0.5))) / 0.5
    assert abs(saw_tooth(x, 0.5) - shock)[near].max() < 1e-12
    u = burgers.solve(c + saw_tooth(x, 0.5)[None], (0.1, 0.4, 1.0), viscosity)[0]
    for k, t in enumerate((0.1, 0.4, 1.0)):
        assert abs(u[k] - c - saw_tooth((x - c * t + 1) % 2 - 1, 0.5 + t)).max() < 1e-10


def residual(points, viscosity=0.02, time=0.4, step=1e-3):
    start = burgers.initial_conditions(range(6), 1, points)
    times = time + step * np.array([-2, -1, 0, 1, 2])
    u = burgers.solve(start, times, viscosity)
    rate = (u[:, 0] - 8 * u[:, 1] + 8 * u[:, 3] - u[:, 4]) / (12 * step)
    now = u[:, 2]
    rest = rate + now * derivative(now) - viscosity * derivative(now, 2)
    return np.sqrt((rest**2).mean()) / np.sqrt((rate**2).mean())


def test_residual_of_the_equation_falls_with_resolution():
    coarse, middle, fine = (residual(points) for points in (32, 64, 128))
    assert middle < coarse / 30
    assert fine < middle / 300
    assert fine < 1e-7


def test_mean_is_conserved_and_energy_decays_at_the_rate_of_dissipation():
    start = 0.4 + burgers.initial_conditions(range(20), 2, 512)
    times = np.linspace(0, 1, 11)
    u = burgers.solve(start, times, 0.02)
    assert abs(u.mean(axis=-1) - 0.4).max() < 1e-9
    energy = (u**2).mean(axis=-1) / 2
    assert (np.diff(energy, axis=1) < 0).all()
    # dE/dt = −ν <u_x²>, by Simpson's rule over 0.5 ± 0.001.
    u = burgers.solve(start, (0.499, 0.5, 0.501), 0.02)
    loss = 0.02 * (derivative(u) ** 2).mean(axis=-1) @ np.array([1, 4, 1]) / 6 * 0.002
    energy = (u**2).mean(axis=-1) / 2
    assert energy[:, 0] - energy[:, 2] == pytest.approx(loss, rel=1e-6)


def test_solving_twice_is_solving_once():
    start = burgers.initial_conditions(range(5), 3, 512)
    half = burgers.solve(start, (0.3,), 0.02)[:, 0]
    assert abs(burgers.solve(half, (0.5,), 0.02) - burgers.solve(start, (0.8,), 0.02)).max() < 1e-10


def test_maximum_principle_and_the_steepest_rise():
    start = burgers.initial_conditions(range(50))
    u = burgers.solve(start, (0.2, 0.6, 1.0))
    dense = burgers.initial_conditions(range(50), points=4096)
    assert (u.max(axis=(1, 2)) <= dense.max(axis=1) + 1e-12).all()
    assert (u.min(axis=(1, 2)) >= dense.min(axis=1) - 1e-12).all()
    # Oleinik: u_x ≤ 1/t, between any two points.
    for k, t in enumerate((0.2, 0.6, 1.0)):
        assert (np.diff(u[:, k], axis=-1) <= burgers.LENGTH / 128 / t).all()


def test_more_points_sample_the_same_solution():
    coarse, fine = (burgers.generate(range(8), points=points) for points in (64, 256))
    assert np.allclose(coarse, fine[..., ::4], rtol=0, atol=1e-6)


def test_weights_beyond_float64_are_summed_in_logs(monkeypatch):
    start = burgers.initial_conditions(range(3)) + 0.2
    plain = burgers.solve(start, burgers.TIMES)
    monkeypatch.setattr(burgers, "_LARGEST_EXPONENT", 0.0)
    assert abs(burgers.solve(start, burgers.TIMES) - plain).max() < 1e-12


def test_small_viscosity_gives_the_inviscid_limit_before_the_shock():
    # Characteristics: u(x + u0 t, t) = u0 for −sin πx until t = 1/π.
    x = burgers.grid(128)
    u = burgers.solve(-np.sin(math.pi * x)[None], (0.2,), 1e-4)[0, 0]
    foot = x.copy()
    for _ in range(200):  # foot − sin(π foot) t = x by fixed-point iteration
        foot = x + 0.2 * np.sin(math.pi * foot)
    assert abs(u + np.sin(math.pi * foot)).max() < 2e-3


def test_initial_conditions_have_the_amplitude_and_modes():
    u = burgers.initial_conditions(range(4000), 0, 32, modes=3, amplitude=0.8)
    power = (abs(np.fft.rfft(u) / 32) ** 2).mean(axis=0) * 2  # mean square of each mode
    assert (u**2).mean() == pytest.approx(0.64, rel=0.05)
    assert power[2] / power[1] == pytest.approx(1 / 4, rel=0.1)
    assert power[3] / power[1] == pytest.approx(1 / 9, rel=0.1)
    assert power[[0, 4, 5]].max() < 1e-25


def test_shapes_and_pairs():
    u = burgers.generate([4, 2], seed=1, times=(0, 1.0))
    assert u.shape == (2, 2, 128) and u.dtype == np.float32
    before, after = burgers.pairs([4, 2], seed=1)
    assert np.array_equal(before, u[:, 0]) and np.array_equal(after, u[:, 1])
    assert np.array_equal(before, burgers.initial_conditions([4, 2], 1).astype("float32"))
    assert burgers.generate([]).shape == (0, 5, 128)


def test_a_sample_depends_on_its_index_alone():
    whole = burgers.generate(range(20), seed=4)
    for rows in ([3], [7, 3, 11], list(range(5, 18))):
        assert np.array_equal(whole[rows], burgers.generate(rows, seed=4))
    assert abs(whole - burgers.generate(range(20), seed=5)).max() > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: burgers.generate([-1]), "indices: expected"),
        (lambda: burgers.generate([0], seed=1.5), "seed: expected .* received 1.5"),
        (lambda: burgers.generate([0], points=8), "points: expected more than .* 8; received 8"),
        (lambda: burgers.generate([0], times=()), r"times: expected .* received \(\)"),
        (lambda: burgers.generate([0], times=[-1]), r"times: expected .* received \[-1\]"),
        (lambda: burgers.generate([0], viscosity=0), "viscosity: expected .* received 0"),
        (lambda: burgers.generate([0], viscosity=1e-9), "viscosity: expected at least"),
        (lambda: burgers.generate([0], times=[1e-9]), "viscosity: .* or later times"),
        (lambda: burgers.generate([0], modes=True), "modes: expected .* received True"),
        (lambda: burgers.generate([0], amplitude=-1), "amplitude: expected .* received -1"),
        (lambda: burgers.pairs([0], time=-1), "time: expected .* received -1"),
        (lambda: burgers.solve(np.zeros(8), [1]), r"start: expected .* received shape \(8,\)"),
        (lambda: burgers.solve(np.full((1, 8), np.nan), [1]), "start: expected finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
