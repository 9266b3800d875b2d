"""Which of several processes holds back the others, and by what."""

from dataclasses import dataclass

from tfsci.profile.reading import Host

# A rank this much slower than the others holds them back.
_STRAGGLES = 1.2


@dataclass(frozen=True)
class Rank:
    """One process among others.

    Attributes:
        name: Name of its trace's file without the ending, ``node7.rank3``.
        steps: Number of steps.
        step_seconds: Their mean.
        own_seconds: The same without the wait for other ranks.
        slow_part: What it spends more on than the usual rank does, of `breakdown.PARTS`; empty
            where it is not much slower.
    """

    name: str
    steps: int
    step_seconds: float
    own_seconds: float
    slow_part: str


def own_seconds(host: Host) -> float:
    """Returns the time of a step without the wait for other ranks."""
    return host.step_seconds - host.breakdown.parts["communication"]


def compare(hosts: list[Host]) -> tuple[Rank, ...]:
    """Returns the ranks by name, those that hold back the others with what by."""
    return tuple(_rank(host, [other for other in hosts if other is not host]) for host in hosts)


def _rank(host: Host, others: list[Host]) -> Rank:
    mine, slow = own_seconds(host), ""
    if others:
        usual = sorted(others, key=own_seconds)[len(others) // 2]
        if mine > _STRAGGLES * own_seconds(usual):
            parts, theirs = host.breakdown.parts, usual.breakdown.parts
            slow = max(parts.keys() - {"communication"}, key=lambda p: parts[p] - theirs[p])
    return Rank(host.name, host.steps, host.step_seconds, mine, slow)
