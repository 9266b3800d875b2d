"""Exercises of `lessons/01_machine_learning.py`."""

import numpy as np
from scipy import stats

from tfsci.lessons.exercises import Exercise, choice, number


def _best_of_coins(models: int, samples: int) -> float:
    """Returns the expected best accuracy of models that guess between two classes."""
    below = stats.binom.cdf(np.arange(samples), samples, 0.5)
    return float((1 - below**models).sum() / samples)


def _area(wider: float, dimensions: int) -> float:
    return float(stats.f.sf(wider**-2, dimensions, dimensions))


EXERCISES = (
    Exercise(
        "The mean of the 8 nearest measurements, each with noise of variance 0.36, predicts a "
        "fresh measurement at the same place. The curve is flat there. What is the mean squared "
        "error? Give a number.",
        number(
            lambda: 0.36 / 8 + 0.36,
            0.001,
            "without bias the error is the variance of the mean, and the noise of the fresh "
            "measurement, which no model can foresee",
        ),
        "bias² + variance + noise = 0 + 0.36/8 + 0.36",
    ),
    Exercise(
        "A group tries 500 models on the same 200 test samples of two equally likely classes, and "
        "publishes the best. Nothing can be learnt from the data. Which accuracy will they report, "
        "on average? Change the section on validation data to find out; give it to 0.01.",
        number(
            lambda: _best_of_coins(500, 200),
            0.006,
            "set SAMPLES to 200 and add 500 to the models tried; 0.5 is what an untouched test set "
            "would say",
        ),
        "nothing was learnt, and still they are well above one half: more samples flatter less",
    ),
    Exercise(
        "Training error 0.02, validation error 0.31, and the noise alone makes 0.02. What is the "
        "matter? Answer overfitting, underfitting or noise.",
        choice(
            "overfitting",
            {
                "underfitting": "a model that is too simple misses its own training data too",
                "noise": "the noise is as small as the training error; validation is far above it",
            },
        ),
        "the model follows its own points far better than others: simplify it, or get more data",
    ),
    Exercise(
        "In 40 dimensions, odd samples are wider than normal ones by a factor of 1.2. What is the "
        "largest area under the ROC curve that any detector can have? Give it to 0.01.",
        number(
            lambda: _area(1.2, 40),
            0.006,
            "change DIMENSIONS and WIDER in the last section and read the known answer",
        ),
        "many weak hints add up: with 10 dimensions it would be lower",
    ),
)
