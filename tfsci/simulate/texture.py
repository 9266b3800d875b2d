"""Smooth noise and turned coordinates, for drawing scenes."""

import numpy as np


def smooth_noise(table: np.ndarray, cells: int, size: int) -> np.ndarray:
    """Smooth noise of variance 1 with `cells` bumps along an edge, from a table of uniforms."""
    where = (np.arange(size) + 0.5)[:, None] / size * (cells - 1) - np.arange(cells)
    weights = np.exp(-(where**2))
    weights = (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype("float32")
    return weights @ ((table[:, :cells, :cells] - 0.5) * 12**0.5) @ weights.T


def turned(x, y, angle) -> tuple[np.ndarray, np.ndarray]:
    """Returns coordinates in a frame turned by an angle (radians, anticlockwise)."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
