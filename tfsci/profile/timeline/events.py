"""Horovod's timeline file → which tensor was exchanged when, with which others.

Rank 0 writes it (``HOROVOD_TIMELINE``, our ``--horovod-timeline``). A tensor is negotiated, from
the first rank that has it to the last, then exchanged, in activities that follow one another. What
is fused into one message does each activity together. Horovod remembers tensors that it has seen,
and then tells no more which rank was ready when; ``HOROVOD_CACHE_CAPACITY=0`` makes it forget.
While rank 0 has no gradient it looks every 100 ``HOROVOD_CYCLE_TIME`` only (ours), and hears late
of the other ranks'.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

_BYTES = {
    "uint8": 1, "int8": 1, "bool": 1, "uint16": 2, "int16": 2, "float16": 2, "bfloat16": 2,
    "int32": 4, "float32": 4, "int64": 8, "float64": 8,
}  # fmt: skip
# What the activities of an exchange that move nothing between ranks begin with.
_PARTS = {
    "QUEUE": "queue",
    "WAIT_": "queue",
    "INIT_": "queue",
    "ALLOCATE_": "queue",
    "MEMCPY_IN": "copy in",
    "MEMCPY_OUT": "copy out",
    "COPY_": "copy out",
}


@dataclass(slots=True, eq=False)
class Exchange:
    """One exchange of one tensor; times in microseconds since the file began.

    Attributes:
        tensor: Its name.
        kind: ``ALLREDUCE``, ``ALLGATHER``, ``BROADCAST``, ….
        asked: When the first rank had it; `start` where the file doesn't tell.
        agreed: When the last one had.
        ready: When each rank had it, where the file tells: (rank, time).
        start: When its turn came.
        end: When the result was there.
        size: Bytes of the result, None where the file doesn't tell.
        message: Number of the message it was in; the tensors of one were fused.
        unseen: How long rank 0 had not looked what is ready when it saw that this tensor is, NaN
            where cycles are not marked.
        parts: What was done from start to end: (``queue``, ``copy in``, ``exchange`` or
            ``copy out``, start, end).
    """

    tensor: str
    kind: str = ""
    asked: float = math.nan
    agreed: float = math.nan
    ready: list[tuple[int, float]] = field(default_factory=list)
    start: float = math.nan
    end: float = math.nan
    size: int | None = None
    message: int = -1
    unseen: float = math.nan
    parts: list[tuple[str, float, float]] = field(default_factory=list)


def read(path: str | Path) -> list[Exchange]:
    """Reads a timeline, also one that a killed job left unfinished.

    Returns:
        The exchanges that ended, in the order of their ends.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no timeline of Horovod's, or holds no exchange.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "timeline.json"  # a run folder
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such file; --horovod-timeline writes one into the run folder"
        ) from None
    events = _events(text)
    try:
        found = _exchanges(events)
    except (KeyError, TypeError, AttributeError, ValueError):
        found = None
    if found is None:
        raise ValueError(f"{path}: no timeline of Horovod's; expected what HOROVOD_TIMELINE writes")
    if not found:
        raise ValueError(f"{path}: no tensor was exchanged in it; let it run for some steps")
    return found


def _events(text: str) -> list[dict] | None:
    if not text.startswith("["):
        return None
    # A killed job's file ends anywhere: what is after the last whole event is left out.
    for attempt in (text, text[: text.rfind("},") + 1] + "]"):
        try:
            return json.loads(attempt)
        except (ValueError, RecursionError):
            continue
    return None


def _exchanges(events: list[dict] | None) -> list[Exchange] | None:
    """Returns the exchanges, or None where the events are not Horovod's."""
    if not events or "start_time_since_epoch_in_micros" not in events[0]["args"]:
        return None
    names, now, open_, found = {}, {}, {}, []
    groups, before, unseen = _Groups(), math.nan, math.nan
    for event in events:
        phase = event["ph"]
        if phase == "M":
            if event["name"] == "process_name":
                names[event["pid"]] = event["args"].get("name")
            continue
        time = event["ts"]
        if phase == "i":
            unseen, before = time - before, time
            continue
        lane, before = event["pid"], time
        stack = open_.setdefault(lane, [])
        if phase == "B":
            name = event["name"]
            if not stack:
                if lane not in now:
                    now[lane] = Exchange(names.get(lane) or f"tensor {lane}")
                if name.startswith("NEGOTIATE_"):
                    now[lane].asked, now[lane].unseen = time, unseen
                else:
                    now[lane].kind, now[lane].start = name, time
            elif _part(name) == "exchange":
                groups.begin(name, now[lane])
            stack.append((name, time))
        elif phase == "X" and lane in now and event["name"].isdecimal():
            now[lane].ready.append((int(event["name"]), time))
        elif phase == "E" and stack:
            name, start = stack.pop()
            exchange = now[lane]
            if stack:
                exchange.parts.append((_part(name), start, time))
                groups.end(exchange)
            elif name.startswith("NEGOTIATE_"):
                exchange.agreed = time
            else:
                del now[lane]
                exchange.end, exchange.size = time, _size(event.get("args"))
                if math.isnan(exchange.agreed):  # the file began in the middle of it
                    exchange.asked = exchange.agreed = exchange.start
                groups.end(exchange)
                found.append(exchange)
    return found


class _Groups:
    """Numbers messages: what begins an activity before any of them ends it was fused."""

    def __init__(self):
        self._number, self._joining = 0, {}

    def begin(self, activity: str, exchange: Exchange) -> None:
        if exchange.message < 0:
            exchange.message = self._joining.setdefault(activity, self._next())

    def end(self, exchange: Exchange) -> None:
        if exchange.message < 0:
            return
        for activity, number in list(self._joining.items()):
            if number == exchange.message:
                del self._joining[activity]

    def _next(self) -> int:
        self._number += 1
        return self._number


def _part(activity: str) -> str:
    for start, part in _PARTS.items():
        if activity.startswith(start):
            return part
    return "exchange"


def _size(args: dict | None) -> int | None:
    """Returns the bytes of ``{"dtype": "float32", "shape": "[256, 768]"}``."""
    if not args or args.get("dtype") not in _BYTES:
        return None
    return math.prod(map(int, re.findall(r"\d+", args["shape"]))) * _BYTES[args["dtype"]]
