"""Finds the training steps in a trace.

A step reaches from one marker to the next, so that what happens between two calls (callbacks,
logging, the loop itself) belongs to it. The last before a pause (a validation, a checkpoint) has as
much after it as the others; where the fetch of its batch is not within the marker it is left out.
In this order a marker is an event with ``step_num`` (ours and `tf.profiler.experimental.Trace`),
the outermost call of a `tf.function` (Keras' ``multi_step_on_iterator``), or the fetch of an
element from the pipeline.
"""

from dataclasses import dataclass

import numpy as np

from tfsci.profile import intervals
from tfsci.profile.xplane import Plane

# A pause between two steps that is longer than this share of a step, and three times the usual
# pause, is part of neither.
_PAUSE, _UNUSUAL = 0.5, 3

# Calls that are too few to be steps, where more elements were fetched.
_FEW = 4

# In the names of operations that back-propagate.
_GRADIENT = "gradient_tape"

# A graph that a function runs as often as this is a training's or a validation's, no odd batch.
_OFTEN = 3


def is_fetch(name: str) -> bool:
    """Whether an event is the training's fetch of an element from the pipeline.

    ``IteratorGetNextOp::DoCompute``, ``IteratorGetNextAsOptionalOp::DoCompute``: Keras asks for the
    latter with several steps in a call, or several replicas.
    """
    return name.startswith("IteratorGetNext") and name.endswith("Op::DoCompute")


@dataclass(frozen=True)
class Steps:
    """The steps of a trace that count.

    Attributes:
        marker: Name of the event that starts a step; empty where none was found.
        seen: Number of markers in the trace.
        windows: Shape (steps, 2): start and end of those that count, in picoseconds.
    """

    marker: str
    seen: int
    windows: np.ndarray


def find(plane: Plane, buffered: int = 0) -> Steps:
    """Returns the steps of a host.

    Args:
        plane: The host's events.
        buffered: Number of steps that the pipeline's buffers can serve: so many at the start of
            the trace may be fed by what was prepared before it, and are left out if enough remain.
    """
    marker, spans = _markers(plane)
    if not marker:
        return Steps("", 0, np.empty((0, 2), np.int64))
    windows = np.stack([spans[:-1, 0], spans[1:, 0]], axis=1)
    warm_up = _warm_up(plane, windows)
    kept = np.arange(len(windows)) >= warm_up + min(1 + buffered, (len(windows) - warm_up) // 3)
    if kept.any():
        windows, kept = _without_pauses(plane, spans, windows, kept)
    return Steps(marker, len(spans), windows[kept])


def _without_pauses(plane: Plane, spans: np.ndarray, windows: np.ndarray, kept: np.ndarray):
    """Returns the steps without the pauses after them, and which are kept."""
    inside, between = windows.copy(), windows.copy()
    inside[:, 1] = between[:, 0] = np.minimum(spans[:-1, 1], windows[:, 1])
    fetches = plane.spans[plane.where(is_fetch)]
    lengths = between[:, 1] - between[:, 0]
    waits = intervals.covered(intervals.union(fetches), between)
    # A step's wait for its input is no pause, however long it is.
    pauses = np.where(waits > lengths / 2, 0, lengths - waits)
    usual = np.median((windows[:, 1] - windows[:, 0])[kept])
    paused = pauses > _UNUSUAL * np.median(pauses[kept]) + _PAUSE * usual
    if np.median(_starts(fetches, inside)[kept]) < 1:
        return windows, kept & ~paused
    # Where steps fetch for themselves, what is fetched between them is a validation's.
    paused |= _starts(fetches, between) > 0
    rest = lengths[kept & ~paused]
    inside[:, 1] += int(np.median(rest)) if len(rest) else 0
    return np.where(paused[:, np.newaxis], inside, windows), kept


def _starts(spans: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Returns how many of the spans start in each of the windows."""
    starts = np.sort(spans[:, 0])
    return np.searchsorted(starts, windows[:, 1]) - np.searchsorted(starts, windows[:, 0])


def function_calls(plane: Plane) -> np.ndarray:
    """Returns the indices of the calls of a `tf.function`."""
    return _with_stat(plane, "tf_function_call")


def traced_calls(plane: Plane) -> np.ndarray:
    """Returns the indices of those that were traced or compiled in the call."""
    calls = function_calls(plane)
    new = [str(plane.stats[i]["tf_function_call"]).startswith("traced") for i in calls]
    return calls[np.array(new, bool)] if len(calls) else calls


def _markers(plane: Plane) -> tuple[str, np.ndarray]:
    fetches = plane.where(is_fetch)
    numbered = _with_stat(plane, "step_num")
    calls = _outermost(plane, function_calls(plane))
    if len(numbered):
        chosen = _most_time(plane, numbered)
    elif len(calls):
        chosen = _of_one_graph(plane, _most_time(plane, calls))
        if len(chosen) < _FEW <= len(fetches):  # a function that holds the whole loop
            chosen = fetches
    else:
        chosen = fetches
    if not len(chosen):
        return "", plane.spans[:0]
    return plane.names[plane.event[chosen[0]]], _sorted(plane.spans[chosen])


def _most_time(plane: Plane, indices: np.ndarray) -> np.ndarray:
    """Returns the events of the name that most of the time goes to, if there are some of it."""
    lengths = np.diff(plane.spans[indices])[:, 0]
    totals = np.bincount(plane.event[indices], lengths, len(plane.names))
    counts = np.bincount(plane.event[indices], minlength=len(plane.names))
    if counts.max() >= _FEW:
        totals[counts < _FEW] = 0
    return indices[plane.event[indices] == totals.argmax()]


def _warm_up(plane: Plane, windows: np.ndarray) -> int:
    """Returns the number of steps up to the last that traced a function for the first time.

    What is traced for the first time in the second half is no warm-up.
    """
    traced = [i for i in traced_calls(plane) if str(plane.stats[i].get("tracing_count")) == "1"]
    steps = np.searchsorted(windows[:, 0], plane.spans[traced, 0], side="right")
    return int(max(steps[steps <= len(windows) // 2], default=0))


def _of_one_graph(plane: Plane, calls: np.ndarray) -> np.ndarray:
    """Returns the calls without those of another graph under the same name.

    Keras gives the functions of training and validation one name; the graphs they run differ in
    their number, ``EagerLocalExecute: __inference_multi_step_on_iterator_273``.
    """
    runs = plane.where(lambda name: name.startswith("EagerLocalExecute: __inference_"))
    graphs = np.full(len(calls), -1)
    for line in np.unique(plane.line[calls]):
        mine = np.flatnonzero(plane.line[calls] == line)
        mine = mine[np.argsort(plane.spans[calls[mine], 0], kind="stable")]
        for i in runs[plane.line[runs] == line]:
            place = np.searchsorted(plane.spans[calls[mine], 0], plane.spans[i, 0], "right") - 1
            if place >= 0 and plane.spans[i, 0] < plane.spans[calls[mine[place]], 1]:
                graphs[mine[place]] = plane.event[i]
    known, counts = np.unique(graphs[graphs >= 0], return_counts=True)
    often = known[counts >= _OFTEN]
    if len(often) < 2:
        return calls
    spans = plane.spans[calls]
    gradients = _starts(plane.spans[plane.where(lambda name: _GRADIENT in name)], spans)
    waits = intervals.covered(intervals.union(plane.spans[plane.where(is_fetch)]), spans)
    works = spans[:, 1] - spans[:, 0] - waits

    def trains(graph: int) -> tuple[bool, int]:
        """Whether it back-propagates, which XLA does not tell; how long it works."""
        mine = graphs == graph
        return bool(np.median(gradients[mine]) > 0), works[mine].sum()

    return calls[~np.isin(graphs, often) | (graphs == max(often, key=trains))]


def _with_stat(plane: Plane, stat: str) -> np.ndarray:
    return np.array(sorted(i for i, found in plane.stats.items() if stat in found), int)


def _outermost(plane: Plane, indices: np.ndarray) -> np.ndarray:
    order = indices[np.lexsort((-plane.spans[indices, 1], plane.spans[indices, 0]))]
    kept, reach = [], {}
    for i in order:
        line, (start, end) = plane.line[i], plane.spans[i]
        if start >= reach.get(line, start):
            kept.append(i)
            reach[line] = end
    return np.array(kept, int)


def _sorted(spans: np.ndarray) -> np.ndarray:
    return spans[np.argsort(spans[:, 0], kind="stable")]
