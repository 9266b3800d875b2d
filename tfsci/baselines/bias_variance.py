"""What a fit misses on average, and how much it trembles from one experiment to the next.

error on fresh data = bias² + variance + noise (Geman, Bienenstock and Doursat 1992, equation 2.3).
"""

from typing import NamedTuple

import numpy as np


class Decomposition(NamedTuple):
    """Means over the places of prediction.

    Attributes:
        bias: The squared distance of the mean prediction to the truth.
        variance: Of the predictions.
    """

    bias: float
    variance: float


def resampled(predictions: np.ndarray, truth: np.ndarray) -> Decomposition:
    """Estimates both from fits to experiments that differ in their noise alone.

    Args:
        predictions: Shape (experiments, places), of two experiments or more.
        truth: What is predicted, without noise, shape (places,).
    """
    bias = np.mean((predictions.mean(0) - truth) ** 2)
    return Decomposition(float(bias), float(predictions.var(0, ddof=1).mean()))


def exact(hat: np.ndarray, signal: np.ndarray, noise: float, truth: np.ndarray) -> Decomposition:
    """Computes both for a fit that is linear in what was measured.

    Args:
        hat: H of shape (places, points): the predictions are H y.
        signal: What was measured, without noise, shape (points,).
        noise: Standard deviation of each measurement's noise, independent of the others'.
        truth: What is predicted, without noise, shape (places,).
    """
    variance = noise**2 * np.sum(hat**2, axis=1).mean()
    return Decomposition(float(np.mean((hat @ signal - truth) ** 2)), float(variance))
