"""How fast a tf.data pipeline is by itself, without a model, as each of its stages is added.

Every stage is measured with all that come before it, by taking elements as fast as they come. The
elements of a batch are taken at a time, inside TensorFlow: in Python each would cost more than
many a stage does.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfsci.profile.feeding.costs import Run, apart, costs, with_refills
from tfsci.profile.feeding.links import Link, links
from tfsci.profile.reading import load
from tfsci.progress import Progress

if TYPE_CHECKING:
    import tensorflow as tf

# Batches before the clock starts, and the fewest that are timed.
_WARM_UP, _FEWEST = 3, 3
# Elements that are put into a cache before it is looked at the clock.
_AT_ONCE = 64
# A cache that is not full by then is measured as it fills.
_LONGEST_FILL = 60.0


@dataclass(frozen=True)
class Stage:
    """A stage, and the pipeline up to it.

    Attributes:
        index: Its place, from 1.
        name: As in the code: ``map(decode)``.
        where: File and line of its function, empty without one.
        examples_per_second: Of the pipeline up to here.
        seconds: For one of the whole pipeline's batches, of the pipeline up to here.
        cost: What of the whole pipeline's `seconds` this stage brings; the costs add up to it.
        first_seconds: Until the first batch's elements were there.
        fills: Seconds in which a shuffle fills its buffer, or a cache itself; 0 for others.
        works_ahead: Whether it has threads of its own.
        function: What its function is made of, ``"graph"`` or ``"python"``; empty without one.
    """

    index: int
    name: str
    where: str
    examples_per_second: float
    seconds: float
    cost: float
    first_seconds: float
    fills: float
    works_ahead: bool
    function: str


@dataclass(frozen=True)
class Feeding:
    """What a pipeline delivers.

    Attributes:
        stages: From the source on.
        batch_size: Examples in one of its batches; a mean where they differ.
        needs: Examples/s that the model needs, None where it is not known.
        works_ahead: Whether batches are prepared while a model computes.
        busy: Share of the cores' time that the whole pipeline took.
    """

    stages: tuple[Stage, ...]
    batch_size: float
    needs: float | None
    works_ahead: bool
    busy: float

    @property
    def examples_per_second(self) -> float:
        """Of the whole pipeline."""
        return self.stages[-1].examples_per_second

    @property
    def margin(self) -> float | None:
        """How many times what the model needs it delivers, None where that is not known."""
        return self.examples_per_second / self.needs if self.needs else None

    @property
    def slowest(self) -> Stage:
        """The stage that costs most."""
        return max(self.stages, key=lambda stage: stage.cost)


def measure(
    dataset: "tf.data.Dataset",
    batch_size: int | None = None,
    needs: float | None = None,
    seconds: float = 1.5,
) -> Feeding:
    """Measures a pipeline, stage after stage.

    A finite dataset is repeated, a cache is filled before it is measured. Ctrl-C is heard while an
    element is waited for.

    Args:
        dataset: The pipeline.
        batch_size: Examples in one of its elements; what its batch stages say by default.
        needs: Examples/s that the model needs.
        seconds: For how long each stage is measured, at least; a few batches are taken in any case.

    Raises:
        ValueError: It holds nothing, or its elements can't be made; the message names the stage.

    Example:
        >>> measure(tf.data.Dataset.range(1000).batch(10)).batch_size  # doctest: +SKIP
        10.0
    """
    chain = links(dataset, batch_size)
    work = _Work(chain, dataset.options(), seconds)
    work.wait()
    return _judged(chain, work.runs, needs, dataset.options())


def needed(folder: str | Path) -> float:
    """Returns the batches/s that a model would take if none had to be waited for.

    Args:
        folder: A trace of its training, as `tfsci.profile.load` takes it; of several ranks the
            slowest counts.

    Raises:
        FileNotFoundError: There is no trace.
        ValueError: There are no steps in it.
    """
    hosts = [host for host in load(folder).hosts if host.steps]
    if not hosts:
        raise ValueError(f"{folder}: no training step in the trace; trace a part that trains")
    return min(
        host.fetches_per_step / max(host.step_seconds - host.breakdown.parts["input"], 1e-9)
        for host in hosts
    )


class _Work(threading.Thread):
    """Measures in a thread of its own: TensorFlow lets no Ctrl-C through while it waits."""

    def __init__(self, chain: Sequence[Link], options, seconds: float):
        super().__init__(name="tfsci.profile.feeding", daemon=True)
        self._chain, self._options, self._seconds = chain, options, seconds
        self._given_up = threading.Event()
        self._error: BaseException | None = None
        self.runs: list[Run] = []

    def wait(self) -> None:
        """Runs to the end, with a line that says how far it is."""
        progress = Progress("Measuring the pipeline", 100 * len(self._chain))
        self.start()
        try:
            began = {}
            while self.is_alive():
                self.join(0.1)
                now, at = time.monotonic(), len(self.runs)
                share = (now - began.setdefault(at, now)) / (2 * self._seconds)
                progress.update(min(100 * at + int(min(share, 0.95) * 100), 100 * len(self._chain)))
        finally:
            self._given_up.set()
            progress.close()
        if self._error:
            raise self._error

    def run(self) -> None:
        """Measures stage after stage."""
        try:
            for link in self._chain:
                self.runs.append(self._measure(link))
        except BaseException as error:
            at = len(self.runs)
            self._error = _told(error, at + 1, self._chain[at])

    def _measure(self, link: Link) -> Run:
        import tensorflow as tf

        filled = self._fill(link) if link.cache else None
        batch = self._chain[-1].examples / link.examples  # elements in one of the last stage's
        number = max(1, round(batch))
        start = time.perf_counter()
        dataset = link.dataset.repeat()
        if link.buffer:  # else one operation with `repeat`, which fills with several epochs
            apart = tf.data.Options()
            apart.experimental_optimization.shuffle_and_repeat_fusion = False
            dataset = dataset.with_options(apart)
        take = _taker(dataset, self._options, number)
        if not take():
            raise _Ends("the pipeline up to here holds nothing; look at its files and its filters")
        first = time.perf_counter() - start
        for _ in range(_WARM_UP - 1):
            take()
        start, cpu, taken = time.perf_counter(), time.process_time(), 0
        while taken < _FEWEST or time.perf_counter() - start < self._seconds:
            if not take():
                raise _Ends(
                    "the pipeline up to here ends, and gives nothing when it is read again; give "
                    "from_generator a function that starts anew"
                )
            taken += 1
            if self._given_up.is_set():
                break
        wall = time.perf_counter() - start
        busy = (time.process_time() - cpu) / wall / len(os.sched_getaffinity(0))
        per_batch = wall / taken * batch / number
        return Run(per_batch, first, (_WARM_UP + taken) * number / batch, busy, filled)

    def _fill(self, link: Link) -> float | None:
        """Reads all into a cache; where a pipeline has no end it is never full."""
        if int(link.dataset.cardinality()) == -1:
            return None
        start = time.perf_counter()
        take = _taker(link.dataset, self._options, _AT_ONCE)
        while take():
            long = time.perf_counter() - start > _LONGEST_FILL and link.cache == "memory"
            if long or self._given_up.is_set():
                return None
        return time.perf_counter() - start


class _Ends(Exception):
    """A pipeline gives no more elements, and the reason."""


def _taker(dataset, options, number: int) -> Callable[[], bool]:
    """Returns what takes so many elements, and says whether there were any."""
    import tensorflow as tf

    if number > 1:
        dataset = dataset.window(number)
    iterator = iter(dataset.with_options(options))
    kinds = {
        "output_types": iterator._flat_output_types,
        "output_shapes": iterator._flat_output_shapes,
    }

    def take() -> bool:
        try:  # as `next` does, without packing what is thrown away
            tf.raw_ops.IteratorGetNext(iterator=iterator._iterator_resource, **kinds)
        except tf.errors.OutOfRangeError:
            return False
        return True

    return take


def _told(error: BaseException, index: int, link: Link) -> BaseException:
    """Returns what to raise for an error in a stage."""
    import tensorflow as tf

    stage = f"stage {index}, {link.name}"
    if isinstance(error, _Ends):
        return ValueError(f"{stage}: {error}")
    if not isinstance(error, tf.errors.OpError):
        return error
    said = re.sub(r"\{\{.*?\}\} ?|Error in user-defined .*? iterator: \S+: ", "", error.message)
    said = said.strip().partition("\n")[0] or type(error).__name__
    told = ValueError(f"{stage}: {said}")
    told.__cause__ = error
    return told


def _judged(chain: Sequence[Link], runs: Sequence[Run], needs: float | None, options) -> Feeding:
    whole = with_refills(chain, runs)
    full = [run.filled is not None for run in runs]
    spent = costs(whole, apart(chain, runs[-1].busy), full)
    batch = chain[-1].examples
    stages = []
    for i, (link, run) in enumerate(zip(chain, runs, strict=True)):
        fills = run.filled or 0.0
        if link.buffer:
            fills = max(run.first - (runs[i - 1].first if i else 0.0), 0.0)
        stages.append(
            Stage(
                index=i + 1,
                name=link.name,
                where=link.where,
                examples_per_second=batch / whole[i],
                seconds=whole[i],
                cost=spent[i],
                first_seconds=run.first,
                fills=fills,
                works_ahead=link.works_ahead,
                function=link.function,
            )
        )
    tuned = options.autotune.enabled is not False  # TensorFlow then adds a `Prefetch` at the end
    return Feeding(tuple(stages), batch, needs, tuned or chain[-1].works_ahead, runs[-1].busy)
