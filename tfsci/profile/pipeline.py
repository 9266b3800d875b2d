"""Finds the stages of the `tf.data` pipeline in a trace, and what an element costs in each.

What TensorFlow 2.21 records of a pipeline (found by tracing `map`, `batch`, `shuffle`, `prefetch`,
`cache`, `interleave`, `from_generator`, TFRecords and Python functions, with AUTOTUNE and without):

- Each call of an iterator is an event ``Iterator::Root::Prefetch::Map``: the path from the
  training's side to the source, ``[1]`` after a component for its second input. Calls on one
  thread nest. Its statistics: ``name`` (``MapDataset:2``), ``batch_size``, ``buffer_limit``,
  ``buffer_size``, ``buffered_elements``, ``parallelism`` (a number, or ``unavailable`` while the
  iterator is locked), ``autotune``; those of ``Iterator::Root`` also ``threadpool_size``.
- What is fused or rewritten before it runs shows as such: ``map`` and ``batch`` become
  ``MapAndBatch``; a `map` of TensorFlow operations alone becomes a ``ParallelMapV2``, without being
  asked; a `map` with a Python function stays a sequential ``Map``; a final ``Prefetch`` is added.
- A parallel stage or a prefetch has a thread of its own. Its ``Iterator::`` event is then the wait
  for its buffer, not work; the work is ``ParallelMapProduce``, ``PrefetchProduce``, …, in which the
  call of the next stage nests, and ``InstantiatedCapturedFunction::RunAsync`` with the ``id`` that
  the function's ``ExecutorState::Process`` has on the threads that run it.
- With several local replicas each has a ``Prefetch::Generator`` of its own, which fetches its part
  from the one pipeline, on the threads ``tf_data_multi_device_iterator…``.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfsci.profile import datasets, intervals
from tfsci.profile.iterators import ROOT, Work, functions, gather, kind_of
from tfsci.profile.xplane import Plane

# Sources, and operations, that read files.
_FILES = ("TFRecord", "TextLine", "FixedLengthRecord", "SSTable", "CSV")
_READS = ("ReadFile", "ReaderReadV2", "RestoreV2", "FixedLengthRecordDataset", "TFRecordDataset")
# Threads of the pipeline from which several local replicas are fed.
_MULTI_DEVICE = "tf_data_multi_device_iterator"


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        index: Place counted from the source, from 1.
        kind: As TensorFlow names the iterator: ``Map``, ``ParallelMapV2``, ``MapAndBatch``, ….
        name: The kind, with its function, or without a name of that the operation that takes most
            of its time: ``Map(decode)``, ``Map(DecodeJpeg)``.
        path: Kinds from the root to it, as TensorFlow writes them.
        parent: Index of the stage that it feeds, 0 for the last, which feeds the training.
        elements: Number of elements that it worked on in the trace.
        self_seconds: Time for one element, without the stages that feed it.
        elements_per_step: Number of elements that a training step takes from it.
        own_thread: Whether it works ahead on threads of its own.
        parallelism: Number of elements that it may work on at once.
        at_once: Largest number that it was seen to work on at once.
        buffer: Capacity of its buffer in elements, None where it has none.
        buffered: Elements in it when last seen.
        runs_python: Whether Python code runs in it.
        function: Name of the function that it applies; empty where there is none, or none is known.
        place: File and line where that is written, ``train.py:12``; empty where not known.
        kept_by: Command that keeps for good what the function returns; empty where none is known.
        reads_files: Whether it reads files, and so may have to wait for them.
        filling: Of a shuffle, the share of the elements that went into its buffer during a tenth of
            the steps; a tenth where they go in as others come out.
        busy_seconds: Time for one element that operations take, without what it costs to call them.
        in_steps: Share of its work that falls into steps; the rest into pauses between them.
    """

    index: int
    kind: str
    name: str
    path: str
    parent: int
    elements: int
    self_seconds: float
    elements_per_step: float
    own_thread: bool
    parallelism: int = 1
    at_once: int = 1
    buffer: int | None = None
    buffered: int | None = None
    runs_python: bool = False
    function: str = ""
    place: str = ""
    kept_by: str = ""
    reads_files: bool = False
    filling: float = 0.0
    busy_seconds: float = 0.0
    in_steps: float = 1.0

    @property
    def seconds_per_step(self) -> float:
        """Time that its elements for a step take, one after the other."""
        return self.self_seconds * self.elements_per_step


class Pipeline:
    """What a host's trace holds of its pipeline.

    Args:
        plane: The host's events.
        chains: Of the datasets that the process held, as `datasets.parse` returns them.
    """

    def __init__(self, plane: Plane, chains: Sequence[datasets.Chain] = ()):
        self._works = gather(plane)
        self._runs, self._operations = functions(plane) if self._works else ({}, {})
        if any(line.startswith(_MULTI_DEVICE) for line in plane.lines):
            self._drop_relays()
        self._parents = {path: _parent(path, self._works) for path in self._works}
        self._order = _source_first(self._works, self._parents)
        self._chains = chains

    def _drop_relays(self) -> None:
        """Drops the generators, without Python, that fetch each replica's part: they only wait."""
        for path in [path for path in self._works if kind_of(path) == "Generator"]:
            times = [self._operations.get(call, {}) for call in self._works[path].calls]
            if not any(datasets.PYTHON & found.keys() for found in times):
                del self._works[path]

    def stages(self, windows: np.ndarray, fetches_per_step: float = 1.0) -> tuple[Stage, ...]:
        """Returns the stages from the source on.

        Args:
            windows: The steps; what the pipeline did before the first is left out if enough
                remains.
            fetches_per_step: Number of elements that a step takes from the whole pipeline.
        """
        order = self._fed(windows)
        works, parents = {path: self._works[path] for path in order}, self._parents
        index = {path: i for i, path in enumerate(order, 1)}
        counts = {path: len(work.starts) for path, work in works.items()}
        per_step: dict[str, float] = {}
        for path in reversed(order):
            parent = parents[path]
            ratio = _ratio(parent, path, works, counts) if parent else fetches_per_step
            per_step[path] = ratio * (per_step[parent] if parent else 1.0)
        found = (self._runs, self._operations)
        stages = (
            _stage(path, works[path], index, parents, per_step[path], windows, *found)
            for path in order
        )
        applied = datasets.functions(self._chains, map(self._dataset, order))
        stages = [_named(stage, applied.get(self._dataset(stage.path))) for stage in stages]
        return tuple(
            replace(stage, filling=self._filling(stage.path, windows))
            if stage.kind.startswith("Shuffle")
            else stage
            for stage in stages
        )

    def _filling(self, path: str, windows: np.ndarray) -> float:
        """Returns what share of the elements went in during the busiest tenth of the steps."""
        source = next((p for p, parent in self._parents.items() if parent == path), None)
        if source is None or not len(windows):
            return 0.0
        starts = np.array(self._works[source].starts)
        place = np.searchsorted(windows[:, 0], starts, side="right") - 1
        inside = place[(place >= 0) & (starts < windows[np.maximum(place, 0), 1])]
        counts = np.sort(np.bincount(inside, minlength=len(windows)))[::-1]
        busiest = counts[: math.ceil(len(windows) / 10)].sum()
        return float(busiest / counts.sum()) if counts.sum() else 0.0

    def _dataset(self, path: str) -> str:
        """Returns what TensorFlow calls the dataset, ``MapDataset:4``."""
        return str(self._works[path].stats.get("name", ""))

    def _fed(self, windows: np.ndarray) -> list[str]:
        """Returns the paths without those of pipelines that feed something else: a validation."""
        tops: dict[str, str] = {}
        for path in reversed(self._order):
            parent = self._parents[path]
            tops[path] = tops[parent] if parent else path
        fetched = {
            top: intervals.within(np.array(self._works[top].starts), windows).sum()
            for top in set(tops.values())
        }
        most = max(fetched.values(), default=0)
        return [path for path in self._order if 2 * fetched[tops[path]] >= most]

    def finished_batches(self) -> int:
        """Returns how many batches the buffers next to the training may hold."""
        total = 0
        for path in reversed(self._order):
            if not kind_of(path).startswith(("Prefetch", "MapAndBatch")):
                break
            limit = self._works[path].stats.get("buffer_limit")
            total += limit if isinstance(limit, int) else 1
        return total


def threads(plane: Plane) -> int | None:
    """Returns the size of the pool of threads that runs the pipeline's functions."""
    for name, stats in plane.last_stats.items():
        if plane.names[name] == ROOT and isinstance(stats.get("threadpool_size"), int):
            return stats["threadpool_size"] or None
    return None


def _parent(path: str, works) -> str | None:
    while "::" in path:
        path = path.rpartition("::")[0]
        parent = re.sub(r"\[\d+\]$", "", path)  # `Zip[1]` is an input of `Zip`
        if parent in works:
            return parent
    return None


def _source_first(works, parents) -> list[str]:
    """Returns the paths so that each comes after all that feed it."""
    children = defaultdict(list)
    for path in works:
        children[parents[path]].append(path)
    order: list[str] = []
    pending = sorted(children[None], reverse=True)
    while pending:  # the reverse of a walk that visits parents first
        path = pending.pop()
        order.append(path)
        pending.extend(sorted(children[path], key=lambda p: works[p].starts[0]))
    return order[::-1]


def _ratio(parent: str, path: str, works, counts) -> float:
    """Returns how many elements of `path` make one of `parent`."""
    batch = _batch_size(works[parent])
    if batch:
        return float(batch)
    if kind_of(parent).startswith(("Prefetch", "Map", "ParallelMap")):
        return 1.0
    measured = counts[path] / counts[parent]
    return 1.0 if 0.75 < measured < 1.25 else measured


def _batch_size(work: Work) -> int | None:
    batch = work.stats.get("batch_size")
    return batch if isinstance(batch, int) and batch > 0 else None


def _stage(path, work: Work, index, parents, per_step, windows, runs, operations) -> Stage:
    kind, stats = kind_of(path), work.stats
    since = windows[0, 0] if len(windows) else 0
    own_thread = bool(work.produced or work.ahead) or kind.startswith(
        ("Prefetch", "Parallel", "MapAndBatch")
    )
    spans = np.array([runs[i] for i in work.ahead if i in runs], np.int64).reshape(-1, 2)
    batch = _batch_size(work) or 1 if kind == "MapAndBatch" else 1
    calls = list(zip(work.starts, work.own, strict=True))
    if own_thread:
        produced = _since(work.produced, since)
        seconds = (produced.mean() if len(produced) else 0.0) / 1e12
        if len(spans):
            recent = spans[spans[:, 0] >= since] if (spans[:, 0] >= since).sum() > 2 else spans
            seconds += (recent[:, 1] - recent[:, 0]).mean() / 1e12
    else:
        seconds = _since(calls, since).mean() / 1e12
    times: Counter = Counter()
    for identity in (*work.calls, *work.ahead):
        times.update(operations.get(identity, {}))
    most = times.most_common(1)
    number = len(work.calls) + len(work.ahead)
    at_once = intervals.most_at_once(spans) or 1
    parallelism = stats.get("parallelism")
    buffer = next((stats[key] for key in ("buffer_limit", "buffer_size") if key in stats), None)
    buffered = stats.get("buffered_elements")
    return Stage(
        index=index[path],
        kind=kind,
        name=f"{kind}({most[0][0]})" if most else kind,
        path=path,
        parent=index.get(parents[path], 0),
        elements=len(work.ahead) or len(work.starts),
        self_seconds=max(seconds, 0.0),
        elements_per_step=per_step * batch,
        own_thread=own_thread,
        parallelism=max(parallelism if isinstance(parallelism, int) else at_once, 1),
        at_once=at_once,
        buffer=buffer if isinstance(buffer, int) else None,
        buffered=buffered if isinstance(buffered, int) else None,
        busy_seconds=sum(times.values()) / number / 1e12 if number else 0.0,
        runs_python=kind == "Generator" or bool(datasets.PYTHON & times.keys()),
        reads_files=kind.startswith(_FILES) or bool(most and most[0][0] in _READS),
        in_steps=_in_steps(spans, work.produced if own_thread else calls, windows),
    )


def _in_steps(spans: np.ndarray, noted, windows: np.ndarray) -> float:
    """Returns the share of the spans, and of what was noted as (start, time), that is in steps."""
    if not len(windows):
        return 1.0
    pieces = np.array(noted, np.int64).reshape(-1, 2)
    pieces = np.concatenate([spans, np.stack([pieces[:, 0], pieces.sum(axis=1)], axis=1)])
    between = np.array([[windows[0, 0], windows[-1, 1]]])
    worked = intervals.covered(between, pieces).sum()
    return float(intervals.covered(windows, pieces).sum() / worked) if worked else 1.0


def _named(stage: Stage, link: datasets.Link | None) -> Stage:
    """Returns the stage with its function, where the process that was traced knew it."""
    if link is None:
        return stage
    name = f"{stage.kind}({link.function})" if link.function.isidentifier() else stage.name
    return replace(stage, name=name, function=link.function, place=link.place, kept_by=link.kept_by)


def _since(noted, since) -> np.ndarray:
    """Returns the times of what started since then, of all where that is too little."""
    starts, times = np.array(noted, np.int64).reshape(-1, 2).T
    recent = times[starts >= since]
    return recent if len(recent) > 2 else times
