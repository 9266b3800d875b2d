"""What a job is to be: checked once, before a line of its script is written."""

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

from tfsci.job.sites import SITES, Site

SCHEDULERS = ("lsf", "slurm", "pbs")
_SHORTEST = 120  # seconds: less leaves no time between the start and the warning


@dataclass(frozen=True)
class Request:
    """A training script's job; see `request` for the checks.

    Attributes:
        scheduler: One of `SCHEDULERS`.
        nodes: Number of nodes.
        gpus: Per node; 0 for none.
        ranks: Per node; one a GPU.
        cpus: Per rank, as the scheduler counts them; None where it is not known.
        seconds: The wall-clock limit.
        script: The training script and its options, without ``--output`` and ``--resume``.
        output: The run folder, the same after every requeue.
        account: Who pays; ``""`` where nobody is named.
        queue: Queue, partition or quality of service; ``""`` for the default.
        site: The machine, None where it is not known.
        file: The name that the job script is to have.
    """

    scheduler: str
    nodes: int
    gpus: int
    ranks: int
    cpus: int | None
    seconds: int
    script: tuple[str, ...]
    output: str
    account: str = ""
    queue: str = ""
    site: Site | None = None
    file: str = "job.sh"

    @property
    def name(self) -> str:
        """The job's name: the run folder's."""
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", PurePosixPath(self.output).name).strip("-.")
        return name if re.match(r"[A-Za-z]", name) else f"run-{name}".rstrip("-")

    @property
    def warning_seconds(self) -> int:
        """How long before the limit training is told to save and stop: 5 minutes, or a quarter."""
        return min(300, self.seconds // 4)


def request(
    *,
    scheduler: str | None,
    nodes: int,
    gpus_per_node: int,
    time: str,
    script: str,
    ranks_per_node: int | None = None,
    cores_per_node: int | None = None,
    account: str | None = None,
    queue: str | None = None,
    site: str | None = None,
    file: str | None = None,
) -> Request:
    """Returns a request that can be written out; the arguments are the options of the command.

    Raises:
        ValueError: An option that is malformed, or does not fit the site or another option.
    """
    place = SITES[site] if site else None
    if place and scheduler not in (None, place.scheduler):
        raise ValueError(
            f"--scheduler {scheduler}: {place.title} has {place.scheduler}; leave --scheduler out"
        )
    scheduler = place.scheduler if place else scheduler
    if not scheduler:
        raise ValueError(
            f"--scheduler: expected one of {', '.join(SCHEDULERS)}, or --site {' | '.join(SITES)}"
        )
    if place and gpus_per_node > place.gpus:
        raise ValueError(
            f"--gpus-per-node {gpus_per_node}: a node of {place.title} has {place.gpus}; "
            f"ask for 0 to {place.gpus}, and for more --nodes"
        )
    _check_named("account", account, required=bool(place), site=place)
    _check_named("queue", queue, required=bool(place and place.needs_queue), site=place)
    if gpus_per_node and ranks_per_node not in (None, gpus_per_node):
        raise ValueError(
            f"--ranks-per-node {ranks_per_node}: a GPU has one rank; leave it out, or ask for "
            "--gpus-per-node 0"
        )
    ranks = gpus_per_node or ranks_per_node or 1
    words, output = _words(script)
    return Request(
        scheduler=scheduler,
        nodes=nodes,
        gpus=gpus_per_node,
        ranks=ranks,
        cpus=_cpus_per_rank(ranks, gpus_per_node, cores_per_node, place),
        seconds=_seconds(time),
        script=words,
        output=output or f"runs/{PurePosixPath(words[0]).stem}-{nodes}x{ranks}",
        account=account or "",
        queue=queue or "",
        site=place,
        file=_one_line("--output", file or "job.sh"),
    )


def _cpus_per_rank(ranks: int, gpus: int, cores: int | None, site: Site | None) -> int | None:
    """A rank's share of the cores; of a GPU that is the GPU's share, whatever the job takes."""
    share = ranks
    if site and not cores:
        cores = site.cores if gpus else site.cpu_cores or site.cores
        share = site.gpus if gpus else ranks
    if not cores:
        return None
    if share > cores:
        raise ValueError(
            f"{ranks} ranks on a node of {cores} cores: expected at most one a core; ask for "
            "fewer --ranks-per-node"
        )
    return cores // share * (site.threads if site else 1)


def _check_named(option: str, value: str | None, required: bool, site: Site | None) -> None:
    if value is None and not required:
        return
    if value is None:
        raise ValueError(f"--{option}: {site.title} needs it; name your {option}")
    if not re.fullmatch(r"[A-Za-z0-9_.:+][A-Za-z0-9_.:+-]*", value):
        raise ValueError(
            f"--{option} {value!r}: expected letters, digits and _ . : + - (not first); "
            f"name the {option} as the centre does"
        )


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?", text, re.ASCII)
    if not found:
        raise ValueError(f"--time {text!r}: expected HH:MM or HH:MM:SS, as in 02:30:00")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if total < _SHORTEST:
        raise ValueError(
            f"--time {text}: expected at least 00:02:00, of which the last quarter is for saving"
        )
    return total


def _words(script: str) -> tuple[tuple[str, ...], str | None]:
    """Returns the words of a training command without its run folder, and the run folder."""
    try:
        words = shlex.split(_one_line("--script", script))
    except ValueError as error:
        if str(error).startswith("--"):
            raise
        raise ValueError(f"--script {script!r}: {error}; close the quotation") from error
    if not words or not words[0].endswith(".py") or words[0].startswith("-"):
        raise ValueError(
            f"--script {script!r}: expected a training script's .py file first, then its options, "
            'as in "scripts/train_cnn.py --epochs 16"'
        )
    kept, output, rest = [], None, iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if len(name) > 2 and "--resume".startswith(name):
            raise ValueError(f"--script: leave {word} out; the job script adds it when it is due")
        if len(name) > 2 and "--output".startswith(name):
            output = value if equals else next(rest, "")
            if not output.strip("/. ") or output.startswith("-"):
                raise ValueError(f"--script: expected a run folder after --output, got {output!r}")
        else:
            kept.append(word)
    return tuple(kept), output


def _one_line(option: str, text: str) -> str:
    if not text.isprintable():  # a line of its own could be a directive of the scheduler
        raise ValueError(f"{option} {text!r}: expected one line of printable characters")
    return text
