"""Exercises of `lessons/05_profiling.py`."""

from tfsci.lessons.exercises import Exercise, choice, number


def _claimed(batch: int, steps: int, handed_over: float, step: float) -> float:
    """Returns how many times too much a timer claims that stops when all is handed over."""
    true = steps * batch / (handed_over + step * steps)
    return steps * batch / handed_over / true


def _most(parts: dict[str, float], part: str) -> float:
    """Returns the largest gain from removing a part of a step altogether."""
    return sum(parts.values()) / (sum(parts.values()) - parts[part])


EXERCISES = (
    Exercise(
        "50 steps of 64 images are handed to an accelerator in 40 ms; from then on it takes "
        "another 360 ms until it is done. How many times too high is the rate of a timer that "
        "stops when the last step has been handed over?",
        number(
            lambda: _claimed(64, 50, 40, 360 / 50),
            0.05,
            "both divide the same images, one by 40 ms, the other by all the time until the result",
        ),
        "400 ms over 40 ms: the batch's size and the number of steps cancel",
    ),
    Exercise(
        "A step of 50 ms waits 10 ms for input, computes for 30 ms, and spends 10 ms in Python. "
        "How many times faster can it become at most by making the input better alone?",
        number(
            lambda: _most({"input": 10, "compute": 30, "python": 10}, "input"),
            0.01,
            "without any wait the step takes what is left; divide the old time by that",
        ),
        "50 ms over 40 ms: what is not the limit is not worth your time",
    ),
    Exercise(
        "A step takes 4 ms however small the batch, and 0.1 ms more for each sample. From which "
        "batch size on is the rate at least nine tenths of the highest that there is?",
        number(
            lambda: 9 * 4 / 0.1,
            1,
            "the highest rate is a sample in 0.1 ms; nine tenths of it is a sample in 0.1/0.9 ms, "
            "of which 4 ms over the batch size may be the rest",
        ),
        "4/b + 0.1 = 0.1/0.9 gives b = 360: beyond it a larger batch gains little",
    ),
    Exercise(
        "The profiler says: compile-bound, and names train_step with the signatures float32 "
        "(17, 28), float32 (23, 28), float32 (9, 28). What helps? Answer pad, prefetch or xla.",
        choice(
            "pad",
            {
                "prefetch": "the input is not what it waits for: the function is traced for every "
                "new shape",
                "xla": "XLA would compile anew for every shape, which takes even longer",
            },
        ),
        "sequences padded to one length, or a few, are traced once each",
    ),
)
