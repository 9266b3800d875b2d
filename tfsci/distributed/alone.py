"""Finds processes of one command that each believe they are alone.

The classic is a launcher whose variables are not known here, or a shell loop that sets none: each
process would train by itself, all in one run folder, and nothing would say so. What Linux' /proc
tells of a process's parent and of its twins gives them away.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Twins were started within so many seconds.
_TOGETHER = 5.0
# A twin that is found out stays for so long, that the others find it before it has gone.
_PATIENCE = 60.0
# By this name of its own a process tells that it has been found out.
_FOUND_OUT = "tfsci-refused"

# Names, of at most 15 characters, of what starts ranks; those that are alone too, as the daemons
# of Slurm and PBS which start a batch script, are left out.
_LAUNCHERS = ("orted", "prted", "prterun", "mpirun", "mpiexec", "orterun", "mpiexec.hydra",
              "hydra_pmi_proxy", "pmi_proxy", "mpispawn", "palsd", "jsmd", "apinit")  # fmt: skip
# What tells the jobs of a scheduler's array apart, whose scripts may run one command.
_JOB = (b"SLURM_JOB_ID", b"PBS_JOBID", b"LSB_JOBID", b"LSB_JOBINDEX", b"JOB_ID", b"SGE_TASK_ID")
_SCHEDULERS = (("SLURM_JOB_ID", "srun -n"), ("LSB_JOBID", "jsrun -n"), ("PBS_JOBID", "mpiexec -n"))


@dataclass(frozen=True)
class _Process:
    """What /proc/PID tells."""

    pid: int
    name: str
    state: str
    parent: int
    start: float  # seconds since the machine started
    path: Path

    @property
    def command(self) -> list[str]:
        """Its command line; [] once it has ended."""
        text = (self.path / "cmdline").read_bytes().decode(errors="replace")
        return text.removesuffix("\0").split("\0") if text else []

    @property
    def folder(self) -> str:
        """Its working directory."""
        return os.readlink(self.path / "cwd")


def check(
    environ: Mapping[str, str] = os.environ,
    proc: Path = Path("/proc"),
    pid: int | None = None,
    patience: float = _PATIENCE,
) -> None:
    """Raises where this process, which no launcher told its rank, is not alone.

    Twins are processes of one user, command line and working directory, started together by one
    parent, or by wrappers (``sh -c``, ``timeout``) that are twins. Nothing is checked without
    /proc.

    Args:
        environ: The process's environment; ``TFSCI_ALONE=1`` in it turns the check off.
        proc: Where the system tells of processes.
        pid: This process.
        patience: Seconds to wait for twins that have not checked yet, so that all find each other.

    Raises:
        ValueError: There are twins, or an MPI launcher started this process.
    """
    pid = pid or os.getpid()
    if environ.get("TFSCI_ALONE") == "1" or not (me := _process(proc, pid)):
        return
    try:
        command = me.command
        parent = _process(proc, me.parent)
        # A fork of a training, such as one of a pool's workers, was not launched.
        if not _names_a_program(command) or (parent and parent.command == command):
            return
        ancestors = _ancestors(proc, me)
        twins = _twins(proc, me)
        starter = _starter(proc, ancestors, twins)
        if twins and patience:
            twins = _wait_for(proc, me, twins, patience)
    except OSError:
        return
    program = _shortened(command)
    if twins:
        number = len(twins) + 1
        raise ValueError(
            f"{number} processes of this command were started together by {starter}, and nothing "
            f"tells them apart: each would train alone; start them with "
            f"'{_right_command(environ, number)} {program}', or set RANK and WORLD_SIZE for each; "
            "for separate runs give each its own --output, or set TFSCI_ALONE=1"
        )
    if launcher := next((each.name for each in ancestors if each.name in _LAUNCHERS), None):
        raise ValueError(
            f"{launcher} started this process without a variable that tells its rank: each of its "
            f"processes would train alone; use '{_right_command(environ, 'N')} {program}', or set "
            f"RANK and WORLD_SIZE for each; for one process leave out {launcher}, or set "
            "TFSCI_ALONE=1"
        )


def _process(proc: Path, pid: int) -> _Process | None:
    path = proc / str(pid)
    try:
        text = (path / "stat").read_text(errors="replace")
    except OSError:
        return None
    # proc_pid_stat(5): pid (name) state parent … start; the name may hold any sign.
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    start = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return _Process(pid, name, fields[0], int(fields[1]), start, path)


def _ancestors(proc: Path, process: _Process, most: int = 3) -> list[_Process]:
    """The parent and, past wrapper scripts, the next ones."""
    found = []
    while len(found) < most and (parent := _process(proc, process.parent)):
        found.append(process := parent)
    return found


def _twins(proc: Path, me: _Process) -> list[_Process]:
    """The twins that are alive."""
    command, folder, user = me.command, me.folder, me.path.stat().st_uid
    twins = []
    for other in _all(proc):
        try:
            if (
                _are_twins(proc, me, other, command)
                and other.folder == folder
                and other.path.stat().st_uid == user
                and _job(other) == _job(me)
            ):
                twins.append(other)
        except OSError:  # it has ended, or hides from us
            continue
    return twins


def _all(proc: Path) -> Iterator[_Process]:
    for path in proc.iterdir():
        if path.name.isdecimal() and (process := _process(proc, int(path.name))):
            yield process


def _are_twins(
    proc: Path, one: _Process, other: _Process, command: Sequence[str], wrappers: int = 2
) -> bool:
    together = one.pid != other.pid and abs(one.start - other.start) <= _TOGETHER
    # Zombies have ended; what is stopped was put aside by its user.
    if not together or other.state in "ZXT" or other.command != command:
        return False
    if one.parent == other.parent:
        return True
    parent, its = _process(proc, one.parent), _process(proc, other.parent)
    if not (wrappers and parent and its):
        return False
    return _are_twins(proc, parent, its, parent.command, wrappers - 1)


def _job(process: _Process) -> list[bytes]:
    environ = (process.path / "environ").read_bytes().split(b"\0")
    return sorted(each for each in environ if each.partition(b"=")[0] in _JOB)


def _names_a_program(command: Sequence[str]) -> bool:
    """Whether a command line tells what runs: not that of ``python -c`` or ``python < file``.

    Those of workers of multiprocessing, pytest-xdist and others look all the same.
    """
    if not command or not re.match(r"(python|pypy)[\d.]*$", os.path.basename(command[0])):
        return bool(command)
    words = iter(command[1:])
    for word in words:
        if not word.startswith("-"):
            return True
        # Letters of several options may stand together; those of c, m, W and X take a value.
        found = re.match(r"-[^-cmWX]*([cmWX])(.*)", word)
        if found and found[1] in "cm":
            return found[1] == "m"
        if found and not found[2]:
            next(words, None)
    return False


def _wait_for(proc: Path, me: _Process, twins: list[_Process], patience: float) -> list[_Process]:
    """Waits until the twins have been found out too: had this one gone, the last would train.

    Returns:
        The twins, with those that have come meanwhile.
    """
    known = {each.pid: each for each in twins}
    try:
        (me.path / "comm").write_text(_FOUND_OUT)
    except OSError:
        return twins
    begin = time.monotonic()
    age = max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - me.start)
    all_started = begin + _TOGETHER + 1 - age
    while (now := time.monotonic()) < begin + patience:
        here = _twins(proc, me)
        known |= {each.pid: each for each in here}
        if now > all_started and all(each.name == _FOUND_OUT for each in here):
            break
        time.sleep(0.1)
    return list(known.values())


def _starter(proc: Path, ancestors: Sequence[_Process], twins: Sequence[_Process]) -> str:
    """The nearest ancestor that a twin has too."""
    theirs = {each.pid for twin in twins for each in _ancestors(proc, twin)}
    found = next((each for each in ancestors if each.pid in theirs), None)
    return f"{found.name} (process {found.pid})" if found else "the system"


def _right_command(environ: Mapping[str, str], number: int | str) -> str:
    for variable, launcher in _SCHEDULERS:
        if variable in environ:
            return f"{launcher} {number}"
    return f"horovodrun -np {number}"


def _shortened(command: Sequence[str]) -> str:
    words = [os.path.basename(command[0]), *command[1:]]
    return " ".join(words[:2]) + " …" * (len(words) > 2)
