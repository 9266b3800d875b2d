"""What each pipeline stage does in which order, and how long that takes where all is even."""

from collections.abc import Iterator
from typing import NamedTuple


class Slot(NamedTuple):
    """A pass of one micro-batch through one chunk."""

    backward: bool
    micro_batch: int
    chunk: int


def order(schedule: str, stage: int, stages: int, micro_batches: int, chunks: int) -> list[Slot]:
    """Returns what a stage does, in its order.

    Args:
        schedule: ``"gpipe"`` (Huang 2019) or ``"1f1b"`` (Narayanan 2019; interleaved, Narayanan
            2021, where `chunks` is above 1).
        stage: Which, from 0.
        stages: p.
        micro_batches: m; interleaved, a multiple of p.
        chunks: v of each stage.
    """
    work = micro_batches * chunks
    if schedule == "gpipe":
        ahead = work
    elif chunks == 1:
        ahead = min(stages - stage - 1, work)
    else:
        ahead = min(2 * (stages - stage - 1) + (chunks - 1) * stages, work)
    forward = _passes(False, stages, micro_batches, chunks)
    backward = _passes(True, stages, micro_batches, chunks)
    slots = [next(forward) for _ in range(ahead)]
    for slot in forward:
        slots += [slot, next(backward)]
    return slots + list(backward)


def _passes(backward: bool, stages: int, micro_batches: int, chunks: int) -> Iterator[Slot]:
    """Yields the passes of one direction: p micro-batches through each chunk, then the next p."""
    for start in range(0, micro_batches, stages if chunks > 1 else micro_batches):
        group = range(start, min(start + stages, micro_batches) if chunks > 1 else micro_batches)
        for chunk in reversed(range(chunks)) if backward else range(chunks):
            for micro_batch in group:
                yield Slot(backward, micro_batch, chunk)
