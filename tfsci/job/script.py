"""The text of a job script, for each scheduler.

All have the same body. Where the run folder holds a run, training goes on with ``--resume``.
Some minutes before the wall-clock limit every rank gets SIGUSR1, saves and stops. A run that was
cut short so, and has saved something new, goes back into the queue; one that fails does not.
"""

import shlex
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from tfsci.job.request import Request

_BODY = """\
#!/bin/bash
{directives}
#
# {title}, made by `tfsci job`.
# Submit it from the folder that holds scripts/, where logs/ has to be there first:
#   mkdir -p logs && {submit}
{notes}
# What has to be set up before python runs; fill in, and take the # away:
{setup}
# source .venv/bin/activate

{prologue}output={output}
resume=
if [ -e "$output/config.json" ]; then resume=--resume; fi
saved() {{ ls "$output/checkpoints" 2> /dev/null; }}
before=$(saved)
trap : USR1  # the warning before the limit is for python; this shell lives on

{launch}
code=$?

# Finished, or failed. 138 is a python that the warning ended; 0 without metrics.json, one it cut.
if [ "$code" -ne 0 ] && [ "$code" -ne 138 ]; then exit "$code"; fi
if [ "$code" -eq 0 ] && [ -e "$output/metrics.json" ]; then exit 0; fi
if [ "$(saved)" = "$before" ]; then
    echo "cut short before anything new was saved: ask for more --time; not queued again" >&2
    exit 1
fi
echo "cut short; queued again, to go on with --resume"
{again}
"""


class _Parts(NamedTuple):
    """What differs between schedulers; the fields fill the gaps of the body."""

    directives: list[str]
    submit: str
    launch: str
    again: str
    prologue: str = ""


def script(request: Request) -> str:
    """Returns the job script of a request."""
    parts = _SCHEDULERS[request.scheduler](request)
    site = request.site
    notes = [f"Facts of the machine: {site.source}"] if site else []
    if site and site.note:
        notes.append(f"{site.title}: {site.note}.")
    setup = site.setup if site else ("module load …",)
    return _BODY.format(
        directives="\n".join(parts.directives),
        title=f"{_what(request)}{f' on {site.title}' if site else ''}",
        submit=parts.submit,
        notes="".join(f"{_comment(note)}\n" for note in notes),
        setup="\n".join(f"# {line}" for line in setup),
        prologue=parts.prologue,
        output=shlex.quote(request.output),
        launch=parts.launch,
        again=parts.again,
    )


def _lsf(request: Request) -> _Parts:
    """IBM LSF with jsrun: resource sets of one rank, its GPU and its cores."""
    site, total = request.site, request.nodes * request.ranks
    minutes = -(-request.seconds // 60)
    directives = _directives(
        "#BSUB",
        f"-J {request.name}",
        f"-nnodes {request.nodes}",
        f"-W {minutes // 60:02}:{minutes % 60:02}",
        request.account and f"-P {request.account}",
        request.queue and f"-q {request.queue}",
        *_site_directives(request),
        f"-o logs/{request.name}-%J.out",
        f"-e logs/{request.name}-%J.err",
        "-wa USR1",
        f"-wt {max(1, request.warning_seconds // 60)}",
        "-Q 99",
    )
    launcher = ["jsrun", f"-n {total}", f"-r {request.ranks}", "-a 1"]
    if request.cpus:
        launcher.append(f"-c {request.cpus}")
    launcher.append(f"-g {1 if request.gpus else 0}")
    if request.cpus:
        launcher += [f"-b packed:{request.cpus}", "-d packed"]
    if request.gpus and site:
        launcher += site.launch
    what = (
        f"{total} resource sets: each one rank{', its GPU' if request.gpus else ''} and its cores."
    )
    launch = _launch([what], [launcher], request)
    again = "exit 99  # which -Q above turns into a place in the queue, under the same job number"
    return _Parts(directives, f"bsub < {_file(request)}", launch, again)


def _slurm(request: Request) -> _Parts:
    """Slurm: a task of srun is a rank; the signal goes to the tasks, not to this shell."""
    site = request.site
    directives = _directives(
        "#SBATCH",
        f"-J {request.name}",
        f"-N {request.nodes}",
        f"--ntasks-per-node={request.ranks}",
        request.cpus and f"--cpus-per-task={request.cpus}",
        request.gpus and f"--gpus-per-node={request.gpus}",
        f"-t {_clock(request.seconds)}",
        request.account and f"-A {request.account}",
        request.queue and f"{(site and site.queue_flag) or '-p'} {request.queue}",
        *_site_directives(request),
        "-o logs/%x-%j.out",
        "--open-mode=append",
        f"--signal=USR1@{request.warning_seconds}",
        "--requeue",
    )
    launcher = [
        "srun",
        f"--ntasks={request.nodes * request.ranks}",
        f"--ntasks-per-node={request.ranks}",
    ]
    if request.cpus:  # srun does not take it over from sbatch
        launcher += [f"--cpus-per-task={request.cpus}", "--cpu-bind=cores"]
    if request.gpus:
        launcher += ["--gpus-per-task=1", *(site.launch if site else ())]
    launcher.append("--kill-on-bad-exit=1")
    launch = _launch([], [launcher], request)
    again = 'scontrol requeue "$SLURM_JOB_ID"'
    return _Parts(directives, f"sbatch {_file(request)}", launch, again)


def _pbs(request: Request) -> _Parts:
    """PBS Pro with PALS: it warns nobody before the limit, so each rank brings its own clock."""
    site, total = request.site, request.nodes * request.ranks
    chunk = site.chunk if site else f"mpiprocs={request.ranks}"
    if not site and request.cpus:
        chunk = f"ncpus={request.cpus * request.ranks}:{chunk}"
    if not site and request.gpus:
        chunk += f":ngpus={request.gpus}"
    directives = _directives(
        "#PBS",
        f"-N {request.name}",
        f"-l select={request.nodes}:{chunk}",
        f"-l walltime={_clock(request.seconds)}",
        request.account and f"-A {request.account}",
        request.queue and f"-q {request.queue}",
        *_site_directives(request),
        "-j oe",
        "-o logs/",
        "-r y",
    )
    prologue = textwrap.dedent("""\
        cd "$PBS_O_WORKDIR" || exit
        # All ranks are to read the node list, which PBS leaves on the first node alone.
        cp "$PBS_NODEFILE" "logs/$PBS_JOBID.nodes" || exit
        export PBS_NODEFILE="$PWD/logs/$PBS_JOBID.nodes"

        """)
    launcher = ["mpiexec", f"-n {total}", f"--ppn {request.ranks}"]
    wrapper, reasons = [], []
    if request.cpus:
        lists = site.cpu_lists if site and request.gpus else ()
        launcher.append(
            f"--cpu-bind list:{':'.join(lists[: request.ranks])}"
            if lists
            else f"--depth={request.cpus} --cpu-bind depth"
        )
    if site and request.gpus and site.wrapper:
        reasons.append(site.wrapper_reason)
        wrapper.append([site.wrapper])
    limit = request.seconds - request.warning_seconds
    reasons.append("PBS warns nobody before the limit: timeout tells each rank.")
    clock = f"timeout --foreground --preserve-status --signal=USR1 $(({limit} - SECONDS))"
    launch = _launch(reasons, [launcher, *wrapper, [clock]], request)
    again = f"qsub {_file(request)}  # this file, from where it was submitted"
    return _Parts(directives, f"qsub {_file(request)}", launch, again, prologue)


_SCHEDULERS = {"lsf": _lsf, "slurm": _slurm, "pbs": _pbs}


def _directives(prefix: str, *options: object) -> list[str]:
    return [f"{prefix} {option}" for option in options if option]


def _site_directives(request: Request) -> tuple[str, ...]:
    if not request.site:
        return ()
    site = request.site
    return site.directives + (site.gpu_directives if request.gpus else site.cpu_directives)


def _launch(reasons: Sequence[str], parts: Sequence[Sequence[str]], request: Request) -> str:
    """Returns the command that trains.

    Args:
        reasons: A comment each, above it.
        parts: The launcher's words, and those of the commands between it and python.
        request: Whose training it is.
    """
    training = ["python", *map(shlex.quote, request.script), '--output "$output" $resume']
    command = " \\\n    ".join(_folded(part) for part in [*parts, training])
    return "\n".join([*map(_comment, reasons), command])


def _folded(words: Sequence[str]) -> str:
    """Joins words of a command to lines of 96 characters where they can be."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < 96:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return " \\\n        ".join(lines)


def _what(request: Request) -> str:
    many = request.gpus or request.ranks
    what = "GPU" if request.gpus else "CPU rank"
    nodes = "1 node" if request.nodes == 1 else f"{request.nodes} nodes"
    return f"{nodes} × {many} {what}{'s' * (many > 1)}"


def _comment(text: str) -> str:
    wrap = {"initial_indent": "# ", "subsequent_indent": "# ", "break_long_words": False}
    return textwrap.fill(text, 100, break_on_hyphens=False, **wrap)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _file(request: Request) -> str:
    return shlex.quote(f"./{request.file}" if request.file[0] == "-" else request.file)
