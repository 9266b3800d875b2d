"""Which rank is missing, judged from what each rank tells of itself.

All ranks enter the same exchanges in the same order, so a rank that has entered fewer than another
is the one that the other waits for. How long it may take follows from how long the same work took
the others: a long compilation, a long validation or slow steps are no fault.
"""

import os
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from tfsci.distributed.strategy import ranks_as_text

_SECONDS = 30.0

# The chief alone writes files, while the others are at the next exchange already.
_FOR_FILES = 10

_SECONDS_TO_COLLECT = 0.5  # a node takes all its ranks along
_SECONDS_TO_SPEAK = 5.0  # in which a rank that failed tells why by itself
_PAUSE = 5.0  # seconds without a look: this process was stopped, not the others


@dataclass
class _Rank:
    host: str
    heard: float
    changed: float
    doing: str = "start-up"
    exchanges: int = 0
    took: float = 0.0  # from one exchange to the next
    end: str = ""  # how it ended; "" while it is there
    ended: float = 0.0


@dataclass(frozen=True)
class Missing:
    """Ranks that the others can't go on without.

    Attributes:
        ranks: Which.
        message: What became of them, for a person.
    """

    ranks: tuple[int, ...]
    message: str


class Roll:
    """What is known of every rank.

    Args:
        patience: Seconds without a sign, or that others wait in vain, before a rank is missing.
        clock: Returns seconds.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic):
        self._patience, self._clock = patience, clock
        self._ranks = {}
        self._looked = clock()

    def join(self, rank: int, host: str) -> None:
        """Notes that a rank is there."""
        now = self._clock()
        self._ranks[rank] = _Rank(host, now, now)

    def joined(self) -> set[int]:
        """Returns the ranks that ever came."""
        return set(self._ranks)

    def note(self, rank: int, doing: str, exchanges: int) -> None:
        """Notes what a rank tells of itself.

        Args:
            rank: Which.
            doing: What it is at, as in "during training step 3".
            exchanges: How many exchanges it has entered.
        """
        known, now = self._ranks[rank], self._clock()
        known.heard, known.doing = now, doing
        if exchanges != known.exchanges:
            known.took, known.changed, known.exchanges = now - known.changed, now, exchanges

    def end(self, rank: int, how: str) -> None:
        """Notes a rank's end.

        Args:
            rank: Which; the first end of it counts.
            how: ``"left"`` for a good one, ``"gone"`` for one without a word, else its error.
        """
        known = self._ranks[rank]
        if not known.end:
            known.end, known.ended = how, self._clock()

    def drop(self, rank: int) -> None:
        """Judges a rank no more."""
        self._ranks[rank].end = "left"

    def missing(self) -> Missing | None:
        """Returns the ranks that are missing by now, if any."""
        now = self._clock()
        paused, self._looked = now - self._looked > _PAUSE, now
        here = {r: known for r, known in self._ranks.items() if not known.end}
        if paused:
            for known in here.values():
                known.heard = known.changed = now
            return None
        return self._ended(now) or self._silent(here, now) or self._behind(here, now)

    def _ended(self, now: float) -> Missing | None:
        gone = [r for r, known in self._ranks.items() if known.end == "gone"]
        if gone and now - min(self._ranks[r].ended for r in gone) >= _SECONDS_TO_COLLECT:
            return self._say(gone, "ended without a word in")
        ends = ("", "left", "gone")
        failed = [r for r, known in self._ranks.items() if known.end not in ends]
        late = [r for r in failed if now - self._ranks[r].ended >= _SECONDS_TO_SPEAK]
        if late:
            return self._say(late[:1], "failed in", self._ranks[late[0]].end)
        return None

    def _silent(self, here: dict[int, _Rank], now: float) -> Missing | None:
        silent = [r for r, known in here.items() if now - known.heard > self._patience]
        if not silent:
            return None
        seconds = now - max(here[r].heard for r in silent)
        why = f"no sign for {seconds:.0f} s, so it was stopped, or is out of reach"
        return self._say(silent, "went silent in", why)

    def _behind(self, here: dict[int, _Rank], now: float) -> Missing | None:
        fewest = min((known.exchanges for known in here.values()), default=0)
        ahead = [known for known in here.values() if known.exchanges > fewest]
        if not ahead:
            return None
        late = [r for r, known in here.items() if known.exchanges == fewest]
        waited = now - min(known.changed for known in ahead)
        patience = self._patience
        if 0 in late and not here[0].doing.startswith("training step"):
            patience *= _FOR_FILES
        if waited <= patience + 2 * max(known.took for known in ahead):
            return None
        for_what = ""
        if all(known.doing.startswith("training step") for known in ahead):
            for_what = f", for the gradients of {ahead[0].doing}"
        why = f"the others have waited for {waited:.0f} s{for_what}"
        return self._say(late, f"hang{'s' * (len(late) == 1)} in", why)

    def _say(self, ranks: Sequence[int], what: str, why: str = "") -> Missing:
        ranks = sorted(ranks)
        hosts = sorted({self._ranks[r].host for r in ranks})
        more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
        where = f"host{'s' * (len(hosts) > 1)} {', '.join(hosts[:3])}{more}"
        who, doing = f"{ranks_as_text(ranks)} on {where}", self._ranks[ranks[0]].doing
        return Missing(tuple(ranks), f"{who} {what} {doing}{why and ': ' + why}")


def rank_timeout(environ: Mapping[str, str] = os.environ) -> float:
    """Returns the seconds in which all ranks end where one is missing.

    Raises:
        ValueError: ``TFSCI_RANK_TIMEOUT`` is no number from 3 up.
    """
    text = environ.get("TFSCI_RANK_TIMEOUT", str(_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 3 <= seconds < 1e9:
        raise ValueError(f"TFSCI_RANK_TIMEOUT={text!r}: expected a number of seconds from 3 up")
    return seconds


def set_bounds(environ: MutableMapping[str, str] = os.environ) -> None:
    """Makes Horovod wait a little longer than the watch, so that it is the watch that speaks.

    Call it before Horovod starts; what the user has set stays.
    """
    seconds = rank_timeout(environ)
    # Gloo gives up on a rank that does not answer; the stall check only warns.
    environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", f"{max(_SECONDS, seconds):.0f}")
    environ.setdefault("HOROVOD_STALL_CHECK_TIME_SECONDS", f"{max(2 * _SECONDS, 2 * seconds):.0f}")
