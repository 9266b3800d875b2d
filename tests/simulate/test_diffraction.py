from itertools import combinations
from math import gcd

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from tfsci.simulate import diffraction as d
from tfsci.simulate import lattice


def crystals(bravais, n=20, seed=0):
    generators = [np.random.default_rng([seed, i]) for i in range(n)]
    return d.draw(generators, np.full(n, d.BRAVAIS.index(bravais)), "centring")


def spacing(cell, hkl):
    """Distance of the (hkl) planes in Å, through the cell's reciprocal basis."""
    return 1 / np.linalg.norm(hkl @ d.reciprocal_basis(lattice.direct_basis(cell)))


def test_spacings_of_planes_are_the_textbook_formulas():
    assert spacing([4.05, 4.05, 4.05, 90, 90, 90], [1, 1, 1]) == pytest.approx(4.05 / np.sqrt(3))
    # Hexagonal: 1/d² = 4/3 (h² + hk + k²)/a² + l²/c².
    expected = (4 / 3 * (1 + 2 + 4) / 3.2**2 + 9 / 5.2**2) ** -0.5
    assert spacing([3.2, 3.2, 5.2, 90, 90, 120], [1, 2, 3]) == pytest.approx(expected)
    # Triclinic, by the cell's volume: d(001) = V / (a b sin γ), d(010) = V / (a c sin β).
    al, be, ga = np.radians([80, 95, 105])
    root = 1 - sum(np.cos([al, be, ga]) ** 2) + 2 * np.cos(al) * np.cos(be) * np.cos(ga)
    cell, volume = [4, 5, 6, 80, 95, 105], 4 * 5 * 6 * np.sqrt(root)
    assert spacing(cell, [0, 0, 1]) == pytest.approx(volume / (4 * 5 * np.sin(ga)))
    assert spacing(cell, [0, 1, 0]) == pytest.approx(volume / (4 * 6 * np.sin(be)))


def test_spots_obey_bragg_and_show_the_interplanar_angles():
    some = crystals("cP", 1)
    a = np.linalg.norm(some.basis[0, 0])
    g, _ = d.spots(some, 0)
    nearest = np.sort(np.linalg.norm(g[0], axis=1))[:9]
    np.testing.assert_allclose(nearest, np.sqrt([1, 1, 1, 1, 2, 2, 2, 2, 4]) / a)
    # Small angles: 2θ = λ |g|, which is Bragg's 2 d sin θ = λ to (λ g)² / 24.
    theta = np.arcsin(d.WAVELENGTH * nearest[0] / 2)
    assert 2 * a * np.sin(theta) == pytest.approx(d.WAVELENGTH)
    # Cubic [110]: (002) and (1-10) at 90°; (1-11) and (002) at 54.74°.
    hkl = d.reflections("cF", (1, 1, 0)).tolist()
    some = crystals("cF", 1)
    g, _ = d.spots(some, 2)
    lengths = np.linalg.norm(g[0], axis=1) * np.linalg.norm(some.basis[0, 0])
    four = g[0][np.isclose(lengths, np.sqrt(3))]
    axis = g[0][np.isclose(lengths, 2)]
    cosines = four @ axis.T / np.sqrt(3) / 2 * np.linalg.norm(some.basis[0, 0]) ** 2
    np.testing.assert_allclose(np.degrees(np.arccos(np.abs(cosines))), 54.7356, atol=1e-3)
    assert [1, -1, 1] in hkl and [1, -1, 0] not in hkl
    # Hexagonal [001]: six spots 60° apart at 2 / (√3 a).
    some = crystals("hP", 1)
    g, _ = d.spots(some, 0)
    six = g[0][:6]
    np.testing.assert_allclose(
        np.linalg.norm(six, axis=1), 2 / np.sqrt(3) / np.linalg.norm(some.basis[0, 0])
    )
    angles = np.sort(np.degrees(np.arctan2(six[:, 1], six[:, 0])))
    np.testing.assert_allclose(np.diff(angles), 60)


def test_a_spot_in_the_picture_lies_where_bragg_puts_it():
    some = crystals("cF", 1)
    g, intensity = d.spots(some, 1)
    picture = d.render(some, 128)[0, :, :, 1]
    inside = (np.abs(g[0]).max(1) < 0.9) & (g[0, :, 1] > 0.1)
    x, y = g[0][inside][np.argmax(intensity[0][inside])]
    row, column = np.unravel_index(np.argmax(np.where(np.arange(128)[:, None] < 60, picture, 0)),
                                   (128, 128))  # fmt: skip
    assert abs(column - (63.5 + 64 * x)) < 1 and abs(row - (63.5 - 64 * y)) < 1


def test_the_channels_share_their_common_row():
    # [001] and [100] share b*: the turn between them is about it in a right-angled crystal.
    some = crystals("oP", 5)
    b_star = d.reciprocal_basis(some.basis)[:, 1]
    for row in range(5):
        length = np.linalg.norm(b_star[row])
        shared = []
        for channel, index in ((0, [0, 1, 0]), (1, [0, 1, 0])):
            g, _ = d.spots(some[[row]], channel)
            hkl = d.reflections("oP", d.ZONES[channel])
            assert index in hkl.tolist()
            shared.append(g[0][np.isclose(np.linalg.norm(g[0], axis=1), length)])
        near = np.abs(shared[0][:, None] - shared[1][None]).max(-1).min()
        assert near < 1e-9


def absent(centring, hkl):
    h, k, m = hkl.T
    rules = {
        "P": 0 * h,
        "C": (h + k) % 2,
        "I": (h + k + m) % 2,
        "F": ((h + k) % 2) | ((k + m) % 2),
        "R": (-h + k + m) % 3,
    }
    return rules[centring] != 0


@pytest.mark.parametrize("bravais", d.BRAVAIS)
def test_centring_extinguishes_what_it_should(bravais):
    for zone in d.ZONES:
        kept = {tuple(hkl) for hkl in d.reflections(bravais, zone)}
        grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), -1).reshape(-1, 3)
        grid = grid[(grid @ zone == 0) & grid.any(1)]
        gone = absent(bravais[1], grid)
        assert not kept & {tuple(hkl) for hkl in grid[gone]}
        assert kept >= {tuple(hkl) for hkl in grid[~gone]}
        assert gone.any() == (bravais[1] != "P" and not (bravais == "mC" and zone == (1, 1, 0))
                              and not (bravais == "oC" and zone == (1, 1, 0)))  # fmt: skip


@pytest.mark.parametrize("bravais", ["oC", "cI", "cF", "hR"])
def test_a_sum_over_every_atom_of_the_cell_vanishes_where_extinct(bravais):
    """Written out: all images of B, with every lattice point of the conventional cell."""
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = np.unique(np.round(grid @ d.PRIMITIVE[bravais[1]] % 1, 6) % 1, axis=0)
    some = crystals(bravais, 1)
    system = d.SYSTEM_OF[some.bravais[0]]
    atoms = np.unique(np.round(d.symmetry(bravais) @ some.site[0] % 1, 6) % 1, axis=0)
    atoms = np.unique(np.round((atoms[:, None] + points).reshape(-1, 3) % 1, 5) % 1, axis=0)
    hkl = np.array([[h, k, m] for h in range(4) for k in range(4) for m in range(4)])
    waves = np.exp(2j * np.pi * hkl @ atoms.T).sum(1)
    gone = absent(bravais[1], hkl)
    assert np.abs(waves[gone]).max() < 1e-2 and system == d.SYSTEM_OF[some.bravais[0]]
    # What is left is the model's B: F without A and C, times the lattice points.
    index = hkl[~gone][1:]
    g = np.linalg.norm(index @ d.reciprocal_basis(some.basis[0]), axis=1)
    total = d.structure_factor(bravais, index[None], g[None], some)[0]
    factor = [d.scattering_factor(some.elements[:1, None, k], g[None])[0] for k in range(3)]
    last = np.array([[0, 0, 0.5], [0, 0.5, 0], [0.5, 0, 0]])
    last = last[: 3 if bravais == "cI" else 1]
    rest = factor[0] + factor[2] * np.cos(2 * np.pi * index @ last.T).sum(1)
    expected = factor[1] * waves[~gone][1:].real / len(points)
    np.testing.assert_allclose(total - rest, expected, atol=1e-2)


def test_relrod_has_its_first_zero_at_one_over_t():
    assert d.relrod(0.0, 80.0) == 6400
    assert d.relrod(1 / 80, 80.0) < 1e-25
    assert (d.relrod(np.linspace(0, 0.99, 50) / 80, 80.0) > 0).all()
    assert d.relrod(1.5 / 80, 80.0) == pytest.approx((80 / (1.5 * np.pi)) ** 2)


def test_excitation_error_is_the_distance_from_the_ewald_sphere():
    g, tilt, k = np.array([0.8, 0.3]), np.array([0.004, -0.007]), 1 / d.WAVELENGTH
    beam = k * np.array([*tilt, -np.sqrt(1 - tilt @ tilt)])
    exact = k - np.linalg.norm(np.append(g, 0) + beam)
    assert d.excitation_error(g, tilt) == pytest.approx(exact, rel=2e-3)


def test_scattering_factors():
    # International Tables C, table 4.3.2.3: f(0) is the sum of the a's; O 1.98 Å, Fe 7.16 Å.
    zero = np.zeros(1)
    assert d.scattering_factor(np.array([4]), zero) == pytest.approx(1.9834)
    assert d.scattering_factor(np.array([2]), zero) == pytest.approx(7.1611)
    g = np.linspace(0, 2, 20)
    for element in range(len(d.ELEMENTS)):
        assert (np.diff(d.scattering_factor(np.full(20, element), g)) < 0).all()


@pytest.mark.parametrize("bravais", d.BRAVAIS)
def test_lattices_have_their_symmetry_and_nothing_near_more(bravais):
    system = d.SYSTEM_OF[d.BRAVAIS.index(bravais)]
    assert len(d.symmetry(bravais)) == [2, 4, 8, 16, 12, 24, 48][system]
    angles = d.obliquity(crystals(bravais, 50).basis, bravais[1])
    assert ((angles < 1e-3).sum(1) == [0, 1, 3, 5, 3, 7, 9][system]).all()
    assert angles[angles > 1e-3].min() >= 4
    assert np.linalg.norm(crystals(bravais).basis, axis=2).min() > 2.5


@pytest.mark.parametrize("bravais", d.BRAVAIS)
def test_the_three_nets_generate_the_reciprocal_lattice(bravais):
    short = [d.reflections(bravais, zone) for zone in d.ZONES]
    short = np.concatenate([hkl[np.abs(hkl).max(1) <= 3] for hkl in short])
    indices = np.rint(short @ d.PRIMITIVE[bravais[1]].T).astype(int)
    indices = indices[np.argsort(np.abs(indices).sum(1))][:24]
    common = 0
    for three in combinations(indices, 3):
        common = gcd(common, round(np.linalg.det(np.array(three))))
    assert common == 1


@pytest.mark.parametrize("classes", d.CLASS_NAMES)
def test_a_sample_is_the_same_in_every_batch(classes):
    indices = np.array([90, 3, 17, 4, 1000003, 45, 59])
    x, y = d.generate(indices, seed=5, size=24, classes=classes)
    for i, index in enumerate(indices):
        one, label = d.generate(np.array([index]), seed=5, size=24, classes=classes)
        np.testing.assert_array_equal(x[i], one[0])
        assert y[i] == label[0] == index % len(d.CLASS_NAMES[classes])
    whole, _ = d.generate(np.arange(91), seed=5, size=24, classes=classes)
    np.testing.assert_array_equal(x[[0, 1, 2]], whole[[90, 3, 17]])
    assert np.abs(d.generate(indices, seed=6, size=24, classes=classes)[0] - x).max() > 0.1


def test_shapes_ranges_and_noise():
    x, y = d.generate(np.arange(14), size=40)
    assert x.shape == (14, 40, 40, 3) and x.dtype == np.float32 and y.dtype == np.int32
    assert x.min() >= 0 and x.max() <= 1
    assert d.generate(np.arange(0))[0].shape == (0, 64, 64, 3)
    clean, _ = d.generate(np.arange(14), size=40, noise=0)
    # The square root of a Poisson count with mean 1 / noise² at full scale has sd noise / 2.
    middle = (clean > 0.4) & (clean < 0.9)
    assert (x - clean)[middle].std() == pytest.approx(0.025, rel=0.1)


def test_each_system_draws_all_its_centrings():
    generators = [np.random.default_rng([0, i]) for i in range(140)]
    drawn = d.draw(generators, np.arange(140) % 7, "system").bravais
    assert (d.SYSTEM_OF[drawn] == np.arange(140) % 7).all() and set(drawn) == set(range(14))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"size": 0}, "size: expected 8 to 512 pixels; received 0"),
        ({"noise": -0.1}, "noise: expected 0 .* received -0.1"),
        ({"noise": float("nan")}, "noise: .* received nan"),
        ({"classes": "space-group"}, "classes: expected one of system, centring; received 'space"),
        ({"seed": -1}, "seed: expected an integer from 0; received -1"),
        ({"indices": np.array([-1])}, "indices: expected a row of integers"),
        ({"indices": np.array([0.5])}, "indices: expected a row of integers"),
    ],
)
def test_bad_arguments_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        d.generate(**{"indices": np.arange(2), **bad})


def polar_spectrum(x):
    """Angular power spectra on rings: blind to the azimuth, as the class is."""
    size = x.shape[1]
    angle, radius = np.linspace(0, 2 * np.pi, 48, endpoint=False), np.linspace(0.12, 0.95, 14)
    row = (size / 2 * (1 - radius[:, None] * np.sin(angle))).astype(int)
    column = (size / 2 * (1 + radius[:, None] * np.cos(angle))).astype(int)
    power = np.abs(np.fft.rfft(x[:, row, column], axis=2))[:, :, [0, 2, 4, 6, 8, 12]]
    return power.reshape(len(x), -1)


def test_the_systems_can_be_learned():
    x, y = d.generate(np.arange(910), size=32)
    features = polar_spectrum(x)
    forest = RandomForestClassifier(100, random_state=0).fit(features[:700], y[:700])
    assert forest.score(features[700:], y[700:]) > 0.4  # chance: 1/7, standard error 0.024


def test_best_accuracy_is_one_until_noise_or_pixels_hide_the_classes():
    assert d.best_accuracy(size=32) == 1.0
    assert d.best_accuracy(size=32, noise=1) is None
    assert d.best_accuracy(size=16) is None
    with pytest.raises(ValueError, match="classes"):
        d.best_accuracy(classes="crystal")
