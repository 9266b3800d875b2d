"""Kinematic electron-diffraction patterns of crystals of the seven crystal systems.

Model. A crystal has one of the 14 Bravais lattices and the symmetry of its symmorphic holohedral
space group (P-1, P2/m, …, Fm-3m): atom A at the origin, C at (0 0 ½), B on a site of `_SITES`, and
all their images. 200 kV electrons fall along three zone axes, [001], [100] and [110], one channel
each, as on a needle turned in a full-rotation holder: the crystal has a random azimuth, goes from
[001] to the others by the shortest rotation, and stops up to 0.6° beside each. A reflection g (1/Å)
of thickness t (Å) has

    I = |F|² (sin(π t s) / (π s))²,   F = Σ_j f_j(|g|/2) exp(-B |g|²/4) cos(2π h·r_j),

with excitation error s = -λ |g|²/2 - g·tilt (Williams & Carter, Transmission Electron Microscopy,
2nd ed. 2009, ch. 12-17), f_j from International Tables C (2004), table 4.3.2.3 (Peng, Ren, Dudarev
& Whelan, Acta Cryst. A52, 1996, 257), B = 0.5 Å². Zeroth Laue zone only: for |g| up to 1/Å higher
ones stay 0.045/Å or more off the Ewald sphere, where the thinnest relrod is down to 3 %. No
multiple scattering. The detector reaches 1/Å at its edges; the exposure puts the eighth brightest
spot at half of full scale, where brighter ones may saturate; a beam stop on an arm hides the direct
beam. Counts are Poisson and stored as their square roots (the variance-stabilising display), 1
being full scale.

Trigonal crystals are rhombohedral (hR): a trigonal crystal on a hexagonal lattice has a hexagonal
crystal's spot positions. Coordinates and cell lengths in Å, reciprocal ones in 1/Å without 2π.
"""

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from tfsci.simulate.lattice import (
    BRAVAIS,
    PRIMITIVE,
    SYSTEM_OF,
    SYSTEMS,
    TRIES,
    axis_pairs,
    draw_basis,
    obliquity,
    reciprocal_basis,
    symmetry,
)

WAVELENGTH = 0.02508  # Å, 200 kV
ZONES = ((0, 0, 1), (1, 0, 0), (1, 1, 0))
CLASS_NAMES = {"system": SYSTEMS, "centring": BRAVAIS}
# a₁ b₁ … a₅ b₅ (Å, Å²): f(s) = Σ a exp(-b s²), s = |g|/2 in 1/Å. The last two are anions (B).
ELEMENTS = ("Al", "Ti", "Fe", "Zr", "O", "S")
_SCATTERING = np.array(
    [
        [0.1165, 0.1295, 0.5504, 1.2619, 1.0179, 6.8242, 2.6295, 28.4577, 1.5711, 88.4750],
        [0.2123, 0.1399, 0.8960, 1.4568, 2.1765, 6.7534, 3.0436, 33.1168, 2.4439, 101.8238],
        [0.1929, 0.1087, 0.8239, 1.0806, 1.8689, 4.7637, 2.3694, 22.8500, 1.9060, 76.7309],
        [0.2997, 0.1121, 1.1879, 1.0638, 3.1075, 6.3891, 3.9740, 28.7081, 3.5769, 97.4289],
        [0.0365, 0.0652, 0.1729, 0.6184, 0.5805, 2.9449, 0.8814, 9.6298, 0.3121, 28.2194],
        [0.0915, 0.0838, 0.4312, 0.7788, 1.0847, 4.3462, 2.4671, 15.5846, 1.0852, 44.6365],
    ]
)
_B_FACTOR = 0.5  # Å²
# System → (offset, 3×3): site of B = offset + matrix·(x, y, z), each free value in 0.2 … 0.32.
_SITES = np.zeros((7, 3, 3))
_SITES[:2] = np.eye(3)  # x y z
_SITES[2] = np.diag([1, 1, 0])  # x y 0
_SITES[3, :2, 0] = 1  # x x 0
_SITES[4:6, 2, 2] = 1  # 0 0 z, and ⅓ ⅔ z
_SITES[6, :, 0] = 1  # x x x
_OFFSETS = np.zeros((7, 3))
_OFFSETS[5] = 1 / 3, 2 / 3, 0
_MAX_INDEX = 20
_MAX_SPOTS = 320


@dataclass(frozen=True)
class Crystals:
    """What the detector sees, one row a sample (lengths in Å, angles in radians).

    Attributes:
        bravais: (n,) index into `BRAVAIS`.
        basis: (n, 3, 3) rows a, b, c of the conventional cell, Cartesian.
        site: (n, 3) fractional coordinates of atom B.
        elements: (n, 3) rows of `ELEMENTS` at A, B, C.
        thickness: (n,).
        azimuth: (n,) of a* in channel 0.
        tilt: (n, 3, 2) off each zone axis.
        background: (n,) diffuse intensity at the centre, full scale 1.
    """

    bravais: np.ndarray
    basis: np.ndarray
    site: np.ndarray
    elements: np.ndarray
    thickness: np.ndarray
    azimuth: np.ndarray
    tilt: np.ndarray
    background: np.ndarray

    def __getitem__(self, rows) -> "Crystals":
        return Crystals(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def relrod(s: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """Returns (sin(π t s) / (π s))² in Å²: t² at s = 0, first zero at s = 1/t."""
    return (thickness * np.sinc(s * thickness)) ** 2


def excitation_error(g: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """Returns s in 1/Å of g (…, 2) in the zone's plane for a beam `tilt` (…, 2) radians off it."""
    return -WAVELENGTH / 2 * (g**2).sum(-1) - (g * tilt).sum(-1)


def scattering_factor(element: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Returns f in Å, with its Debye-Waller factor, of rows of `ELEMENTS` at g in 1/Å."""
    a, b = _SCATTERING[element, 0::2], _SCATTERING[element, 1::2] + _B_FACTOR
    return (a * np.exp(-b * (g[..., None] / 2) ** 2)).sum(-1)


@cache
def _orbit(bravais: str, site: tuple[float, ...]) -> np.ndarray:
    """Returns one matrix for each image of the site that is another atom of a primitive cell."""
    w = symmetry(bravais)
    images = w @ np.array(site) @ np.linalg.inv(PRIMITIVE[bravais[1]])
    return w[np.unique(np.round(images % 1, 4) % 1, axis=0, return_index=True)[1]]


@cache
def reflections(bravais: str, zone: tuple[int, int, int]) -> np.ndarray:
    """Returns the (h k l) of a zone, without the origin, that the centring does not extinguish."""
    hkl = np.stack(np.meshgrid(*[np.arange(-_MAX_INDEX, _MAX_INDEX + 1)] * 3), -1).reshape(-1, 3)
    hkl = hkl[(hkl @ zone == 0) & hkl.any(1)]
    indices = hkl @ PRIMITIVE[bravais[1]].T
    return hkl[np.abs(indices - np.rint(indices)).max(1) < 1e-6]


def structure_factor(bravais: str, hkl: np.ndarray, g: np.ndarray, crystals: Crystals):
    """Returns F in Å (real) of a primitive cell for hkl (n, S, 3), |g| (n, S) in 1/Å."""
    system = SYSTEM_OF[BRAVAIS.index(bravais)]
    generic = tuple(_OFFSETS[system] + _SITES[system] @ [0.217, 0.283, 0.311])
    result = scattering_factor(crystals.elements[:, None, 0], g)
    last = np.broadcast_to([0.0, 0.0, 0.5], crystals.site.shape)
    for column, site, key in ((1, crystals.site, generic), (2, last, (0.0, 0.0, 0.5))):
        images = (_orbit(bravais, key) * site[:, None, None, :]).sum(-1)  # (n, m, 3)
        phases = (hkl[:, :, None, :] * images[:, None]).sum(-1)
        waves = np.cos(2 * np.pi * phases).sum(-1)
        result += scattering_factor(crystals.elements[:, None, column], g) * waves
    return result


def draw(generators: list[np.random.Generator], labels: np.ndarray, classes: str) -> Crystals:
    """Draws one crystal from each generator, of the class that its label names."""
    u = np.stack([generator.random(20 + 5 * TRIES) for generator in generators])
    if classes == "system":
        first, count = np.searchsorted(SYSTEM_OF, labels), np.bincount(SYSTEM_OF)[labels]
        bravais = first + (u[:, 0] * count).astype(int)
    else:
        bravais = labels
    system, basis = SYSTEM_OF[bravais], np.zeros((len(u), 3, 3))
    for index in np.unique(bravais):
        rows = bravais == index
        volume = 80 * 2.5 ** u[rows, 1]
        basis[rows] = draw_basis(BRAVAIS[index], volume, u[rows, 20:].reshape(-1, TRIES, 5))
    free = 0.2 + 0.12 * u[:, 2:5]
    angle, radius = 2 * np.pi * u[:, 5:8], np.radians(0.6) * np.sqrt(u[:, 8:11])
    return Crystals(
        bravais=bravais,
        basis=basis,
        site=_OFFSETS[system] + (_SITES[system] * free[:, None]).sum(-1),
        elements=(u[:, 11:14] * [4, 2, 4] + [0, 4, 0]).astype(int),
        thickness=40 + 80 * u[:, 14],
        azimuth=2 * np.pi * u[:, 15],
        tilt=radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1),
        background=0.05 + 0.2 * u[:, 16],
    )


def spots(crystals: Crystals, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the spots of crystals of one Bravais lattice, weakest angles first cut.

    Args:
        crystals: n crystals, all of one Bravais lattice.
        channel: 0, 1 or 2: the zone axis [001], [100] or [110].

    Returns:
        Positions (n, S, 2) on the detector in 1/Å, and intensities (n, S) in Å⁴.
    """
    bravais, zone = BRAVAIS[crystals.bravais[0]], np.array(ZONES[channel])
    hkl = reflections(bravais, ZONES[channel])
    basis, reciprocal = crystals.basis, reciprocal_basis(crystals.basis)
    # Channel 0: c along z, a* at the azimuth; then the shortest turn of the zone axis t to z takes
    # g, normal to t, to g_xy - t_xy g_z / (1 + t_z).
    z, x = (v / np.linalg.norm(v, axis=1)[:, None] for v in (basis[:, 2], reciprocal[:, 0]))
    cos, sin = np.cos(crystals.azimuth)[:, None], np.sin(crystals.azimuth)[:, None]
    y = np.cross(z, x)
    screen = np.stack([cos * x - sin * y, sin * x + cos * y, z], 1)  # rows: detector axes
    axis = (zone[:, None] * basis).sum(1)
    axis = (screen * (axis / np.linalg.norm(axis, axis=1)[:, None])[:, None]).sum(-1)
    stars = (reciprocal[:, :, None] * screen[:, None]).sum(-1)  # (n, a* b* c*, x y z)
    stars = stars[..., :2] - (axis[:, :2] / (1 + axis[:, 2:]))[:, None] * stars[..., 2:]
    g = (hkl[None, :, :, None] * stars[:, None]).sum(2)  # (n, K, 2)
    nearest = np.argsort((g**2).sum(-1), axis=1, kind="stable")[:, :_MAX_SPOTS]
    g, hkl = np.take_along_axis(g, nearest[..., None], 1), hkl[nearest]
    factor = structure_factor(bravais, hkl, np.sqrt((g**2).sum(-1)), crystals)
    s = excitation_error(g, crystals.tilt[:, None, channel])
    return g, factor**2 * relrod(s, crystals.thickness[:, None])


def render(crystals: Crystals, size: int) -> np.ndarray:
    """Returns the expected intensities (n, size, size, 3), full scale 1 (bright spots above it)."""
    pixel = (np.arange(size) - (size - 1) / 2) * 2 / size  # 1/Å
    x, y = np.meshgrid(pixel, -pixel)
    radius2 = x**2 + y**2
    stop = (radius2 < 0.075**2) | ((np.abs(x) < 0.025) & (y < 0))
    shadow = np.where(stop, 0.02, 1.0).astype("float32")
    diffuse = (1 / (1 + radius2 / 0.2**2)).astype("float32")
    sigma = max(0.022, 1.2 / size)
    images = np.empty((len(crystals.bravais), size, size, 3), "float32")
    for index in np.unique(crystals.bravais):
        members = np.flatnonzero(crystals.bravais == index)
        for start in range(0, len(members), 32):
            rows = members[start : start + 32]
            some = crystals[rows]
            for channel in range(3):
                g, intensity = spots(some, channel)
                seen = np.where(np.abs(g).max(-1) < 1.05, intensity, 0)
                exposure = 0.5 / np.partition(seen, -8, axis=1)[:, -8, None]
                seen = (exposure * seen).astype("float32")
                spread = ((g[..., None] - pixel) / sigma).astype("float32")
                spread = np.exp(-(spread**2) / 2)  # (n, S, 2, size)
                columns, lines = spread[:, :, 0], spread[:, :, 1, ::-1] * seen[..., None]
                image = np.swapaxes(lines, 1, 2) @ columns
                background = some.background.astype("float32")[:, None, None]
                images[rows, :, :, channel] = shadow * (image + background * diffuse + 0.004)
    return images


def _check(size: int, noise: float, classes: str) -> None:
    if classes not in CLASS_NAMES:
        raise ValueError(f"classes: expected one of {', '.join(CLASS_NAMES)}; received {classes!r}")
    if not 8 <= size <= 512:
        raise ValueError(f"size: expected 8 to 512 pixels; received {size}")
    if not 0 <= noise <= 1:
        raise ValueError(f"noise: expected 0 (no noise) to 1; received {noise}")


def generate(
    indices: np.ndarray,
    seed: int = 0,
    size: int = 64,
    noise: float = 0.05,
    classes: str = "system",
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the patterns of the samples `indices`; see the module for the model.

    Sample i depends on `seed` and i alone. Its label is i modulo the number of classes.

    Args:
        indices: (n,) integers from 0.
        seed: From 0.
        size: Pixels along each edge.
        noise: Relative standard deviation of the counts at full scale: 1 / noise² electrons.
        classes: `system` (7) or `centring` (the 14 Bravais lattices); names in `CLASS_NAMES`.

    Returns:
        Patterns (n, size, size, 3) float32 in 0..1, and labels (n,) int32.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> x, y = generate(np.arange(14), size=32)
        >>> x.shape, y[:8].tolist()
        ((14, 32, 32, 3), [0, 1, 2, 3, 4, 5, 6, 0])
    """
    _check(size, noise, classes)
    indices = np.asarray(indices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or (indices < 0).any():
        raise ValueError(f"indices: expected a row of integers from 0; received {indices!r}")
    if seed < 0:
        raise ValueError(f"seed: expected an integer from 0; received {seed}")
    labels = (indices % len(CLASS_NAMES[classes])).astype("int32")
    x = np.zeros((len(indices), size, size, 3), "float32")
    for start in range(0, len(indices), 256):
        part = slice(start, start + 256)
        generators = [np.random.default_rng([seed, int(i)]) for i in indices[part]]
        x[part] = render(draw(generators, labels[part], classes), size)
        if noise:
            for image, generator in zip(x[part], generators, strict=True):
                image[:] = generator.poisson(image / noise**2) * noise**2
    return np.sqrt(np.minimum(x, 1)), labels


@cache
def best_accuracy(size: int = 64, noise: float = 0.05, classes: str = "system") -> float | None:
    """Returns the best possible accuracy: 1.0, or None where noise or pixels may hide the classes.

    Without noise it is exactly 1. The spots' positions give three nets with a common azimuth, and
    these generate the whole reciprocal lattice for each of the 14 lattices (tests check that the
    determinants have no common divisor), hence the Bravais lattice: no drawn one is accidentally of
    higher symmetry, as every missing two-fold axis is at least 4° off (`obliquity`).

    With noise, of two equally likely crystals with expected counts μ and ν the best test errs at
    most exp(-Σ(√μ-√ν)²/2) / 2 (Bhattacharyya's bound, exact coefficient for Poisson counts), that
    is exp(-D²/2 noise²) / 2 with D the distance of the noiseless images. It is computed here for
    140 crystals against themselves, deformed until the nearest missing axis is there, at the best
    matching azimuth; 1.0 is returned where its mean is under 0.0005. Other parameters (thickness,
    tilts, elements) are held, so None, and no number, is returned beyond that.
    """
    _check(size, noise, classes)
    if size < 24:
        return None
    labels = np.arange(140) % len(CLASS_NAMES[classes])
    crystals = draw([np.random.default_rng([0, i]) for i in range(140)], labels, classes)
    deformed = crystals.basis.copy()
    u, h = axis_pairs()
    for row, (index, basis) in enumerate(zip(crystals.bravais, crystals.basis, strict=True)):
        angles = obliquity(basis, BRAVAIS[index][1])
        nearest = np.argmin(np.where(angles > 1e-3, angles, 90))
        primitive = PRIMITIVE[BRAVAIS[index][1]] @ basis
        axis, normal = u[nearest] @ primitive, h[nearest] @ reciprocal_basis(primitive)
        normal /= np.linalg.norm(normal)
        along = axis @ normal
        deformed[row] += np.outer(basis @ normal / along, along * normal - axis)
    image, distance = np.sqrt(np.minimum(render(crystals, size), 1)), np.inf
    for turn in np.radians([-2, -1, 0, 1, 2]):
        other = replace(crystals, basis=deformed, azimuth=crystals.azimuth + turn)
        other = np.sqrt(np.minimum(render(other, size), 1))
        distance = np.minimum(distance, ((image - other) ** 2).sum((1, 2, 3)))
    error = np.exp(-distance / (2 * max(noise, 1e-9) ** 2)).mean() / 2
    return 1.0 if error < 5e-4 else None
