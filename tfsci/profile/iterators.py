"""The calls of a pipeline's iterators in a trace, with the time and the functions that each holds.

What is recorded is told in `pipeline`.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from tfsci.profile.xplane import Plane

ROOT = "Iterator::Root"
OPERATION = re.compile(r"^[^:]+:([A-Za-z_]\w*)$")  # `Cast_1:Cast`, as kernels are recorded
# Inputs that differ keep their number; those of an interleave, say, are alike.
_INDEX = re.compile(r"(?<!Zip)(?<!Concatenate)(?<!DirectedInterleave)\[\d+\]")


@dataclass
class Work:
    """What is gathered of one path; times in picoseconds."""

    starts: list = field(default_factory=list)  # of the calls
    own: list = field(default_factory=list)  # their time without nested calls, in picoseconds
    produced: list = field(default_factory=list)  # (start, time without nested calls)
    calls: list = field(default_factory=list)  # ids of function calls
    ahead: list = field(default_factory=list)  # of those, what runs on other threads
    stats: dict = field(default_factory=dict)


def function_ids(plane: Plane) -> set[object]:
    """Returns the ids of the function calls that belong to the pipeline."""
    prefix = "InstantiatedCapturedFunction::Run"
    calls = plane.where(lambda name: name.startswith(prefix))
    return {plane.stats[i]["id"] for i in calls if "id" in plane.stats.get(i, ())}


def gather(plane: Plane) -> dict[str, Work]:
    """Returns what was done at each path, without indices, from the root's next on."""
    works: dict[str, Work] = defaultdict(Work)
    path_of = [_path(name) if name.startswith(ROOT + "::") else None for name in plane.names]
    produce = [name.endswith("Produce") and "::" not in name for name in plane.names]
    runs = [name.startswith("InstantiatedCapturedFunction::Run") for name in plane.names]
    asynchronous = [name == "InstantiatedCapturedFunction::RunAsync" for name in plane.names]
    chosen = np.array(
        [bool(path) or p or r for path, p, r in zip(path_of, produce, runs, strict=True)], bool
    )
    indices = np.flatnonzero(chosen[plane.event]) if len(plane.event) else np.empty(0, int)
    spans = plane.spans
    order = indices[np.lexsort((-spans[indices, 1], spans[indices, 0], plane.line[indices]))]
    homeless = []  # of function calls in a producer that no call of the next stage nests in
    stack: list[list] = []  # [end, line, path or None, own time, start, calls, whether a producer]

    def close():
        _, _, path, own, start, calls, producer = stack.pop()
        if producer and path is None:
            homeless.append((producer, start, own, calls))
        elif path:
            _note(works[path], start, own, calls, bool(producer))

    for i in order:
        name, line, (start, end) = plane.event[i], plane.line[i], spans[i]
        while stack and (stack[-1][0] <= start or stack[-1][1] != line):
            close()
        top = stack[-1] if stack else None
        if runs[name]:
            if top and i in plane.stats and "id" in plane.stats[i]:
                top[5].append((plane.stats[i]["id"], asynchronous[name]))
            continue
        if top:
            top[3] -= end - start
        path = path_of[name]
        if path and top and top[6] and top[2] is None:
            top[2] = path.rpartition("::")[0]
        if path and top and not top[6] and top[2] == path:  # MemoryCache and its Impl: one call
            top[3] += end - start
            continue
        producer = plane.names[name][: -len("Produce")] if produce[name] else ""
        stack.append([end, line, path, end - start, start, [], producer])
    while stack:
        close()
    works.pop(ROOT, None)
    for kind, start, own, calls in homeless:
        paths = [path for path in works if kind_of(path).startswith(kind)]
        if len(paths) == 1:
            _note(works[paths[0]], start, own, calls, True)
    for name, stats in plane.last_stats.items():
        if path_of[name] in works:
            known = {key: value for key, value in stats.items() if value != "unavailable"}
            works[path_of[name]].stats.update(known)
    return {path: work for path, work in works.items() if work.starts}


def _note(work: Work, start, own, calls, producer: bool) -> None:
    if producer:
        work.produced.append((start, own))
    else:
        work.starts.append(start)
        work.own.append(own)
    for identity, ahead in calls:
        (work.ahead if ahead else work.calls).append(identity)


def _path(name: str) -> str:
    """Returns the path without the numbers of inputs that are alike.

    An iterator and the ``Impl`` it hides behind are one.
    """
    parts = _INDEX.sub("", name).split("::")
    return "::".join(part.removesuffix("Impl") for part in parts)


def kind_of(path: str) -> str:
    """Returns the last component of a path."""
    return path.rpartition("::")[2]


def functions(plane: Plane) -> tuple[dict, dict]:
    """Returns for each call of a graph its span, and the time of each operation in it."""
    inside = plane.where(lambda n: n in ("ExecutorState::Process", "ExecutorDoneCallback"))
    runs: dict[object, list] = {}
    for i in inside:
        identity = plane.stats.get(i, {}).get("id")
        start, end = plane.spans[i]
        if identity in runs:
            run = runs[identity]
            run[0], run[1] = min(run[0], start), max(run[1], end)
        elif identity is not None:
            runs[identity] = [start, end]
    operations: dict[object, Counter] = defaultdict(Counter)
    process = plane.where(lambda name: name == "ExecutorState::Process")
    kernels = plane.where(OPERATION.match)
    for line in np.unique(plane.line[kernels]):
        outer = process[plane.line[process] == line]
        outer = outer[np.argsort(plane.spans[outer, 0], kind="stable")]
        mine = kernels[plane.line[kernels] == line]
        places = np.searchsorted(plane.spans[outer, 0], plane.spans[mine, 0], side="right") - 1
        for i, place in zip(mine, places, strict=True):
            if place >= 0 and plane.spans[i, 0] < plane.spans[outer[place], 1]:
                identity = plane.stats.get(outer[place], {}).get("id")
                kind = OPERATION.match(plane.names[plane.event[i]])[1]
                operations[identity][kind] += int(plane.spans[i, 1] - plane.spans[i, 0])
    return runs, operations
