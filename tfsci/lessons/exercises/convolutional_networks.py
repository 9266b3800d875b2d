"""Exercises of `lessons/04_convolutional_networks.py`."""

import numpy as np

from tfsci.lessons.exercises import Exercise, choice, number
from tfsci.simulate import damage


def _weights(window: int, channels: int, filters: int) -> int:
    """Returns the weights of a convolution, biases included."""
    return (window**2 * channels + 1) * filters


def _pictures() -> int:
    """Returns how many pictures flips and quarter turns make of one that has no symmetry."""
    tile = np.arange(9).reshape(3, 3)
    made = [np.rot90(f(tile), k) for f in (np.array, np.flipud) for k in range(4)]
    return len({picture.tobytes() for picture in made})


EXERCISES = (
    Exercise(
        "A convolution with a window of 5 by 5 takes a picture of 3 channels and 128 by 128 pixels "
        "to 24 channels. How many weights has it, biases included?",
        number(
            lambda: _weights(5, 3, 24),
            0.5,
            "each of the 24 filters has a weight for each of the window's 5 · 5 places and 3 "
            "channels, and one bias; the size of the picture does not matter",
        ),
        "(5 · 5 · 3 + 1) · 24, for a picture of any size",
    ),
    Exercise(
        "Your model is right for 61 % of its training pictures and for 59 % of fresh ones. You "
        "have some pictures graded by a second annotator: the two agree on 95 %. What limits the "
        "model? Answer capacity, data, labels or imbalance.",
        choice(
            "capacity",
            {
                "data": "with too few pictures it would know its own by heart; it does not",
                "labels": "annotators who agree so often leave far more than 61 % possible",
                "imbalance": "rare grades hide behind a high accuracy; this one is low",
            },
        ),
        "it learns not even what it is shown, and the labels are not to blame: a larger model, or "
        "longer training",
    ),
    Exercise(
        "The annotators become more careful: their error falls from 0.1 to 0.05. Which accuracy is "
        "then the best possible with five grades? Give it to 0.01.",
        number(
            lambda: damage.best_accuracy(5, 0.05),
            0.006,
            "ask damage.best_accuracy(5, 0.05); about 0.8 σ is lost at each of the four "
            "thresholds, from both sides",
        ),
        "half the error of the labels, half the loss, and no network was changed",
    ),
    Exercise(
        "How many different pictures do flips and quarter turns make of one, itself included?",
        number(
            _pictures,
            0.1,
            "a flip of rows and one of columns together are a half turn: count what is different",
        ),
        "four turns, each with or without a mirror: the symmetries of a square",
    ),
)
