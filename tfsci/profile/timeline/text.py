"""What a timeline shows, in words, for a terminal."""

import textwrap
from typing import TYPE_CHECKING

from tfsci.profile.text import clean, duration, percent

if TYPE_CHECKING:
    from tfsci.profile.timeline.advice import Suggestion
    from tfsci.profile.timeline.digest import Digest

_WORDS = {
    "exchange": "between the ranks",
    "copy in": "into the fusion buffer",
    "copy out": "out of it",
    "queue": "waiting for its turn",
    "negotiation": "waiting for the last rank",
    "nothing": "no tensor there yet",
}
_BAR, _WIDTH = 30, 100
# A share of a step that is worth a line.
_MUCH = 0.1


def write(digest: "Digest", suggestion: "Suggestion") -> str:
    """Returns the answer, where a step's exchange goes, its messages, its ranks, and the advice."""
    lines = [
        suggestion.answer,
        "",
        f"The exchange takes {duration(digest.exchange_seconds)} of a step of "
        f"{duration(digest.step_seconds)} (mean of {digest.steps}), from the first tensor to the "
        "last:",
    ]
    for part, seconds in digest.parts.items():
        share = seconds / digest.exchange_seconds
        bar = "█" * round(share * _BAR)
        lines.append(f"  {_WORDS[part]:<26}{duration(seconds):>10} {share:6.1%}  {bar}".rstrip())
    lines += ["", *_messages(digest), "", *_ranks(digest), ""]
    for line in (f"What to change: {suggestion.what}", f"  because {suggestion.why}"):
        lines += textwrap.wrap(line, _WIDTH, subsequent_indent="  ")
    return "\n".join(map(clean, lines))


def _messages(digest: "Digest") -> list[str]:
    tensors, size = digest.tensors, ""
    if digest.message_bytes is not None:
        size = f", {of_bytes(digest.message_bytes)}"
    lines = [
        f"{digest.messages:.3g} messages a step; in each, on average, {tensors:.3g} tensors{size}:"
    ]
    for one in digest.classes:
        sizes = of_bytes(one.least)
        sizes += f" … {of_bytes(one.most)}" if one.most > one.least else ""
        rate = f"{of_bytes(one.bytes_per_second)}/s"
        lines.append(
            f"  {sizes:<22}{one.messages:>6.3g} a step {duration(one.seconds):>10} each {rate:>14}"
        )
    if digest.message_seconds is not None:
        lines.append(f"  {duration(digest.message_seconds)} of each however small")
    return lines


def _ranks(digest: "Digest") -> list[str]:
    waiting = digest.waiting
    lines = [f"A step waits {duration(waiting.seconds)} from the first rank to the last."]
    for rank, share in waiting.last.items():
        lines.append(
            f"  rank {rank} is last in {percent(share)} of {waiting.told} steps, then by "
            f"{duration(waiting.behind[rank])}"
        )
    if waiting.told < digest.steps:
        lines.append(
            f"  which rank was last is told in {waiting.told} of {digest.steps} steps; with "
            "HOROVOD_CACHE_CAPACITY=0 in all"
        )
    if waiting.unseen and waiting.unseen > _MUCH * digest.step_seconds:
        lines.append(
            f"  rank 0 may be late by {duration(waiting.unseen)} unseen; with "
            "HOROVOD_CYCLE_TIME=0.02 it looks more often"
        )
    return lines


def of_bytes(size: float) -> str:
    """Returns a number of bytes with a unit that suits it: ``4.2 MB``."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size:.3g} B"
