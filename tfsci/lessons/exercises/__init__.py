"""Exercises: a question, and a check of the answer that says what is wrong with it.

A module a lesson, called like it, holds its ``EXERCISES``. Right answers are computed, not
written down, so that they stay right; they are functions, so that nothing is computed before.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from tfsci.lessons import course

# Says what is wrong with an answer, nothing where it is right.
Check = Callable[[str], str]


@dataclass(frozen=True)
class Exercise:
    """A question with a check of its answer.

    Attributes:
        question: What to find out, with the form of the answer.
        check: Returns a hint for a wrong answer, an empty text for a right one; raises a
            ValueError for one that can't be read.
        why: What the right answer shows.
    """

    question: str
    check: Check
    why: str


def number(expected: Callable[[], float], within: float, hint: str) -> Check:
    """Returns a check for a number, given as ``0.25`` or ``25%``.

    Args:
        expected: Computes the right one.
        within: Largest distance that is right.
        hint: What to say to another.
    """

    def check(answer: str) -> str:
        return "" if abs(_number(answer) - expected()) <= within else hint

    return check


def choice(right: str, hints: Mapping[str, str]) -> Check:
    """Returns a check for one of several words.

    Args:
        right: The right one.
        hints: What to say to each of the others.
    """

    def check(answer: str) -> str:
        answer = answer.strip().lower()
        if answer != right and answer not in hints:
            words = ", ".join(sorted([right, *hints]))
            raise ValueError(f"expected one of {words}; got {answer!r}")
        return hints.get(answer, "")

    return check


def of(entry: course.Entry) -> tuple[Exercise, ...]:
    """Returns the exercises of a lesson."""
    return import_module(f"tfsci.lessons.exercises.{entry.slug}").EXERCISES


def check(lesson: str, exercise: int, answer: object) -> bool:
    """Checks an answer and prints what there is to say.

    Args:
        lesson: Its number.
        exercise: The exercise's, from 1.
        answer: A number or a word, as the exercise asks.

    Returns:
        Whether it is right.

    Raises:
        ValueError: There is no such lesson or exercise, or the answer can't be read.

    Example:
        >>> check("01", 1, 5)
        not yet: …
        False
    """
    entry = course.find(lesson)
    found = of(entry)
    if not 1 <= exercise <= len(found):
        raise ValueError(f"--exercise {exercise}: lesson {entry.number} has 1 to {len(found)}")
    asked = found[exercise - 1]
    try:
        hint = asked.check(str(answer))
    except ValueError as error:
        raise ValueError(f"exercise {exercise} of lesson {entry.number}: {error}") from error
    print(f"not yet: {hint}" if hint else f"right: {asked.why}")
    return not hint


def _number(text: str) -> float:
    text = text.strip()
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {text!r}")
    return value
