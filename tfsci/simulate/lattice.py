"""The 14 Bravais lattices: cells drawn within each one's constraints, and the symmetry they have.

Lengths in Å, reciprocal ones in 1/Å without 2π.
"""

from functools import cache

import numpy as np

SYSTEMS = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "hexagonal",
    "cubic",
)
BRAVAIS = ("aP", "mP", "mC", "oP", "oC", "oI", "oF", "tP", "tI", "hR", "hP", "cP", "cI", "cF")
SYSTEM_OF = np.array([0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6, 6, 6])

# Centring → primitive basis in units of the conventional one (rows).
PRIMITIVE = {
    "P": np.eye(3),
    "C": np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
TRIES = 64
_GAP = 4.0  # degrees


def direct_basis(cell: np.ndarray) -> np.ndarray:
    """Returns rows a, b, c (…, 3, 3) in Å of cells (…, 6): a, b, c in Å, α, β, γ in degrees."""
    cell = np.asarray(cell, float)
    (a, b, c), cosines = np.moveaxis(cell[..., :3], -1, 0), np.cos(np.radians(cell[..., 3:]))
    cos_a, cos_b, cos_c = np.moveaxis(cosines, -1, 0)
    sin_c = np.sqrt(1 - cos_c**2)
    y = (cos_a - cos_b * cos_c) / sin_c
    z = np.sqrt(1 - cos_b**2 - y**2)
    rows = [a, 0 * a, 0 * a, b * cos_c, b * sin_c, 0 * a, c * cos_b, c * y, c * z]
    return np.stack(rows, -1).reshape(*a.shape, 3, 3)


def reciprocal_basis(basis: np.ndarray) -> np.ndarray:
    """Returns rows a*, b*, c* in 1/Å, so that basis @ reciprocalᵀ = 1."""
    return np.swapaxes(np.linalg.inv(basis), -1, -2)


@cache
def symmetry(bravais: str) -> np.ndarray:
    """Returns the holohedry's integer matrices W (m, 3, 3), position → W·position, found by metric.

    They keep the metric of an exemplary cell of the system and the centring: 2, 4, 8, 16, 12, 24
    and 48 matrices for the seven systems.
    """
    system = SYSTEM_OF[BRAVAIS.index(bravais)]
    metric = direct_basis(_cells(system, np.array([[0.3, 0.9, 0.1, 0.7, 0.4]])))[0]
    metric = metric @ metric.T
    w = np.stack(np.meshgrid(*[[-1, 0, 1]] * 9, indexing="ij"), -1).reshape(-1, 3, 3)
    keeps = np.abs(np.swapaxes(w, 1, 2) @ metric @ w - metric).max((1, 2)) < 1e-6
    primitive = PRIMITIVE[bravais[1]]
    image = primitive @ np.swapaxes(w, 1, 2) @ np.linalg.inv(primitive)
    return w[keeps & (np.abs(image - np.rint(image)).max((1, 2)) < 1e-6)]


@cache
def axis_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Returns directions and planes (indices up to 2) that may hold a two-fold axis: u·h = 1, 2."""
    index = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    index = index[np.gcd.reduce(index, axis=1) == 1]
    half = index[(index @ [25, 5, 1]) > 0]
    u, h = np.nonzero(np.isin(np.abs(half @ half.T), (1, 2)))
    return half[u], half[h]


def obliquity(basis: np.ndarray, centring: str) -> np.ndarray:
    """Returns, in degrees (n, pairs), how far each possible two-fold axis is from being one.

    A lattice has a two-fold axis where a row [uvw] is normal to a plane (hkl) and u·h is 1 or 2
    (Le Page, J. Appl. Cryst. 15, 1982, 255); their numbers tell the systems apart: 0, 1, 3, 5, 3,
    7, 9. The smallest angle that is not 0 is the distance from accidental higher symmetry.
    """
    u, h = axis_pairs()
    primitive = PRIMITIVE[centring] @ basis
    rows, normals = u @ primitive, h @ reciprocal_basis(primitive)
    sine = np.linalg.norm(np.cross(rows, normals), axis=-1)
    return np.degrees(np.arctan2(sine, np.abs((rows * normals).sum(-1))))


def _cells(system: int, u: np.ndarray) -> np.ndarray:
    """Returns cells (n, 6) of unit a from uniforms (n, 5), within the system's constraints."""
    one, right = np.ones(len(u)), np.full(len(u), 90.0)
    b, c = np.exp(0.8 * u[:, 0] - 0.4), np.exp(0.8 * u[:, 1] - 0.4)
    c_trigonal, c_hexagonal = np.exp(0.25 + 0.6 * u[:, 1]), np.exp(u[:, 1] - 0.4)
    alpha, beta, gamma = (78 + 34 * u[:, 2:]).T
    return np.stack(
        [
            (one, b, c, alpha, beta, gamma),
            (one, b, c, right, 94 + 24 * u[:, 3], right),
            (one, b, c, right, right, right),
            (one, one, c, right, right, right),
            (one, one, c_trigonal, right, right, right + 30),
            (one, one, c_hexagonal, right, right, right + 30),
            (one, one, one, right, right, right),
        ][system],
        -1,
    )


def draw_basis(bravais: str, volume: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Returns bases with primitive cells of `volume`: of tries u (n, tries, 5) the first clear one.

    Clear: no two-fold axis is missing by less than `_GAP` degrees.
    """
    system, basis = SYSTEM_OF[BRAVAIS.index(bravais)], np.zeros((len(u), 3, 3))
    pending = np.arange(len(u))
    for attempt in range(TRIES):
        basis[pending] = direct_basis(_cells(system, u[pending, attempt]))
        angles = obliquity(basis[pending], bravais[1])
        pending = pending[np.where(angles > 1e-3, angles, 90).min(1) < _GAP]
        if not len(pending):
            break
    primitive = np.abs(np.linalg.det(basis)) * np.linalg.det(PRIMITIVE[bravais[1]])
    return basis * np.cbrt(volume / primitive)[:, None, None]
