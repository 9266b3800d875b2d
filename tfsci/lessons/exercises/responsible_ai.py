"""Exercises of `lessons/06_responsible_ai.py`."""

import math
from statistics import NormalDist

from tfsci.lessons.exercises import Exercise, choice, number


def _scaled(probability: float, temperature: float) -> float:
    """Returns what a probability of two classes becomes."""
    logit = math.log(probability / (1 - probability)) / temperature
    return 1 / (1 + math.exp(-logit))


def _one_threshold(offset: float) -> float:
    """Returns the accuracy of a group whose offset is misjudged by half."""
    normal = NormalDist()
    return (normal.cdf(1 + offset / 2) + normal.cdf(1 - offset / 2)) / 2


def _shifted(probability: float, share: float) -> float:
    """Returns a probability that was right at equal shares, at another share of its class."""
    odds = probability / (1 - probability) * share / (1 - share)
    return odds / (1 + odds)


EXERCISES = (
    Exercise(
        "A network says 0.99 for one of two classes. What does it say after scaling by a "
        "temperature of 3? Give it to 0.01.",
        number(
            lambda: _scaled(0.99, 3),
            0.006,
            "divide the logit ln(p / (1 − p)) by the temperature, and go back to a probability",
        ),
        "the same decision, with much more doubt",
    ),
    Exercise(
        "The instrument of group B reads higher by 2 instead of 1.5. Both groups weigh the same, "
        "and there is one threshold for all. Which share is right in each group? Give it to 0.01.",
        number(
            lambda: _one_threshold(2),
            0.006,
            "the best single threshold lies half-way: ½[Φ(1 + b/2) + Φ(1 − b/2)] with b = 2; or "
            "change OFFSETS and read what is known of the reweighted model",
        ),
        "fair, in that both have the same; and worse than either could have",
    ),
    Exercise(
        "A test is calibrated where a disease is as frequent as its absence, and says 0.9. Among "
        "those who are tested now, 2 % are ill. What is the probability of illness? Give it to "
        "0.01.",
        number(
            lambda: _shifted(0.9, 0.02),
            0.006,
            "add ln(0.02/0.98) to the logit of 0.9: odds of 9 become 9 · 0.02/0.98",
        ),
        "most alarms are false, and the test has not changed",
    ),
    Exercise(
        "Five networks all say 0.5 and 0.5 of a picture. Is the picture strange to them, or is the "
        "question hard? Answer strange or hard.",
        choice(
            "hard",
            {
                "strange": "they agree: H of the mean is the mean of H, and nothing is left over "
                "for disagreement"
            },
        ),
        "all know what is there, and that it can't be told; more networks or data will not help",
    ),
)
