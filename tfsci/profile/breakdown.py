"""Where a step's time goes.

Each instant of a step belongs to the first of these that covers it, so the parts add up to the
step: `compile` (calls that traced or compiled), `compute` (the model's operations; on a GPU, its
kernels), `communication` (all-reduce not hidden behind compute), `copy` (between host and device),
`input` (waiting for the pipeline), `dispatch` (starting and ending the step's function), `python`
(the rest).

On a CPU an operation is an event ``name:Type`` on the thread that runs it; those of the pipeline's
functions, told by the ``id`` of the graph call they are in, are no compute. An asynchronous
operation, an all-reduce among them, reaches from ``ExecutorState::ProcessAsync::Start`` to
``ExecutorState::ProcessAsync::Done`` of the same ``step_id`` and ``name``. On a GPU the streams'
events are what runs: ``Memcpy…`` copies, names with ``nccl`` communicate, the rest computes.
"""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from tfsci.profile import intervals
from tfsci.profile.iterators import OPERATION, function_ids
from tfsci.profile.steps import function_calls, is_fetch, traced_calls
from tfsci.profile.xplane import Plane

PARTS = ("compile", "compute", "communication", "copy", "input", "dispatch", "python")

# Steps that the timeline shows.
SHOWN = 5

_COMMUNICATION = re.compile(r"Horovod|Collective|Nccl|AllReduce", re.IGNORECASE)
_GATHER = re.compile(r"(All|Collective)_?Gather", re.IGNORECASE)
_NO_LAYER = re.compile(r"(Stateful)?PartitionedCall|gradient_tape|while|body|cond|__inference")
_INPUT = re.compile(r"^(Iterator|OneShotIterator|MultiDeviceIterator|OptionalFromValue)")


@dataclass(frozen=True)
class Breakdown:
    """The mean step of a trace.

    Attributes:
        parts: Seconds by name, in the order of `PARTS`; they add up to the step.
        waits: Seconds that each step waits for input.
        operations: Seconds by type of operation or kernel, the largest first.
        layers: Seconds of them by layer of the model, forward and backward, the largest first; the
            optimizer and the loss are layers, too.
        communication_total: Seconds of all-reduce, hidden or not.
        timeline: Of the first steps one after the other, without pauses between them: (part, start,
            end), in seconds since the first of them; sorted, without the Python between.
        started: Operations that Python started one by one in a step; a function counts as one.
        gathered: Share of the exchange that gathers rather than adds up, 0 to 1: what is gathered
            is sparse, or factors of a gradient, and grows with the batch.
        paused: Share of the time from the first to the last step that is between steps: a
            validation, a checkpoint; 0 to 1.
        paused_for_input: The part of it that waits for input, 0 to 1.
    """

    parts: dict[str, float]
    waits: tuple[float, ...]
    operations: dict[str, float]
    layers: dict[str, float]
    communication_total: float
    timeline: tuple[tuple[str, float, float], ...]
    started: float = 0.0
    gathered: float = 0.0
    paused: float = 0.0
    paused_for_input: float = 0.0


def measure(host: Plane, devices: tuple[Plane, ...], windows: np.ndarray) -> Breakdown:
    """Returns where the mean of the steps goes.

    Args:
        host: The host's events.
        devices: The planes of its GPUs.
        windows: The steps, shape (steps, 2).
    """
    streams = [(device, _on_streams(device)) for device in devices]
    if any(len(indices) for _, indices in streams):
        compute, communication, copy, operations, layers = _device_work(streams, windows)
    else:
        compute, communication, operations, layers = _host_work(host, windows)
        copy = intervals.NONE
    fetch = host.where(is_fetch)
    eager = host.where(lambda name: name == "EagerExecute")
    calls = np.r_[function_calls(host), eager]
    sets = {
        "compile": host.spans[traced_calls(host)],
        "compute": compute,
        "communication": communication,
        "copy": copy,
        "input": intervals.union(host.spans[fetch], _asynchronous(host, _INPUT)),
        "dispatch": host.spans[calls],
    }
    parts, so_far, before, timeline = {}, intervals.NONE, np.zeros(len(windows)), []
    for name, spans in sets.items():
        timeline += _timeline(name, intervals.minus(intervals.union(spans), so_far), windows)
        so_far = intervals.union(so_far, spans)
        covered = intervals.covered(so_far, windows)
        each = (covered - before) / 1e12
        parts[name], before = float(each.mean()), covered
        if name == "input":
            waits = tuple(map(float, each))
    parts["python"] = float((windows[:, 1] - windows[:, 0] - before).mean()) / 1e12
    hidden_or_not = intervals.covered(intervals.union(communication), windows).mean() / 1e12
    timeline = tuple(sorted(timeline, key=lambda piece: piece[1:]))
    started = len(_inside(host, eager, windows)) / len(windows)
    return Breakdown(
        parts, waits, operations, layers, float(hidden_or_not), timeline, started,
        _share_of_gathers(host, streams), *_paused(windows, sets["input"]),
    )  # fmt: skip


def _paused(windows: np.ndarray, waits: np.ndarray) -> tuple[float, float]:
    """Returns the share of the time that is between steps, and of that the part that waits."""
    between = np.stack([windows[:-1, 1], windows[1:, 0]], axis=1)
    paused = float((between[:, 1] - between[:, 0]).sum())
    waited = float(intervals.covered(waits, between).sum())
    return paused / float(windows[-1, 1] - windows[0, 0]), waited / paused if paused else 0.0


def _share_of_gathers(host: Plane, streams) -> float:
    """Returns the share of the exchange that gathers.

    Messages travel one after the other: one that waits for its turn does not travel yet.
    """
    kernels = [d.spans[[i for i in found if "nccl" in _name(d, i)]] for d, found in streams]
    gathers = [
        d.spans[[i for i in found if "nccl" in _name(d, i) and _GATHER.search(_name(d, i))]]
        for d, found in streams
    ]
    if not any(map(len, kernels)):
        kernels, gathers = [_asynchronous(host, _COMMUNICATION)], [_asynchronous(host, _GATHER)]
    every, some = np.concatenate(kernels), set(map(tuple, np.concatenate(gathers).tolist()))
    if not len(every):
        return 0.0
    every = every[np.argsort(every[:, 1], kind="stable")]
    before = np.r_[0, every[:-1, 1]]
    travel = every[:, 1] - np.maximum(every[:, 0], before)
    gathering = [tuple(span) in some for span in every.tolist()]
    return float(travel[gathering].sum() / max(travel.sum(), 1))


def _name(plane: Plane, index: int) -> str:
    return plane.names[plane.event[index]].lower()


def _timeline(name: str, spans: np.ndarray, windows: np.ndarray):
    """Returns the spans in the first steps, in seconds since the first one's start."""
    passed = 0
    for start, end in windows[:SHOWN]:
        clipped = intervals.clipped(spans, np.array([[start, end]])) - start + passed
        yield from ((name, float(a) / 1e12, float(b) / 1e12) for a, b in clipped)
        passed += end - start


def _on_streams(device: Plane) -> np.ndarray:
    streams = np.array([line.startswith("Stream") for line in device.lines], bool)
    return np.flatnonzero(streams[device.line]) if len(device.line) else np.empty(0, int)


def _device_work(streams, windows):
    kinds = {"compute": [], "communication": [], "copy": []}
    operations, layers = Counter(), Counter()
    for device, indices in streams:
        for i in indices:
            name = device.names[device.event[i]]
            if re.match("mem(cpy|set)", name, re.IGNORECASE):
                kind = "copy"
            else:
                kind = "communication" if "nccl" in name.lower() else "compute"
            kinds[kind].append(device.spans[i])
        inside = _inside(device, indices, windows)
        _count(operations, device, inside, lambda name: name)
        for i in inside:  # a kernel says of which operation it is a part
            layers[layer_of(str(device.stats.get(i, {}).get("tf_op", "")))] += _seconds(device, i)
    sets = [np.array(kinds[kind], np.int64).reshape(-1, 2) for kind in kinds]
    return *sets, _ordered(operations, windows), _ordered(layers, windows)


def _host_work(host: Plane, windows):
    of_pipeline = function_ids(host)
    foreign = _times_by_line(host, of_pipeline)
    kernels = host.where(lambda name: bool(OPERATION.match(name)))
    indices = []
    for line in np.unique(host.line[kernels]):
        if host.lines[line].startswith("tf_data_"):
            continue
        mine = kernels[host.line[kernels] == line]
        spans = foreign.get(int(line), intervals.NONE)
        indices.extend(mine[~intervals.within(host.spans[mine, 0], spans)])
    indices = np.array(indices, int)
    kinds = [OPERATION.match(host.names[host.event[i]])[1] for i in indices]
    waits = np.array([bool(_INPUT.match(kind)) for kind in kinds], bool)
    talks = np.array([bool(_COMMUNICATION.search(kind)) for kind in kinds], bool)
    compute = indices[~(waits | talks)] if len(indices) else indices
    communication = [host.spans[indices[talks]]] if len(indices) else []
    communication.append(_asynchronous(host, _COMMUNICATION))
    operations, layers = Counter(), Counter()
    inside = _inside(host, compute, windows)
    _count(operations, host, inside, lambda name: OPERATION.match(name)[1])
    _count(layers, host, inside, layer_of)
    found = (_ordered(operations, windows), _ordered(layers, windows))
    return host.spans[compute], intervals.union(*communication), *found


def layer_of(operation: str) -> str:
    """Returns the layer that an operation is of, by the scopes in its name.

    Keras names one ``cnn_1/conv_2_1/convolution:Conv2D``: the model, the layer, each with a number
    for the call; its gradient is below ``gradient_tape``. What is in no layer is the optimizer's,
    the loss', or ``other``.

    >>> layer_of("StatefulPartitionedCall/gradient_tape/cnn_1/conv_2_1/convolution/Conv2D:Conv2D")
    'conv_2'
    """
    scopes = operation.partition(":")[0].split("/")[:-1]
    scopes = [scope for scope in scopes if not _NO_LAYER.match(scope)]
    in_model = len(scopes) > 1 and scopes[1][:1].islower()  # a layer, not an operation
    if in_model and not scopes[0].startswith("compile_loss"):
        return re.sub(r"_\d+$", "", scopes[1])
    return scopes[0] if scopes and scopes[0].islower() else "other"


def _times_by_line(host: Plane, identities: set) -> dict[int, np.ndarray]:
    """Returns, by line, when calls of graphs with these ids ran."""
    found: dict[int, list] = {}
    for i in host.where(lambda n: n in ("ExecutorState::Process", "ExecutorDoneCallback")):
        if host.stats.get(i, {}).get("id") in identities:
            found.setdefault(int(host.line[i]), []).append(host.spans[i])
    return {line: intervals.union(np.array(spans)) for line, spans in found.items()}


def _asynchronous(host: Plane, kinds: re.Pattern) -> np.ndarray:
    """Returns the spans of asynchronous operations of these kinds."""
    open_, spans = {}, []
    chosen = host.where(lambda name: name.startswith("ExecutorState::ProcessAsync::"))
    for i in chosen[np.argsort(host.spans[chosen, 0], kind="stable")]:
        stats = host.stats.get(i, {})
        if not kinds.search(str(stats.get("kernel_type", ""))):
            continue
        key = (stats.get("step_id"), stats.get("name"))
        if host.names[host.event[i]].endswith("Start"):
            open_[key] = host.spans[i, 0]
        elif key in open_:
            spans.append((open_.pop(key), host.spans[i, 1]))
    return np.array(spans, np.int64).reshape(-1, 2)


def _inside(plane: Plane, indices: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Returns those of the events that start in one of the steps."""
    return indices[intervals.within(plane.spans[indices, 0], windows)]


def _count(times: Counter, plane: Plane, indices: np.ndarray, kind_of) -> None:
    lengths = np.diff(plane.spans[indices])[:, 0]
    by_name = np.bincount(plane.event[indices], lengths, len(plane.names))
    for name in np.flatnonzero(by_name):
        times[kind_of(plane.names[name])] += by_name[name] / 1e12


def _seconds(plane: Plane, index: int) -> float:
    return float(plane.spans[index, 1] - plane.spans[index, 0]) / 1e12


def _ordered(operations: Counter, windows) -> dict[str, float]:
    return {kind: float(time) / max(len(windows), 1) for kind, time in operations.most_common()}
