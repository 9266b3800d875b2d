"""Exercises of `lessons/07_neural_operators.py`."""

import numpy as np

from tfsci.lessons.exercises import Exercise, choice, number
from tfsci.simulate import burgers


def _terms(viscosity: float, wanted: float) -> int:
    """Returns how many terms let the floor fall below a relative error."""
    some = range(2_000_000_000, 2_000_000_500)
    exact = burgers.generate(some, points=64, times=(1.0,), viscosity=viscosity)[:, 0]
    power = np.linalg.svd(exact - exact.mean(1, keepdims=True), compute_uv=False) ** 2
    left = [np.sqrt(power[terms:].sum() / (exact**2).sum()) for terms in range(len(power))]
    return int(np.argmax(np.array(left) < wanted))


def _parameters(sensors: int, features: int, width: int, terms: int) -> int:
    def of(inputs: int) -> int:
        return (inputs + 1) * width + (width + 1) * width + (width + 1) * terms

    return of(sensors) + of(features) + 1


EXERCISES = (
    Exercise(
        "The derivative, G(u) = du/dx, is an operator too. On sums of 6 waves, each with a cosine "
        "and a sine, how many terms does a DeepONet need to be exact?",
        number(
            lambda: 2 * 6,
            0,
            "the derivative of a cosine is a sine and of a sine a cosine: count the functions "
            "that answers are mixtures of",
        ),
        "each cosine and each sine is a function of its own: answers span so many dimensions",
    ),
    Exercise(
        "At a viscosity of 0.02, how many terms are needed at least for an error below 2 %? Set "
        "VISCOSITY and print floor(k) for some k.",
        number(
            lambda: _terms(0.02, 0.02),
            1,
            "the smallest k for which floor(k) is below 0.02, with the exact answers at that "
            "viscosity",
        ),
        "sharper shocks, in more places, are mixtures of more functions",
    ),
    Exercise(
        "The lesson's network: 64 sensors; 4 cosines and 4 sines for the trunk; two hidden layers "
        "of 128 units in each part; 64 terms; one output with its bias. How many parameters?",
        number(
            lambda: _parameters(64, 8, 128, 64),
            0,
            "a dense layer from n to m has (n + 1)·m; add three for the branch, three for the "
            "trunk, and the bias; net.count_params() tells, too",
        ),
        "almost all of them are in the parts; the sum of products has its bias alone",
    ),
    Exercise(
        "You want the answer at a thousand new places that the network was not trained at. What "
        "has to be trained again: branch, trunk, both or nothing?",
        choice(
            "nothing",
            {
                "branch": "the branch has not heard of places: it reads the sensors, which stay",
                "trunk": "the trunk is a function of the place; evaluate it at the new ones",
                "both": "what did the section on shocks do to answer between the points?",
            },
        ),
        "places are inputs of the trunk; new sensors would need a new branch",
    ),
)
