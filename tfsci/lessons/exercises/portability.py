"""Exercises of `lessons/09_portability.py`."""

from tfsci.lessons.exercises import Exercise, choice, number


def _zeros(edge: int, kernel: int, stride: int) -> int:
    """Returns how many zeros ``same`` padding adds along an edge, at both ends together."""
    steps = -(-edge // stride)
    return max(0, (steps - 1) * stride + kernel - edge)


EXERCISES = (
    Exercise(
        "A million positive numbers are added one after another in float32, whose rounding u is "
        "at most 2⁻²⁴ of a number. What relative error can't be exceeded? Give it to 0.001.",
        number(
            lambda: (1_000_000 - 1) / 2**24,
            0.001,
            "(n − 1)·u: each addition may round once",
        ),
        "one part in seventeen; in pairs it would be about one part in a million",
    ),
    Exercise(
        "Two backends differ by 3·10⁻⁷ of the largest output, on every picture and never by more. "
        "What is it? Answer bug, seed or rounding.",
        choice(
            "rounding",
            {
                "bug": "a float32 keeps about seven digits: where is this difference?",
                "seed": "other random numbers would change the first digit, not the seventh",
            },
        ),
        "sums in another order: the seventh digit of a float32 is nobody's",
    ),
    Exercise(
        "A convolution of 3 points and stride 2 on a row of 9 points, padding 'same': how many "
        "zeros are added, at both ends together?",
        number(
            lambda: _zeros(9, 3, 2),
            0,
            "5 points come out; the last window starts at 2·4 and is 3 wide: how long must the "
            "row be? (Of 8 points it is one zero, and it comes last.)",
        ),
        "an odd row is padded on both sides, an even one at its end alone: check before porting",
    ),
    Exercise(
        "A camera with a small processor has neither Python nor TensorFlow. Which of the lesson's "
        "files do you put on it? Answer keras, savedmodel or litert.",
        choice(
            "litert",
            {
                "keras": "that file is structure and weights; it takes Keras to compute with it",
                "savedmodel": "TensorFlow reads it, which is larger than many a camera's memory",
            },
        ),
        "a small interpreter in C++ reads it, and it is hardly larger than the weights",
    ),
)
