"""The galaxies: profiles in closed form, flux, noise, the bound by two routes, determinism."""

import numpy as np
import pytest
from scipy import special

from tfsci.simulate import galaxies, profiles, texture

ROWS = range(60)


@pytest.fixture(scope="module")
def cutouts():
    return galaxies.generate(ROWS, seed=5)


@pytest.mark.parametrize(
    ("n", "tolerance"), [(0.5, 1e-4), (1, 4e-6), (2.5, 1e-7), (4, 2e-8), (6, 2e-9), (10, 2e-10)]
)
def test_sersic_b_halves_the_incomplete_gamma_function(n, tolerance):
    assert special.gammainc(2 * n, profiles.sersic_b(n)) == pytest.approx(0.5, rel=0, abs=tolerance)
    exact = special.gammaincinv(2 * n, 0.5)
    assert profiles.sersic_b(n) == pytest.approx(exact, rel=0, abs=1.1 * tolerance)


@pytest.mark.parametrize("n", [1, 2.5, 4])
def test_half_of_the_flux_lies_within_the_effective_radius(n):
    # A fine square grid of a quarter of the plane; the cusp at the middle is what limits it.
    grid = (np.arange(2000) + 0.5) / 500  # in units of R_e, to 4 R_e
    radius = np.hypot(grid, grid[:, None])
    within = profiles.sersic(radius, 1.0, n)[radius < 1].sum() * 4 / 500**2
    assert within == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("n", [1, 2.5, 4])
def test_sersic_has_unit_flux(n):
    edges = np.geomspace(1e-9, 1e4, 20_001)
    middle = np.sqrt(edges[1:] * edges[:-1])
    flux = (profiles.sersic(middle, 1.7, n) * np.pi * np.diff(edges**2)).sum()
    assert flux == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("n", "tolerance"), [(1.0, 0.002), (2.5, 0.005), (4.0, 0.01)])
def test_a_drawn_spheroid_holds_half_its_flux_within_its_ellipse(n, tolerance):
    # At the pixel that the cut-outs have, where the core is a mean over 8×8 points.
    grid = (np.arange(160) - 79.3) * 0.4
    x, y = np.broadcast_to(grid, (1, 160, 160)), np.broadcast_to(grid[:, None], (1, 160, 160))
    shape = [np.full((1, 1, 1), v) for v in (0.5, 6.0, n, 0.7)]
    image = galaxies._spheroid(x, y, *shape)[0] * 0.4**2
    a, b = texture.turned(x[0], y[0], 0.5)
    half = image[np.hypot(a, b / 0.7) < 6].sum()
    assert half == pytest.approx(0.5, abs=0.5 * tolerance + 0.005)  # pixels that the edge cuts


def test_edge_on_disc_has_unit_flux_and_its_profiles():
    r, z = np.linspace(-40, 40, 4001), np.linspace(-8, 8, 801)
    light = profiles.edge_on(r, z[:, None], 2.0, 0.5)
    assert light.sum() * 0.02**2 == pytest.approx(1, abs=1e-4)
    vertical = light[:, 2100] / light[400, 2100]
    assert vertical == pytest.approx(1 / np.cosh(z / 0.5) ** 2, abs=1e-12)
    # Half of the light above the plane lies within z₀·artanh(1/2).
    column = light.sum(axis=1)
    inside = column[np.abs(z) < 0.5 * np.arctanh(0.5)].sum() / column.sum()
    assert inside == pytest.approx(0.5, abs=0.02)
    along = light[400] / light[400, 2000]
    exact = np.abs(r[2001:] / 2) * special.k1(np.abs(r[2001:] / 2))
    assert along[2001:] == pytest.approx(exact, abs=2e-5)


def test_spiral_arms_move_light_and_add_none():
    phi = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    for sharp in (1.5, 3.0):
        arm = np.exp(sharp * np.cos(2 * (phi - 3))) / np.i0(sharp)
        assert arm.mean() == pytest.approx(1, abs=1e-12)


def test_point_spread_function_keeps_the_flux_and_has_its_width():
    psf = profiles.moffat(128, 0.1, [1.2])
    assert psf.sum() == pytest.approx(1, abs=1e-5)
    assert psf[0, 0, 6] / psf[0, 0, 0] == pytest.approx(0.5, abs=1e-5)  # 0.6″ is half of 1.2″
    light = np.random.default_rng(0).random((1, 128, 128), "float32")
    blurred = profiles.convolve(light, psf)
    assert blurred.sum() == pytest.approx(light.sum(), rel=1e-5)
    assert blurred.std() < 0.2 * light.std()
    point = np.zeros((1, 128, 128), "float32")
    point[0, 40, 50] = 1
    moved = np.roll(psf, (40, 50), axis=(1, 2))
    assert profiles.convolve(point, psf) == pytest.approx(moved, abs=1e-6)


def test_photon_noise_has_the_variance_of_its_mean():
    electrons, sky = np.full(200_000, 300.0), np.full(200_000, 100.0)
    counts = galaxies.expose(electrons, sky, np.random.default_rng(1))
    assert counts.mean() == pytest.approx(300, abs=0.25)
    expected = 300 + 100 + galaxies.READ_NOISE**2
    assert counts.var() == pytest.approx(expected, rel=5 * (2 / 200_000) ** 0.5)


def test_stretch_keeps_colours_and_order():
    brightness = np.array([[0.0, 100, 1e3, 1e4, 1e7]]) * np.array([[0.5], [1.0], [1.5]])
    shown = galaxies.stretch(brightness)
    assert shown.min() >= 0 and shown.max() == 1
    assert np.all(np.diff(shown[:, :4]) > 0)
    # Less the offset 0.04, red : green : blue = i : r : g.
    assert (shown[:, 2] - 0.04) / (shown[1, 2] - 0.04) == pytest.approx([1.5, 1, 0.5])


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.4, 0.75, 1.0])
def test_bound_agrees_with_the_label_model_drawn(noise):
    rng = np.random.default_rng(2)
    kind, label = np.array([galaxies._label(rng, noise) for _ in range(20_000)]).T
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (kind, label), 1)
    hits = confusion.max(axis=1).sum() / len(kind)
    # The largest of the drawn frequencies is a little above the largest probability.
    assert hits == pytest.approx(galaxies.best_accuracy(noise), abs=0.013)
    assert confusion.sum(axis=0) / len(kind) == pytest.approx(0.25, abs=0.015)


def test_limits_of_the_bound():
    assert galaxies.best_accuracy(0) == 1
    assert galaxies.best_accuracy() == 0.95
    assert galaxies.best_accuracy(0.75) == 0.25  # the label says nothing


def test_pictures_do_not_depend_on_the_label_noise(cutouts):
    x, y = cutouts
    clean_x, clean_y = galaxies.generate(ROWS, seed=5, label_noise=0.0)
    assert np.array_equal(x, clean_x)
    assert 0 < np.mean(y != clean_y) < 0.2


def test_types_look_different():
    x, y = galaxies.generate(range(80), label_noise=0.0)
    # Ellipticals are the reddest; edge-on discs the most elongated.
    light = np.clip(x - 0.12, 0, None).sum(axis=(1, 2))
    red = [np.median(np.log(light[y == k, 0] / light[y == k, 2])) for k in range(4)]
    assert red[0] > red[1] and red[0] > red[3]
    grid = np.arange(64) - 31.5
    bright = np.clip(x[..., 1] - 0.25, 0, None) * (np.hypot(grid, grid[:, None]) < 14)
    a, b = (bright * grid**2).sum((1, 2)), (bright * grid[:, None] ** 2).sum((1, 2))
    c = (bright * grid * grid[:, None]).sum((1, 2))
    elongation = np.hypot(a - b, 2 * c) / (a + b)
    stretched = [np.median(elongation[y == k]) for k in range(4)]
    assert max(stretched) == stretched[2] > 0.6


def test_dtype_range_and_labels(cutouts):
    x, y = cutouts
    assert x.dtype == np.float32 and y.dtype == np.int32
    assert x.shape == (60, 64, 64, 3)
    assert x.min() >= 0 and x.max() <= 1
    assert set(y) == {0, 1, 2, 3}
    one = galaxies.generate([0, 1], size=32, channels=1)[0]
    assert one.shape == (2, 32, 32, 1)
    assert 0 < one.mean() < 1
    assert galaxies.generate([], size=16)[0].shape == (0, 16, 16, 3)


def test_a_sample_is_the_same_in_any_batch(cutouts):
    x, y = cutouts
    for rows in ([7], [50, 3, 7], range(20, 55)):
        again, labels = galaxies.generate(rows, seed=5)
        assert np.array_equal(again, x[list(rows)])
        assert np.array_equal(labels, y[list(rows)])
    assert not np.array_equal(galaxies.generate([7], seed=6)[0][0], x[7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, "channels: expected 1 or 3; received 2"),
        ({"label_noise": 1.5}, "label_noise: expected a number from 0 to 1; received 1.5"),
        ({"label_noise": float("nan")}, "label_noise: expected .* received nan"),
        ({"brightness": 0}, "brightness: expected .* received 0"),
        ({"size": 8}, "size: expected an integer from 16 to 4096; received 8"),
        ({"size": 20.5}, "size: expected .* received 20.5"),
        ({"seed": -1}, "seed: expected .* received -1"),
        ({"indices": [-1]}, "indices: expected a list of integers from 0 on; received"),
        ({"indices": 3}, "indices: expected"),
        ({"indices": [0.5]}, "indices: expected"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        galaxies.generate(**{"indices": [0], **options})
