"""Exercises of `lessons/08_distributed.py`."""

import math

from tfsci.lessons.exercises import Exercise, choice, number


def _fastest(compute: float, latency: float) -> float:
    """Returns the n at which C/n + a·(n − 1) is least."""
    return math.sqrt(compute / latency)


def _sent(parameters: float, ranks: int) -> float:
    """Returns the megabytes that a rank sends in a ring's all-reduce of float32."""
    return 2 * (ranks - 1) / ranks * 4 * parameters / 1e6


def _same_as_summed(rate: float, ranks: int) -> float:
    """Returns the rate of the mean that moves as far as the sum at the scaled rate."""
    scaled = rate * ranks
    return scaled * ranks


EXERCISES = (
    Exercise(
        "A job on 4 ranks ends with the very loss of one process, takes as long as one process "
        "did, and prints every line 4 times. Which step was left out? Answer initialise, scale, "
        "broadcast or shard.",
        choice(
            "initialise",
            {
                "scale": "an unscaled rate bends the curve; this one is right",
                "broadcast": "ranks that start apart bend the curve; this one is right",
                "shard": "the ranks would know of each other, the first alone would print, and "
                "the model would have seen a quarter of the data",
            },
        ),
        "four trainings ran side by side, each complete: look at who prints, and at the time",
    ),
    Exercise(
        "A script sums gradients over 4 ranks instead of averaging them, and scales its rate of "
        "0.05 by the number of ranks, too. At which rate would a training that averages have the "
        "same curve (plain SGD)?",
        number(
            lambda: _same_as_summed(0.05, 4),
            1e-6,
            "the sum of n gradients is n times their mean, and the rate was scaled already",
        ),
        "0.05 · 4 for the scaling, and · 4 again for the sum: easily too high to train at all",
    ),
    Exercise(
        "A training takes 60 s on one rank, and each rank more costs 0.15 s in latency, as in the "
        "law that the lesson fits to Polaris. On how many ranks is it fastest?",
        number(
            lambda: _fastest(60, 0.15),
            0.5,
            "find where 60/n + 0.15·(n − 1) is least: set its derivative to zero",
        ),
        "n = √(C/a): beyond it every rank more makes the training slower",
    ),
    Exercise(
        "Averaging in a ring, each of n ranks sends its gradient's bytes 2·(n − 1)/n times. How "
        "many MB does a rank send in each step, for 25 million parameters in float32 on 16 ranks?",
        number(
            lambda: _sent(25e6, 16),
            0.5,
            "a float32 has 4 bytes; with many ranks it is nearly twice the gradient's size",
        ),
        "it hardly grows with the number of ranks, which is why a ring scales",
    ),
)
