"""Exercises of `lessons/11_language_models.py`."""

import math

from tfsci.lessons.exercises import Exercise, number


def _letters(seen: int, nats: float) -> float:
    """Returns the millions of letters for which a table of counts costs so much."""
    return 19 * 20**seen / (2 * nats) / 1e6


def _warmed(likely: float, temperature: float) -> float:
    """Returns the chance of the likelier of two letters after the temperature."""
    odds = (likely / (1 - likely)) ** (1 / temperature)
    return odds / (1 + odds)


def _parameters(flops: float, tokens_per_parameter: float) -> float:
    """Returns the billions of parameters N with 6·N·D operations on D tokens."""
    return math.sqrt(flops / 6 / tokens_per_parameter) / 1e9


EXERCISES = (
    Exercise(
        "A model of this language has a test loss of 1.204 nats a letter. From how many equally "
        "likely letters might it as well choose? Give it to 0.1.",
        number(
            lambda: math.exp(1.204),
            0.06,
            "it is the perplexity, e to the loss; with bits it would be 2 to the loss",
        ),
        "perplexity is the loss told as a number of choices",
    ),
    Exercise(
        "You count quadruples: the next letter after each three. How many million letters do you "
        "need until that table costs no more than 0.01 nats, by K/(2D)?",
        number(
            lambda: _letters(3, 0.01),
            0.1,
            "there are 20³ contexts with 19 free numbers each; set their number over 2D to 0.01",
        ),
        "twenty times the data for each letter more of context, which here would not even help: "
        "that is why one trains models that share what they learn between contexts",
    ),
    Exercise(
        "A model gives two letters the probabilities 0.8 and 0.2, the others none. With which "
        "probability is the likelier one drawn at temperature 0.5?",
        number(
            lambda: _warmed(0.8, 0.5),
            0.002,
            "raise each probability to 1/T, and divide by their sum",
        ),
        "half the temperature squares the odds: 4 to 1 become 16 to 1",
    ),
    Exercise(
        "You have 1e21 operations. By 20 tokens a parameter and C = 6ND, how many billion "
        "parameters should the model have? (tfsci plan tokens tells, too.)",
        number(
            lambda: _parameters(1e21, 20),
            0.03,
            "put D = 20 N into C = 6 N D and solve for N",
        ),
        "ten times the operations buy a model √10 times as large, on √10 times the tokens",
    ),
)
