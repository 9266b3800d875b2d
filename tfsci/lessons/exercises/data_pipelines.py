"""Exercises of `lessons/03_data_pipelines.py`."""

import math

from tfsci.lessons.exercises import Exercise, choice, number


def _requests(opening: float, record: float, batch: int, step: float) -> int:
    """Returns how many files to ask for at once so that the model is what a step waits for."""
    return math.ceil(batch * (opening + record) / step)


def _ahead(reading: float, step: float) -> float:
    """Returns how many times faster training is when the next batch is read meanwhile."""
    return (reading + step) / max(reading, step)


def _samples(opening: float, record: float, share: float) -> float:
    """Returns how many samples a file holds where opening it takes that share of its time."""
    return opening / record * (1 - share) / share


EXERCISES = (
    Exercise(
        "A store opens a file in 20 ms and sends its one sample in 1 ms. A batch has 64 samples, "
        "the model takes 80 ms for it. How many files must be asked for at once, at least, so that "
        "the model never waits? Give a whole number.",
        number(
            lambda: _requests(20, 1, 64, 80),
            0.1,
            "all the reading of a batch, over the number of requests, may take as long as the "
            "model; round up",
        ),
        "64 · 21 ms = 1344 ms of reading fit into 80 ms when 17 are on their way",
    ),
    Exercise(
        "Reading a batch takes 30 ms, training on it 50 ms, in turn. How many times faster does "
        "prefetch make it?",
        number(
            lambda: _ahead(30, 50),
            0.02,
            "in turn they add up; side by side the longer counts: divide the one by the other",
        ),
        "80 ms become 50 ms; a factor of 2 would need both to be equal",
    ),
    Exercise(
        "Opening a file takes 20 ms, each record 1 ms. How many samples must a file hold so that "
        "opening is a tenth of the time that it takes to read it?",
        number(
            lambda: _samples(20, 1, 0.1),
            1,
            "opening is a tenth of opening plus all records: the records take nine times as long",
        ),
        "180 records of 1 ms are 180 ms, and opening is 20 of 200: larger files gain little more",
    ),
    Exercise(
        "A pipeline decodes images, turns each at random, and keeps them with .cache(). Where does "
        "the cache belong: before the turn, or after it? Answer before or after.",
        choice(
            "before",
            {"after": "then every epoch sees the very same turns: what was random once is kept"},
        ),
        "keep what is costly and the same in all epochs; what is random comes behind it",
    ),
)
