"""Whether a classifier is right as often as it says, and how to mend it: NumPy and SciPy alone."""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """What a reliability diagram shows; bins without samples are left out.

    Attributes:
        confidence: Mean greatest probability of each bin's samples, shape (bins,).
        accuracy: Share of them that are right, shape (bins,).
        count: How many they are, shape (bins,).
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean |accuracy − confidence|, each bin by its samples."""
        return float(np.abs(self.accuracy - self.confidence) @ self.count / self.count.sum())


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Returns softmax(logits / temperature) in float64, shape (…, K).

    Raises:
        ValueError: The temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: expected a number above 0")
    scaled = np.asarray(logits, "float64") / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    """Returns −Σ_k p_k ln p_k in nats, of p of shape (…, K)."""
    return -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=-1)


def nats(p: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean of −ln p of the labels, for p of shape (samples, K)."""
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-300)).mean())


def reliability(p: np.ndarray, labels: np.ndarray, num_bins: int = 15) -> Reliability:
    """Puts samples into bins by their confidence (Guo et al. 2017, arXiv:1706.04599, eq. 3).

    Args:
        p: Probabilities, shape (samples, K).
        labels: Whole numbers, shape (samples,).
        num_bins: Bins of equal width; bin m holds (m/M, (m + 1)/M].

    Raises:
        ValueError: There is no bin, or there are no samples.
    """
    if num_bins < 1 or len(labels) == 0:
        raise ValueError(f"num_bins {num_bins}, {len(labels)} samples: expected at least 1 of each")
    confidence, right = p.max(axis=-1), p.argmax(axis=-1) == labels
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    filled = count > 0
    sums = (np.bincount(bins, values, num_bins)[filled] for values in (confidence, right))
    of_confidence, of_right = sums
    count = count[filled]
    return Reliability(of_confidence / count, of_right / count, count)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature that makes the labels most probable: minimal nats of softmax(z/T).

    One number, fitted on samples that had no part in training; no decision changes, as softmax
    keeps the order (Guo et al. 2017, section 4.2). The nats are convex in 1/T.

    Args:
        logits: z, shape (samples, K).
        labels: Whole numbers, shape (samples,).

    Returns:
        T, 0.01 … 100: above 1 where the classifier is too sure of itself.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: nats(probabilities(logits, np.exp(log)), labels),
        bounds=(np.log(0.01), np.log(100)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
