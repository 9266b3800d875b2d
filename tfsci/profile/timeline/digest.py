"""Horovod's timeline → where the exchange of a step goes, and what to change."""

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tfsci.profile.intervals import covered, minus, union
from tfsci.profile.timeline import text
from tfsci.profile.timeline.advice import Suggestion, suggest
from tfsci.profile.timeline.events import Exchange, read
from tfsci.training.run_folder import replacing

# What a step's exchange is divided into: each instant belongs to the first that covers it.
PARTS = ("exchange", "copy in", "copy out", "queue", "negotiation")
# Upper ends of the size classes, in bytes.
_CLASSES = (64 << 10, 1 << 20, 8 << 20, math.inf)
# Fewer steps than this, after the first, say too little.
_FEWEST = 3
# Within one round of asking the ranks are heard one after the other: that is not being late.
_LATE = 1e-3


@dataclass(frozen=True)
class SizeClass:
    """The messages of about one size.

    Attributes:
        least: Bytes of the smallest.
        most: Bytes of the largest.
        messages: So many a step.
        seconds: Mean time of the exchange of one, without copies.
        bytes_per_second: Bytes of the result over that time.
    """

    least: int
    most: int
    messages: float
    seconds: float
    bytes_per_second: float


@dataclass(frozen=True)
class Waiting:
    """Who waits for whom.

    Attributes:
        seconds: How long a step waits from the first rank to the last, at its longest.
        told: In how many steps the file tells which rank was last.
        last: Rank: share of those steps that it holds up, being last by more than a millisecond.
        behind: Rank: mean seconds that it is later than the one before it, in these steps.
        unseen: So much rank 0 may be later than the others without being seen to be, as it looks
            what they have at such intervals while it has nothing itself; the median, None where
            the file doesn't mark its cycles.
    """

    seconds: float
    told: int
    last: dict[int, float]
    behind: dict[int, float]
    unseen: float | None


@dataclass(frozen=True)
class Digest:
    """What a timeline says of the steps after the first.

    Attributes:
        steps: Their number.
        step_seconds: From the start of one's exchange to the next one's, the median.
        exchange_seconds: From the first tensor that a rank has to the last that is there, the mean.
        parts: Seconds of that by part, which add up to it: ``exchange``, ``copy in`` and
            ``copy out`` of the fusion buffer, ``queue`` (its turn has not come), ``negotiation``
            (a rank lacks it), ``nothing`` (no tensor is there yet).
        messages: So many a step.
        tensors: In a message, the mean.
        message_bytes: In a message, the mean; None where the file doesn't tell.
        message_seconds: What a message costs however small it is; None where it can't be told.
        classes: Messages by size.
        waiting: Who waits for whom.
    """

    steps: int
    step_seconds: float
    exchange_seconds: float
    parts: dict[str, float]
    messages: float
    tensors: float
    message_bytes: float | None
    message_seconds: float | None
    classes: tuple[SizeClass, ...]
    waiting: Waiting

    @property
    def suggestion(self) -> Suggestion:
        """What it comes to, and what to change first."""
        return suggest(self)

    @property
    def text(self) -> str:
        """All of it to read in a terminal."""
        return text.write(self, self.suggestion)

    def write_json(self, path: str | Path) -> None:
        """Writes the figures and the suggestion, whole or not at all."""
        found = {**asdict(self.suggestion), **asdict(self)}
        text = json.dumps(found, indent=2, allow_nan=False, ensure_ascii=False)
        with replacing(Path(path)) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def digest(path: str | Path) -> Digest:
    """Reads a timeline and says what it shows.

    Args:
        path: The file, or a run folder with ``timeline.json``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no timeline of Horovod's, or holds fewer than four steps.
    """
    exchanges = read(path)
    rounds = steps(exchanges)[1:]  # the first one compiles
    if len(rounds) < _FEWEST:
        raise ValueError(
            f"{path}: holds {len(rounds)} whole steps after the first, {_FEWEST} are needed; "
            "let it run longer"
        )
    spans = np.array([span(step) for step in rounds])
    lengths = (spans[:, 1] - spans[:, 0]) / 1e6
    messages = [message for step in rounds for message in _messages(step)]
    sizes = [_size(message) for message in messages]
    return Digest(
        steps=len(rounds),
        step_seconds=float(np.median(np.diff(spans[:, 0]))) / 1e6,
        exchange_seconds=float(lengths.mean()),
        parts=_parts(rounds, spans),
        messages=len(messages) / len(rounds),
        tensors=sum(map(len, messages)) / len(messages),
        message_bytes=None if None in sizes else statistics.fmean(sizes),
        message_seconds=_cost_of_a_message(messages, sizes),
        classes=_classes(messages, sizes, len(rounds)),
        waiting=_waiting(rounds),
    )


def steps(exchanges: Sequence[Exchange]) -> list[list[Exchange]]:
    """Returns the exchanges of each training step, in the order of time.

    A step exchanges each gradient once. The tensors that are exchanged about equally often, and
    most of all, are taken for the gradients; a killed job's last step has only some of them.
    """
    by_tensor = defaultdict(list)
    for exchange in exchanges:
        if exchange.kind != "BROADCAST":
            by_tensor[exchange.tensor].append(exchange)
    counts = Counter(map(len, by_tensor.values()))
    often = max(counts, key=lambda n: n * (counts[n] + counts[n + 1]), default=0)
    chosen = [each for each in by_tensor.values() if len(each) in (often, often + 1)]
    return [list(step) for step in zip(*(each[:often] for each in chosen), strict=True)]


def span(step: Sequence[Exchange]) -> tuple[float, float]:
    """Returns when the first rank had the step's first tensor, and when its last was there."""
    return min(each.asked for each in step), max(each.end for each in step)


def _messages(step: Sequence[Exchange]) -> list[list[Exchange]]:
    found = defaultdict(list)
    for each in step:
        # What did nothing between ranks is alone.
        found[each.message if each.message >= 0 else each.tensor].append(each)
    return list(found.values())


def _size(message: Sequence[Exchange]) -> int | None:
    sizes = [each.size for each in message]
    return None if None in sizes else sum(sizes)


def _parts(rounds: list[list[Exchange]], spans: np.ndarray) -> dict[str, float]:
    every = [each for step in rounds for each in step]
    spent = {part: [] for part in PARTS}
    for each in every:
        for part, start, end in each.parts:
            spent[part].append((start, end))
    spent["queue"] += [(each.agreed, each.end) for each in every]
    spent["negotiation"] = [(each.asked, each.agreed) for each in every]
    taken, found = union(), {}
    for part in PARTS:
        mine = union(np.array(spent[part], np.int64).reshape(-1, 2))
        found[part] = float(covered(minus(mine, taken), spans).mean()) / 1e6
        taken = union(taken, mine)
    lengths = spans[:, 1] - spans[:, 0]
    found["nothing"] = float((lengths - covered(taken, spans)).mean()) / 1e6
    return found


def _cost_of_a_message(messages, sizes) -> float | None:
    """Returns the seconds that a message of no bytes would take, of a line through the medians."""
    if None in sizes:
        return None
    by_size = defaultdict(list)
    for message, size in zip(messages, sizes, strict=True):
        start = min(each.start for each in message)
        by_size[size].append(max(each.end for each in message) - start)
    x = np.array(list(by_size), float)
    y = np.array([max(statistics.median(times), 1) for times in by_size.values()]) / 1e6
    if len(x) == 1:
        return float(y[0]) if x[0] <= _CLASSES[0] else None
    from scipy.optimize import nnls

    rows = np.stack([np.ones(len(x)), x / x.max()], axis=1)
    return float(nnls(rows / y[:, None], np.ones(len(y)))[0][0])


def _classes(messages, sizes, number_of_steps: int) -> tuple[SizeClass, ...]:
    found = defaultdict(list)
    for message, size in zip(messages, sizes, strict=True):
        spans = [p[1:] for each in message for p in each.parts if p[0] == "exchange"]
        if size is not None and spans:
            long = covered(union(np.array(spans, np.int64)), np.array([[0, 2**62]]))[0] / 1e6
            found[next(c for c in _CLASSES if size <= c)].append((size, max(float(long), 1e-6)))
    return tuple(
        SizeClass(
            least=min(size for size, _ in found[most]),
            most=max(size for size, _ in found[most]),
            messages=len(found[most]) / number_of_steps,
            seconds=statistics.fmean(seconds for _, seconds in found[most]),
            bytes_per_second=sum(size for size, _ in found[most])
            / sum(seconds for _, seconds in found[most]),
        )
        for most in _CLASSES
        if most in found
    )


def _waiting(rounds: list[list[Exchange]]) -> Waiting:
    longest, told, behind = [], 0, defaultdict(list)
    for step in rounds:
        longest.append(max(each.agreed - each.asked for each in step) / 1e6)
        heard = [each.ready for each in step if len(each.ready) > 1]
        told += bool(heard)
        lags = [((ready[-1][1] - ready[-2][1]) / 1e6, ready[-1][0]) for ready in heard]
        lag, rank = max(lags, default=(0, None))
        if lag > _LATE:
            behind[rank].append(lag)
    unseen = statistics.median(min(step, key=lambda each: each.asked).unseen for step in rounds)
    return Waiting(
        seconds=statistics.fmean(longest),
        told=told,
        last={rank: len(lags) / told for rank, lags in sorted(behind.items())},
        behind={rank: statistics.fmean(lags) for rank, lags in sorted(behind.items())},
        unseen=None if math.isnan(unseen) else unseen / 1e6,
    )
