"""Runs at several world sizes → speed-up, efficiency, what it costs to communicate, and why."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tfsci.profile.scaling import laws, text
from tfsci.profile.scaling.laws import Estimate, Law
from tfsci.profile.scaling.points import Point, read
from tfsci.training.run_folder import replacing

__all__ = ["Point", "Scaling", "Size", "analyse", "read"]

# Above this share of the ideal a result is more than noise.
_SUPERLINEAR = 1.05

# A law that is further off than this, root mean square, predicts nothing.
_MISFIT = 0.1


@dataclass(frozen=True)
class Size:
    """What runs of one size show.

    Attributes:
        world_size: Number of ranks, n.
        seconds: Mean over the runs.
        runs: Their number.
        speedup: Against the smallest size n₀, which counts n₀.
        efficiency: The speed-up over n, 0 to 1; above 1 it is superlinear.
        communication: Share of the time that the ranks lose against the cheapest size, the one
            with the least ranks × seconds: communication, and all else that does not shrink as
            ranks are added. None up to that size, and where `outdone_by` is not.
        outdone_by: The larger size that is superlinear against this one, None if there is none.
        slower_than: The fastest smaller size that takes less time, None if there is none.
    """

    world_size: int
    seconds: float
    runs: int
    speedup: float
    efficiency: float
    communication: float | None
    outdone_by: int | None
    slower_than: int | None

    @property
    def cost(self) -> float:
        """Ranks × seconds."""
        return self.world_size * self.seconds


@dataclass(frozen=True, eq=False)
class Scaling:
    """How a training scales.

    Attributes:
        kind: ``strong`` (the same global batch, or work), ``weak`` (the same batch on each rank).
        answer: What matters most, in a line.
        sizes: In order.
        reference: The cheapest size; the smallest one that is not `outdone_by` a larger.
        flags: What is wrong with the figures, in words.
        laws: Fitted to the sizes that are not `outdone_by` others.
        predictions: Seconds by world size, at twice and four times the largest.
        text: All of it to read in a terminal.
    """

    kind: str
    answer: str
    sizes: tuple[Size, ...]
    reference: int
    flags: tuple[str, ...]
    laws: tuple[Law, ...]
    predictions: dict[int, Estimate]
    text: str

    def as_json(self) -> dict[str, object]:
        """Returns it as what JSON can hold; what is not known, or not bounded, is None."""
        names = ("kind", "answer", "reference", "flags")
        return {name: getattr(self, name) for name in names} | {
            "sizes": [asdict(size) for size in self.sizes],
            "laws": {
                law.name: {"misfit": law.misfit, **_plain(law.parameters)} for law in self.laws
            },
            "predictions": _plain(self.predictions),
        }

    def write_json(self, path: str | Path) -> None:
        """Writes `as_json`, whole or not at all."""
        text = json.dumps(self.as_json(), indent=2, allow_nan=False, ensure_ascii=False)
        with replacing(Path(path)) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def analyse(points: Iterable[Point], work: str = "the work") -> Scaling:
    """Says how well runs scale.

    Args:
        points: Runs in any order, at two sizes or more; several of one size are averaged.
        work: What `Point.seconds` are the time for.

    Raises:
        ValueError: There are fewer sizes, or their batches are neither the same nor grow as the
            ranks do.

    Example:
        >>> times = {1: 41.30, 2: 15.90, 4: 8.78, 8: 10.74}  # Horovod on Polaris, ATPESC
        >>> analyse(Point(n, seconds) for n, seconds in times.items()).answer
        'Superlinear: 130 % efficiency at 2 ranks against 1; 8 ranks are slower than 4, \
63 % of their time is communication'
    """
    points = sorted(points, key=lambda point: (point.world_size, point.seconds))
    kind, known = _kind(points)
    sizes = _sizes(points)
    reference = min(sizes, key=lambda size: (size.cost, size.world_size))
    kept = {size.world_size for size in sizes if size.outdone_by is None}
    fitted = [point for point in points if point.world_size in kept]
    ranks = [point.world_size for point in fitted]
    seconds = [point.seconds for point in fitted]
    serial = laws.gustafson if kind == "weak" else laws.amdahl
    found = (serial(ranks, seconds), laws.alpha_beta(ranks, seconds, kind == "weak"))
    found = tuple(law for law in found if law)
    predictor = best(found)
    larger = [factor * sizes[-1].world_size for factor in (2, 4)] if predictor else []
    predictions = {n: predictor.seconds(n) for n in larger}
    return Scaling(
        kind,
        text.answer(sizes),
        sizes,
        reference.world_size,
        text.flags(sizes),
        found,
        predictions,
        text.write(kind, known, work, sizes, reference, found, predictions),
    )


def best(found: Iterable[Law]) -> Law | None:
    """Returns the law to predict with: of those with an interval that fit, the fullest."""
    fit = [law for law in found if law.spread and law.misfit <= _MISFIT]
    return max(fit, key=lambda law: len(law.theta), default=None)


def _kind(points: list[Point]) -> tuple[str, bool]:
    """Returns whether it is strong or weak scaling, and whether that is known or taken to be so."""
    distinct = sorted({point.world_size for point in points})
    if len(distinct) < 2:
        have = f"all runs have {distinct[0]}" if distinct else "there is no run"
        raise ValueError(f"scaling shows in runs at two world sizes or more, {have}")
    batches = [point.batch_size for point in points]
    if None in batches:
        return "strong", False
    if len(set(batches)) == 1:
        return "strong", True
    if len({point.batch_size / point.world_size for point in points}) == 1:
        return "weak", True
    pairs = ", ".join(f"{p.batch_size} on {p.world_size}" for p in points)
    raise ValueError(
        "runs can't be compared: their batch sizes are neither the same in all (strong scaling) "
        f"nor the same on each rank (weak scaling): {pairs} ranks"
    )


def _sizes(points: list[Point]) -> tuple[Size, ...]:
    runs = defaultdict(list)
    for point in points:
        runs[point.world_size].append(point.seconds)
    means = {n: statistics.fmean(seconds) for n, seconds in runs.items()}
    first = min(means)
    reference = min(means, key=lambda n: (n * means[n], n))
    sizes = []
    for n, seconds in means.items():
        against = {m: n * seconds / (m * means[m]) for m in means if m > n}
        outdone_by = max(against, key=against.get, default=None)
        if outdone_by and against[outdone_by] <= _SUPERLINEAR:
            outdone_by = None
        faster = [m for m in means if m < n and means[m] < seconds]
        speedup = first * means[first] / seconds
        lost = 1 - reference * means[reference] / (n * seconds)
        sizes.append(
            Size(
                world_size=n,
                seconds=seconds,
                runs=len(runs[n]),
                speedup=speedup,
                efficiency=speedup / n,
                communication=lost if n > reference and not outdone_by else None,
                outdone_by=outdone_by,
                slower_than=min(faster, key=means.get, default=None),
            )
        )
    return tuple(sizes)


def _plain(estimates: dict) -> dict[str, dict]:
    found = {str(name): asdict(estimate) for name, estimate in estimates.items()}
    for estimate in found.values():
        if estimate["high"] == float("inf"):
            estimate["high"] = None
    return found
