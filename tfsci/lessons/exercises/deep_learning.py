"""Exercises of `lessons/02_deep_learning.py`."""

import math

import numpy as np

from tfsci.lessons.exercises import Exercise, number
from tfsci.simulate import rings


def _largest_rate(force: np.ndarray) -> float:
    """Returns 2 / λ of the mean squared error of a line, the largest rate that does not diverge."""
    rows = np.stack([force, np.ones_like(force)], 1)
    return float(2 / np.linalg.eigvalsh(2 * rows.T @ rows / force.size).max())


def _spread(batch: int, samples: int) -> float:
    """Returns the standard error of a mean over a batch, drawn without putting back, over S."""
    return math.sqrt((1 - batch / samples) / batch)


EXERCISES = (
    Exercise(
        "The spring is measured with forces from 0 to 10 N instead of 0 to 1 N. What is now the "
        "largest learning rate that does not diverge? Change the first section and print `limit`; "
        "give it to 0.001.",
        number(
            lambda: _largest_rate(np.linspace(0, 10, 50)),
            0.0006,
            "the curvature grows with the square of the inputs; 2 divided by the largest "
            "eigenvalue is the limit",
        ),
        "inputs ten times as large need steps many times shorter: that is why one scales inputs",
    ),
    Exercise(
        "A training set has 50,000 samples; batches hold 128, and the last, partial one is "
        "dropped. How many iterations are ten epochs?",
        number(
            lambda: 10 * (50_000 // 128),
            0.5,
            "an iteration is one batch, an epoch reads all data once: whole batches in 50,000, "
            "times ten",
        ),
        "390 steps an epoch, and 80 samples left out of each, others every time",
    ),
    Exercise(
        "The gradient over a batch of 64 of 2,048 samples, drawn without putting back, misses that "
        "over all by some standard error. By how many times is it larger than with a batch of 256? "
        "A mean over B of N has the variance (1 − B/N) S² / B. Give it to 0.01.",
        number(
            lambda: _spread(64, 2048) / _spread(256, 2048),
            0.011,
            "the root of the ratio of the two variances; it is a little more than 2, since 256 "
            "are a good part of all",
        ),
        "four times the work for half the roughness: that is why batches are small",
    ),
    Exercise(
        "The second kind is spread only 2 times as wide as the first, in two dimensions. Which "
        "accuracy can no network exceed? Change `wider` of `tfsci.simulate.rings`, or work out the "
        "circle; give it to 0.01.",
        number(
            lambda: rings.best_accuracy(wider=2),
            0.006,
            "kinds that overlap more are told apart less well than 84 %: see `best_accuracy`",
        ),
        "knowing that beforehand saves the search for a better network",
    ),
)
