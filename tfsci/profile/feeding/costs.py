"""From what a pipeline takes up to each of its stages to what each of them costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from tfsci.profile.feeding.links import Link

# A section of the pipeline that takes so many times longer than the one before, beside which it
# runs, is what the pipeline waits for.
_LONGER = 1.1
# Seconds that taking an element costs, whatever it is: what a stage adds below that is no cost.
_TAKING = 2e-4
# Share of the cores' time from which on all stages are taken to compete for them.
_SATURATED = 0.8


@dataclass(frozen=True)
class Run:
    """What was measured of a pipeline.

    Attributes:
        seconds: For one of the whole pipeline's batches.
        first: Seconds until the first batch's elements were there.
        batches: How many were taken in all.
        busy: Share of the cores' time that it took.
        filled: Seconds in which its cache was filled; None where its last stage is none, or where
            that took too long.
    """

    seconds: float
    first: float
    batches: float
    busy: float
    filled: float | None = None


def apart(chain: Sequence[Link], busy: float) -> list[bool]:
    """Returns whether the stages after each run beside it, and take nothing from it.

    All compete for cores where these are busy; and functions for the threads that run them, all of
    which a parallel one takes.
    """
    found, parallel = [], False
    for i, link in enumerate(chain):
        parallel |= link.works_ahead and bool(link.function)
        competes = parallel and any(later.function for later in chain[i + 1 :])
        found.append(link.works_ahead and busy < _SATURATED and not competes)
    return found


def with_refills(chain: Sequence[Link], runs: Sequence[Run]) -> list[float]:
    """Returns seconds for a batch, with the time that a shuffle takes to fill in every epoch.

    A shuffle that holds the whole dataset takes it all in before the first element, and then gives
    it out without its input: a measurement that ended before that has seen one half of it.
    """
    seconds = [run.seconds for run in runs]
    for i, link in enumerate(chain):
        if not link.buffer or not i:
            continue
        per_batch = chain[-1].examples / chain[i - 1].examples
        elements = int(chain[i - 1].dataset.cardinality())
        if elements == -2:  # nobody knows: as many as came while it filled, generously
            elements = 1.4 * (runs[i].first - runs[i - 1].first) / runs[i - 1].seconds * per_batch
        if 0 <= elements <= link.buffer:
            filling = seconds[i - 1]
            for k in range(i, len(chain)):
                seconds[k] += filling if runs[k].batches < elements / per_batch else 0.0
    return seconds


def costs(seconds: Sequence[float], apart: Sequence[bool], full: Sequence[bool]) -> list[float]:
    """Returns what each stage brings to the time of the whole; none below 0, they add up to it.

    What comes before a full cache brings nothing. Nor does what runs beside the stages after it,
    where these take longer.

    Args:
        seconds: Of the pipeline up to each stage.
        apart: Whether the stages after it run beside it.
        full: Whether it is a full cache.
    """
    # A longer pipeline is not faster: where it seems so, stages were fused, or the clock flickered.
    least, reached = float("inf"), []
    for value in reversed(seconds):
        least = min(least, value)
        reached.insert(0, least)
    hidden = max((i for i, is_full in enumerate(full) if is_full), default=0)
    for i, beside in enumerate(apart[:-1]):
        if beside and reached[-1] > _LONGER * reached[i] + _TAKING:
            hidden = max(hidden, i + 1)
    rest = reached[hidden:]
    return [0.0] * hidden + [b - a for a, b in zip([0.0, *rest], rest, strict=False)]
