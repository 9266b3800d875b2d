"""What scaling shows, in words, for a terminal."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tfsci.profile.scaling.laws import LEVEL, Estimate, Law
from tfsci.profile.text import clean, duration, percent

if TYPE_CHECKING:
    from tfsci.profile.scaling.analysis import Size

_CAUSES = (
    "its time holds warm-up, compilation or cold caches",
    "its data or model does not fit a cache or memory, or it had fewer cores or threads",
    "its work was another: epochs, batch or data changed with the size",
    "a timer stopped before the device had finished",
)
_TITLES = {"amdahl": "Amdahl", "gustafson": "Gustafson", "alpha-beta": "α–β"}
_WIDTH = 100


def write(
    kind: str,
    known: bool,
    work: str,
    sizes: Sequence["Size"],
    reference: "Size",
    laws: Sequence[Law],
    predictions: dict[int, Estimate],
) -> str:
    """Returns the answer, the sizes, the laws, what they predict, and what is wrong."""
    told = [*map(_law, laws), *_predicted(predictions, sizes, any(law.spread for law in laws))]
    lines = [answer(sizes), "", *_table(kind, known, work, sizes, reference), ""]
    for line in told:
        lines += textwrap.wrap(line, _WIDTH, subsequent_indent="  ")
    for flag in flags(sizes):
        lines += ["", *textwrap.wrap(f"! {flag}", _WIDTH, subsequent_indent="  ")]
    return "\n".join(map(clean, lines))


def answer(sizes: Sequence["Size"]) -> str:
    """Returns what matters most, in a line."""
    by_size = {size.world_size: size for size in sizes}
    first, last, parts = sizes[0], sizes[-1], []
    pairs = [(size, by_size[size.outdone_by]) for size in sizes if size.outdone_by]
    if pairs:
        small, large = max(pairs, key=lambda pair: pair[0].cost / pair[1].cost)
        where = f"{large.world_size} ranks against {small.world_size}"
        parts.append(f"Superlinear: {percent(small.cost / large.cost)} efficiency at {where}")
    about = f"{last.world_size} ranks are "
    if last.slower_than:
        about += f"slower than {last.slower_than}"
    else:
        about += f"{first.seconds / last.seconds:.3g} times as fast as {first.world_size}"
        about += "" if pairs else f", {percent(last.efficiency)} efficiency"
    if last.communication is not None:
        about += f", {percent(last.communication)} of their time is communication"
    return "; ".join([*parts, about])


def flags(sizes: Sequence["Size"]) -> tuple[str, ...]:
    """Returns what is wrong with the figures."""
    by_size = {size.world_size: size for size in sizes}
    found = []
    outdone = [size for size in sizes if size.outdone_by]
    for size in outdone:
        large = by_size[size.outdone_by]
        found.append(
            f"{large.world_size} ranks do {percent(size.cost / large.cost)} of what the time on "
            f"{size.world_size} promises: the run on {size.world_size} was slow, and is left out "
            "of the laws"
        )
    if outdone:
        found.append(f"usual causes, in the smaller run: {'; '.join(_CAUSES)}")
    for size in sizes:
        if size.slower_than:
            found.append(
                f"{size.world_size} ranks take {duration(size.seconds)}, against "
                f"{duration(by_size[size.slower_than].seconds)} on {size.slower_than}: what is "
                "added in communication is more than what is saved; use fewer, or give each more "
                "work (a larger batch)"
            )
    return tuple(found)


def _table(
    kind: str, known: bool, work: str, sizes: Sequence["Size"], reference: "Size"
) -> list[str]:
    why = {
        ("strong", True): "the same global batch",
        ("weak", True): "the same batch on each rank",
        ("strong", False): "taken to be the same work; no batch sizes are given",
    }[kind, known]
    lines = [
        f"{kind.capitalize()} scaling ({why}), time for {work}:",
        f"{'ranks':>7}{'time':>11}{'speed-up':>10}{'efficiency':>12}{'communication':>15}",
    ]
    for size in sizes:
        share = "–" if size.communication is None else percent(size.communication)
        marks = [f"mean of {size.runs} runs"] if size.runs > 1 else []
        marks += [f"slow beside {size.outdone_by}"] if size.outdone_by else []
        marks += [f"slower than {size.slower_than}"] if size.slower_than else []
        line = f"{size.world_size:>7}{duration(size.seconds):>11}{size.speedup:>10.2f}"
        line += f"{percent(size.efficiency):>12}{share:>15}"
        lines.append(line + (f"  ◀ {', '.join(marks)}" if marks else ""))
    n = reference.world_size
    least = "" if n == 1 else " (at least: they communicate, too)"
    lines.append(f"Communication is what is lost against {n} rank{'s' * (n > 1)}{least}.")
    return lines


def _law(law: Law) -> str:
    if law.name == "alpha-beta":
        words = {
            "compute": "compute {} on one rank",
            "latency": "latency {} for each rank more",
            "bandwidth": "bandwidth {}",
        }
        told = [
            words[name].format(_told(estimate, duration))
            for name, estimate in law.parameters.items()
        ]
    else:
        serial = law.parameters["serial"]
        told = [f"{_told(serial, lambda share: percent(share, 1))} serial"]
        if law.name == "amdahl" and serial.value > 1e-6:
            told.append(f"at most {1 / serial.value:.3g} times as fast as one rank")
    line = f"{_TITLES[law.name]}: {', '.join(told)}"
    if law.misfit > 1e-9:
        line += f"; off by {percent(law.misfit, 1)}"
    return line if law.spread else f"{line}; no interval: no more runs than parameters"


def _predicted(
    predictions: dict[int, Estimate], sizes: Sequence["Size"], with_intervals: bool
) -> list[str]:
    if not with_intervals:
        return ["Measure more sizes, or each several times: then there are intervals."]
    lines = [
        f"{n} ranks would take {_told(estimate, duration)}, efficiency "
        f"{percent(sizes[0].cost / (n * estimate.value))}"
        for n, estimate in predictions.items()
    ]
    if not lines:
        lines = ["Neither law fits well enough to predict from."]
    return [
        *lines,
        f"In brackets: {percent(LEVEL)} intervals, if the law is right and errors are independent, "
        "Gaussian and the same share of each time.",
    ]


def _told(estimate: Estimate, write: Callable[[float], str]) -> str:
    if estimate.low is None:
        return write(estimate.value)
    high = "∞" if estimate.high == float("inf") else write(estimate.high)
    return f"{write(estimate.value)} ({write(estimate.low)} … {high})"
