"""Reads the profiler's `*.xplane.pb` files into NumPy columns.

What such a file holds (TensorFlow 2.21, Keras 3, default options): planes (``/host:CPU``, one
``/device:GPU:i`` each, ``Task Environment``) of lines (threads; streams on a GPU) of events. An
event has a name, a start, a duration, and statistics by name. Those that `tfsci.profile` needs:

===================================  ==================================================
``train`` (any name)                 ``step_num``: a step's marker, ours or TensorFlow's
``multi_step_on_iterator`` (any)     ``tf_function_call`` (``notTraced-nonXla``, ``traced-xla``),
                                     ``tracing_count``: a call of a `tf.function`
``FunctionRun``, ``ExecutorState::…``  ``id``: which call of a graph this is part of
``tfsci.cpu``                        ``used_us``: CPU time of the process so far, ours
``Iterator::…``                      the options and state of a stage (see `pipeline`)
===================================  ==================================================

The protobuf class is loaded from its own file: importing the package above it would start
TensorFlow, which takes longer than reading.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Statistics that are read for every event whose first one of that name has them.
_EVERY = (
    "id", "step_num", "tf_function_call", "tracing_count", "step_id", "name", "kernel_type",
    "tf_op", "peak_bytes_in_use", "used_us",
)  # fmt: skip

_LONGEST_NS = 86_400 * 10**9

# What the thread pool notes of itself: a third of all events, of no use here.
_BORING = ("ThreadpoolListener::",)


@dataclass(frozen=True)
class Plane:
    """One plane's events as columns, in the order of the file.

    Attributes:
        name: As in the file, ``/host:CPU``.
        lines: Name of each line.
        names: Event names; columns refer to them by index.
        line: Index into `lines` for each event.
        event: Index into `names` for each event.
        spans: Shape (events, 2): start and end in picoseconds.
        stats: Statistics by event index, of the few kinds that are needed one by one.
        last_stats: The last value of every statistic by index into `names`, for the stages.
        own: The plane's own statistics.
    """

    name: str
    lines: tuple[str, ...]
    names: tuple[str, ...]
    line: np.ndarray
    event: np.ndarray
    spans: np.ndarray
    stats: dict[int, dict[str, object]]
    last_stats: dict[int, dict[str, object]]
    own: dict[str, object]

    def where(self, chosen) -> np.ndarray:
        """Returns the indices of the events whose name `chosen` accepts."""
        accepted = np.array([bool(chosen(name)) for name in self.names], bool)
        return np.flatnonzero(accepted[self.event]) if len(self.event) else np.empty(0, int)


@functools.cache
def messages():
    """Returns the module of the protobuf classes, `XSpace` among them.

    Raises:
        ImportError: TensorFlow is not installed, or of a version that keeps them elsewhere.
    """
    found = importlib.util.find_spec("tensorflow")
    places = found.submodule_search_locations if found else None
    for place in places or ():
        path = Path(place) / "tsl" / "profiler" / "protobuf" / "xplane_pb2.py"
        if path.is_file():
            spec = importlib.util.spec_from_file_location("tfsci.profile._xplane_pb2", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError("reading a trace needs TensorFlow 2.21: its xplane_pb2 was not found")


def read(path: Path) -> tuple[Plane, ...]:
    """Returns the planes of a file.

    Raises:
        ValueError: It is not a whole trace.
        OSError: It can't be read.
    """
    return parse(Path(path).read_bytes(), str(path))


def parse(data: bytes, source: str) -> tuple[Plane, ...]:
    """Returns the planes of a serialised `XSpace`; `source` names it in errors."""
    from google.protobuf.message import DecodeError

    try:
        space = messages().XSpace.FromString(data)
    except DecodeError:
        raise ValueError(
            f"{source}: truncated, or not a trace of TensorFlow's profiler; trace again"
        ) from None
    if not any(plane.name.startswith(("/host:", "/device:")) for plane in space.planes):
        raise ValueError(f"{source}: no trace of TensorFlow's profiler (no host or device in it)")
    starts = [line.timestamp_ns for plane in space.planes for line in plane.lines if line.events]
    # Since 1970 picoseconds don't fit 64 bits; since the first line they do.
    zero = min(starts, default=0)
    if max(starts, default=0) - zero > _LONGEST_NS:
        raise ValueError(f"{source}: its lines are more than a day apart; trace again")
    try:
        return tuple(_plane(plane, zero) for plane in space.planes)
    except OverflowError:
        raise ValueError(f"{source}: damaged, with times that can't be; trace again") from None


def _plane(plane, zero: int) -> Plane:
    stat_names = {key: value.name for key, value in plane.stat_metadata.items()}

    def stats_of(holder) -> dict[str, object]:
        found = {}
        for stat in holder.stats:
            kind = stat.WhichOneof("value")
            if kind:
                value = getattr(stat, kind)
                found[stat_names.get(stat.metadata_id, "")] = (
                    stat_names.get(value, "") if kind == "ref_value" else value
                )
        return found

    names: dict[int, int] = {}
    texts: list[str] = []
    treatment: list[int] = []  # of each name: 0 to be skipped, 1 no statistics, 2 all, 3 the last
    line_of, event_of, start_of, length_of = [], [], [], []
    stats: dict[int, dict[str, object]] = {}
    last: dict[int, object] = {}
    for number, line in enumerate(plane.lines):
        offset = (line.timestamp_ns - zero) * 1000
        for event in line.events:
            name = names.get(event.metadata_id)
            if name is None:
                name = names[event.metadata_id] = len(texts)
                texts.append(plane.event_metadata[event.metadata_id].name)
                treatment.append(_treatment(texts[-1], event, stat_names))
            how = treatment[name]
            if how == 0:
                continue
            if how == 2:
                stats[len(line_of)] = stats_of(event)
            elif how == 3:
                last[name] = event
            line_of.append(number)
            event_of.append(name)
            start_of.append(offset + event.offset_ps)
            length_of.append(event.duration_ps)
    starts, lengths = np.array(start_of, np.int64), np.array(length_of, np.int64)
    if len(starts) and (
        starts.min() < 0 or max(starts.max(), lengths.max()) > 2 * _LONGEST_NS * 1000
    ):
        raise OverflowError
    lengths = np.maximum(lengths, 0)
    return Plane(
        name=plane.name,
        lines=tuple(line.name or line.display_name for line in plane.lines),
        names=tuple(texts),
        line=np.array(line_of, np.int64),
        event=np.array(event_of, np.int64),
        spans=np.stack([starts, starts + lengths], axis=1),
        stats=stats,
        last_stats={name: stats_of(event) for name, event in last.items()},
        own=stats_of(plane),
    )


def _treatment(name: str, event, stat_names) -> int:
    if name.startswith(_BORING):
        return 0
    if name.startswith("Iterator::"):
        return 3
    found = {stat_names.get(stat.metadata_id) for stat in event.stats}
    return 2 if found.intersection(_EVERY) else 1
