"""Refuses options that a simulator can't take."""

from collections.abc import Mapping

import numpy as np


def check(ranges: Mapping[str, tuple[float, float, type]], **options: object) -> None:
    """Raises a ValueError for an option outside its range.

    Args:
        ranges: Lowest value, highest value and kind (int or float) of each option.
        **options: What came.
    """
    for name, value in options.items():
        low, high, kind = ranges[name]
        number = isinstance(value, (int, float, np.number)) and low <= value <= high
        if not (number and value == kind(value)):
            what = "an integer" if kind is int else "a number"
            raise ValueError(f"{name}: expected {what} from {low} to {high}; received {value!r}")


def sample_numbers(indices) -> np.ndarray:
    """Returns the numbers of samples as int64; refuses all but a list of integers from 0 on."""
    numbers = np.asarray(indices)
    whole = numbers.ndim == 1 and (numbers.dtype.kind in "iu" or not numbers.size)
    if not whole or (numbers < 0).any():
        came = numbers.min() if whole else f"{numbers.dtype} of shape {numbers.shape}"
        raise ValueError(f"indices: expected a list of integers from 0 on; received {came}")
    return numbers.astype("int64")
