"""What to change first, from what a timeline shows."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfsci.profile.text import duration, percent
from tfsci.profile.timeline.text import of_bytes

if TYPE_CHECKING:
    from tfsci.profile.timeline.digest import Digest, Waiting

# Buckets of this size are large enough that a message's own cost is small beside its bytes.
_BUCKET_BYTES = 4 << 20
# A rank that is last in so many steps is a straggler, where others would be last by chance.
_STRAGGLES = 0.8
# Of so many steps, and of half of them: those that the file tells of unasked are a run's first.
_FEWEST_TOLD = 5
# What takes less than this share of a step is not worth a change.
_WORTH = 0.05
# On a faster link, adding up 16 bits in software takes longer than sending half the bytes saves.
_SLOW_LINK = 100e6
# A share of a step that is much.
_MUCH = 0.2


@dataclass(frozen=True)
class Suggestion:
    """What a timeline comes to, and one change.

    Attributes:
        verdict: ``straggler``, ``small-messages``, ``uneven``, ``slow-exchange`` or ``fine``.
        answer: The same in a sentence.
        what: What to do.
        why: The reason, with its figures.
        environ: The variables that do it, to put in front of the command; none where it takes more.
    """

    verdict: str
    answer: str
    what: str
    why: str
    environ: dict[str, str]


def suggest(digest: "Digest") -> Suggestion:
    """Returns what costs a step most of what can be changed."""
    step, waiting = digest.step_seconds, digest.waiting
    rank = max(waiting.last, key=waiting.last.get, default=None)
    straggles = _is_told(digest) and waiting.last.get(rank, 0) >= _STRAGGLES
    lost = waiting.behind[rank] * waiting.last[rank] if straggles else 0.0
    saved = max(0.0, digest.messages - _needed(digest)) * (digest.message_seconds or 0)
    if lost > max(saved, _WORTH * step):
        return _straggler(rank, waiting, lost, step)
    if saved > _WORTH * step:
        return _small_messages(digest, saved)
    if waiting.seconds > _MUCH * step:
        return _uneven(rank if _is_told(digest) else None, waiting, step)
    if digest.parts["exchange"] > _MUCH * step:
        return _slow_exchange(digest)
    moves = sum(digest.parts[part] for part in ("exchange", "copy in", "copy out")) / step
    return Suggestion(
        "fine",
        f"Little to gain in the exchange: it moves something during {percent(moves)} of each step",
        "nothing",
        "no part of the exchange that can be shortened takes much of a step",
        {},
    )


def _is_told(digest: "Digest") -> bool:
    return digest.waiting.told >= max(_FEWEST_TOLD, digest.steps / 2)


def _needed(digest: "Digest") -> int:
    """Returns how many messages a step's bytes would fill."""
    return max(1, math.ceil(digest.messages * (digest.message_bytes or 0) / _BUCKET_BYTES))


def _straggler(rank: int, waiting: "Waiting", lost: float, step: float) -> Suggestion:
    return Suggestion(
        "straggler",
        f"A straggler: rank {rank} is last in {percent(waiting.last[rank])} of the steps, the "
        f"others wait {duration(waiting.behind[rank])} of {duration(step)} for it",
        f"look at the input of rank {rank}, and at what else runs there",
        f"without it a step would take up to {duration(lost)} less; --profile traces all ranks, "
        "and 'tfsci profile report' says where the slow one spends its time",
        {},
    )


def _small_messages(digest: "Digest", saved: float) -> Suggestion:
    each, count = digest.message_seconds, digest.messages
    answer = (
        f"Small messages: {count:.3g} a step, of {of_bytes(digest.message_bytes)}, cost "
        f"{duration(each)} each however small they are: {duration(count * each)} of "
        f"{duration(digest.step_seconds)}"
    )
    why = f"{_needed(digest)} a step would do, and save up to {duration(saved)}"
    environ = {"HOROVOD_FUSION_THRESHOLD": str(_BUCKET_BYTES)}
    if digest.tensors < 1.5:
        why = f"each tensor travels alone; {why} (is it as large? Then "
        why += "HOROVOD_DISABLE_GROUP_FUSION=0)"
    else:
        why = f"{digest.tensors:.2g} tensors share a message; {why} (is it as large? Then try "
        why += "HOROVOD_CYCLE_TIME=10: less CPU for messages, each comes later)"
    what = " ".join(f"{name}={value}" for name, value in environ.items())
    return Suggestion("small-messages", answer, f"{what}, for larger messages", why, environ)


def _uneven(rank: int | None, waiting: "Waiting", step: float) -> Suggestion:
    answer = (
        f"Uneven: from the first rank to the last it takes {duration(waiting.seconds)} of "
        f"{duration(step)}"
    )
    if rank is not None:
        what = "give the ranks equal work: samples of equal length, cores of their own"
        often = percent(waiting.last[rank])
        why = f"which rank is last changes; rank {rank}, the most often, is in {often} of the steps"
        return Suggestion("uneven", answer, what, why, {})
    environ = {"HOROVOD_CACHE_CAPACITY": "0", "HOROVOD_CYCLE_TIME": "0.02"}
    what = "trace again with HOROVOD_CACHE_CAPACITY=0 HOROVOD_CYCLE_TIME=0.02"
    why = "the file then tells which rank is last, and whether it is always the same"
    return Suggestion("uneven", answer, what, why, environ)


def _slow_exchange(digest: "Digest") -> Suggestion:
    share = percent(digest.parts["exchange"] / digest.step_seconds)
    answer = f"A slow exchange: something moves between the ranks during {share} of each step"
    if digest.classes:
        answer += f", at {of_bytes(digest.classes[-1].bytes_per_second)}/s"
    what = "exchange less often: --accumulate 4, or a larger batch"
    why = "the messages are large, so it is their bytes that take the time"
    slow = digest.classes and digest.classes[-1].bytes_per_second < _SLOW_LINK
    why += f"; {'' if slow else 'on GPUs '}--compression fp16 halves them"
    return Suggestion("slow-exchange", answer, what, why, {})
