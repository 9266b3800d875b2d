"""The course: lessons that are scripts, run as typed, and check themselves and their readers."""

from tfsci.lessons.exercises import check
from tfsci.lessons.lesson import Lesson, start

__all__ = ["Lesson", "check", "start"]
