"""Sets of time intervals: arrays of shape (n, 2), in picoseconds."""

import numpy as np

NONE = np.empty((0, 2), np.int64)

_FAR = np.iinfo(np.int64).max


def union(*sets: np.ndarray) -> np.ndarray:
    """Returns the intervals that the sets cover together, sorted and disjoint."""
    every = np.concatenate([NONE, *sets])
    every = every[every[:, 1] > every[:, 0]]
    if not len(every):
        return NONE
    every = every[np.argsort(every[:, 0], kind="stable")]
    reach = np.maximum.accumulate(every[:, 1])
    first = np.r_[True, every[1:, 0] > reach[:-1]]
    last = np.r_[first[1:], True]
    return np.stack([every[first, 0], reach[last]], axis=1)


def minus(spans: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Returns what of the first set the second one leaves; both as `union` returns them."""
    if not len(spans) or not len(taken):
        return spans
    gaps = np.stack([np.r_[-_FAR, taken[:, 1]], np.r_[taken[:, 0], _FAR]], axis=1)
    return clipped(spans, gaps)


def clipped(spans: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Returns the parts of the intervals that are in a window; both sorted and disjoint."""
    first = np.searchsorted(windows[:, 1], spans[:, 0], side="right")
    last = np.searchsorted(windows[:, 0], spans[:, 1], side="left")
    times = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(spans)), times)
    nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    place = first[which] + nth
    return np.stack(
        [
            np.maximum(spans[which, 0], windows[place, 0]),
            np.minimum(spans[which, 1], windows[place, 1]),
        ],
        axis=1,
    )


def within(times: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Returns whether each of the times is in one of the windows, which are sorted and disjoint."""
    if not len(windows):
        return np.zeros(len(times), bool)
    place = np.searchsorted(windows[:, 0], times, side="right") - 1
    return (place >= 0) & (times < windows[np.maximum(place, 0), 1])


def covered(intervals: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Returns how much of each window the intervals cover.

    Args:
        intervals: As `union` returns them.
        windows: Shape (m, 2).

    Returns:
        Shape (m,), in the intervals' unit.
    """
    if not len(intervals):
        return np.zeros(len(windows))
    # The time covered before t is piecewise linear with its corners at the intervals' ends.
    lengths = np.cumsum(intervals[:, 1] - intervals[:, 0])
    corners = intervals.ravel()
    values = np.stack([np.r_[0, lengths[:-1]], lengths], axis=1).ravel()
    before = np.interp(windows.astype(float), corners.astype(float), values.astype(float))
    return before[:, 1] - before[:, 0]


def most_at_once(intervals: np.ndarray) -> int:
    """Returns the largest number of intervals that hold one instant."""
    if not len(intervals):
        return 0
    times = np.r_[intervals[:, 0], intervals[:, 1]]
    change = np.r_[np.ones(len(intervals), int), -np.ones(len(intervals), int)]
    # What ends at an instant is over before what starts there.
    return int(np.cumsum(change[np.lexsort((change, times))]).max())
