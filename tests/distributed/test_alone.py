"""Processes that each believe they are alone: a made-up /proc, then real ones of a real shell."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from tfsci.distributed import alone

TRAIN = ["/venv/bin/python3", "train.py", "--epochs", "3"]
BASH = ["-bash"]
# Variables of launchers, which tests may themselves run under.
LAUNCHERS = ("HOROVOD_", "OMPI_", "PMI", "PALS_", "SLURM_", "JSM_", "MV2_", "MPI_", "ALPS_")
# Unbuffered, lines of two processes would run into each other.
OTHERS = ("RANK", "WORLD_SIZE", "TF_CONFIG", "TFSCI_ALONE", "PYTHONUNBUFFERED")


@pytest.fixture
def proc(tmp_path):
    """Lays out processes; 1 starts 10, a shell."""

    class Proc:
        path = tmp_path / "proc"

        def add(self, pid, parent, command, start=100.0, name=None, state="S", folder="/work",
                environ=""):  # fmt: skip
            here = self.path / str(pid)
            here.mkdir(parents=True)
            name = name or os.path.basename(command[0]).lstrip("-")
            ticks = round(start * os.sysconf("SC_CLK_TCK"))
            fields = [state, parent, *[0] * 17, ticks, *[0] * 30]
            (here / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))}\n")
            text = "".join(f"{word}\0" for word in command) if state != "Z" else ""
            (here / "cmdline").write_text(text)
            (here / "environ").write_text("".join(f"{each}\0" for each in environ.split()))
            (here / "cwd").symlink_to(folder)

        def check(self, pid, **environ):
            alone.check(environ, self.path, pid, patience=0)

    proc = Proc()
    proc.add(1, 0, ["/sbin/init"], 1.0)
    proc.add(10, 1, BASH, 50.0)
    return proc


def refused(proc, *pids, **environ):
    messages = set()
    for pid in pids:
        with pytest.raises(ValueError) as error:
            proc.check(pid, **environ)
        messages.add(str(error.value))
    (message,) = messages
    return message


class TestTwins:
    def test_of_a_shell_loop_are_all_refused(self, proc):
        for pid in (11, 12, 13):
            proc.add(pid, 10, TRAIN, 100 + pid / 100)
        assert refused(proc, 11, 12, 13) == (
            "3 processes of this command were started together by bash (process 10), and nothing "
            "tells them apart: each would train alone; start them with 'horovodrun -np 3 python3 "
            "train.py …', or set RANK and WORLD_SIZE for each; for separate runs give each its "
            "own --output, or set TFSCI_ALONE=1"
        )
        assert "'srun -n 3 python3 train.py …'" in refused(proc, 11, 12, SLURM_JOB_ID="7")
        proc.check(11, TFSCI_ALONE="1")

    def test_one_process_is_alone(self, proc):
        proc.add(11, 10, TRAIN)
        proc.check(11)

    @pytest.mark.parametrize(
        "other",
        [
            {"command": [*TRAIN, "--seed", "2"]},
            {"command": ["/other/bin/python3", *TRAIN[1:]]},
            {"folder": "/other"},
            {"start": 106.0},
            {"start": 94.0},
            {"state": "Z"},
            {"state": "T"},
            {"parent": 1},
            {"environ": "SLURM_JOB_ID=8 A=b"},
        ],
        ids=lambda other: next(iter(other)) + str(next(iter(other.values()))),
    )
    def test_what_is_not_the_same_is_no_twin(self, proc, other):
        proc.add(11, 10, TRAIN, environ="SLURM_JOB_ID=7")
        proc.add(12, **{"parent": 10, "command": TRAIN, "environ": "SLURM_JOB_ID=7", **other})
        proc.check(11)

    def test_within_wrappers(self, proc):
        for pid in (11, 12):
            proc.add(pid, 10, ["timeout", "60", *TRAIN])
            proc.add(pid + 10, pid, TRAIN)
        assert "started together by bash (process 10)" in refused(proc, 21, 22)

    def test_within_different_wrappers_are_told_apart(self, proc):
        for pid in (11, 12):
            proc.add(pid, 10, ["sh", "-c", f"SEED={pid} {TRAIN}; true"])
            proc.add(pid + 10, pid, TRAIN)
        proc.check(21)

    def test_in_two_terminals_are_separate(self, proc):
        proc.add(20, 1, BASH, 70.0)
        for pid, parent in ((11, 10), (21, 20)):
            proc.add(pid, parent, TRAIN)
        proc.check(11)

    def test_forks_of_a_training_are_its_own(self, proc):
        """Workers of a multiprocessing pool, seen by the training and by themselves."""
        proc.add(11, 10, TRAIN)
        for pid in (12, 13):
            proc.add(pid, 11, TRAIN)
        for pid in (11, 12, 13):
            proc.check(pid)

    @pytest.mark.parametrize(
        "command",
        [
            ["python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()"],
            ["python3.11", "-u", "-c", "import sys;exec(eval(sys.stdin.readline()))"],
            ["/bin/python3", "-Wignore", "-W", "error", "-uc", "pass", "train.py"],
            ["python"],
            ["python", "-"],
        ],
        ids=" ".join,
    )
    def test_what_names_no_program_is_not_judged(self, proc, command):
        for pid in (11, 12):
            proc.add(pid, 10, command)
        proc.check(11)

    @pytest.mark.parametrize(
        "command",
        [
            ["python", "-W", "ignore", "-u", "x.py", "-c"],
            ["python", "-um", "train"],
            ["python3", "-X", "dev", "/venv/bin/train"],
            ["/opt/train"],
        ],
        ids=" ".join,
    )
    def test_what_names_one_is(self, proc, command):
        for pid in (11, 12):
            proc.add(pid, 10, command)
        assert refused(proc, 11, 12).startswith("2 processes of this command")


class TestLaunchers:
    @pytest.mark.parametrize("name", ["prterun", "hydra_pmi_proxy", "palsd", "mpirun"])
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_that_tell_no_rank(self, proc, name, wrapped):
        proc.add(20, 10, [f"/opt/mpi/bin/{name}"], name=name)
        if wrapped:
            proc.add(21, 20, ["sh", "run.sh"])
        proc.add(22, 20 + wrapped, TRAIN)
        assert refused(proc, 22, PBS_JOBID="1") == (
            f"{name} started this process without a variable that tells its rank: each of its "
            "processes would train alone; use 'mpiexec -n N python3 train.py …', or set RANK and "
            f"WORLD_SIZE for each; for one process leave out {name}, or set TFSCI_ALONE=1"
        )
        proc.check(22, TFSCI_ALONE="1")

    @pytest.mark.parametrize("parent", ["slurmstepd", "pbs_mom", "make", "strace", "sshd"])
    def test_what_starts_one_process_too(self, proc, parent):
        """A batch script's parent is the daemon that also starts tasks."""
        proc.add(20, 1, [f"{parent}: [123.batch]"], name=parent)
        proc.add(21, 20, ["/bin/bash", "/var/spool/slurmd/job00123/slurm_script"], name="bash")
        proc.add(22, 21, TRAIN)
        proc.add(23, 20, TRAIN[:2])
        proc.check(22)
        proc.check(23)


def test_without_proc_nothing_is_checked(tmp_path):
    alone.check({}, tmp_path / "proc")


def test_a_process_that_has_gone_is_no_error(proc):
    proc.add(11, 10, TRAIN)
    (proc.path / "12").mkdir()
    (proc.path / "self").mkdir()
    proc.check(11)
    proc.check(99)


PROGRAM = """
import sys, time
from pathlib import Path
from tfsci import command
from tfsci.distributed.strategy import choose

def main():
    Path(sys.argv[1]).mkdir(exist_ok=True)
    if len(sys.argv) > 2 and len(list(Path(sys.argv[1]).iterdir())) == 0:
        Path(sys.argv[1], "first").touch()
        time.sleep(float(sys.argv[2]))  # one of them is slow to load
    choose("single")
    print("trains", flush=True)
    time.sleep(1)

command.run(main)
"""


class TestReal:
    @pytest.fixture
    def shell(self, tmp_path):
        (tmp_path / "train.py").write_text(PROGRAM)
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(LAUNCHERS) and name not in OTHERS
        }

        def run(script):
            result = subprocess.run(
                ["bash", "-c", script.replace("PYTHON", sys.executable)],
                cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            return result.stdout.split(), result.stderr.splitlines()

        return run

    def test_a_shell_loop_is_refused_in_every_process(self, shell):
        """Also where one is slow to load, and one slow to be started."""
        run = "(timeout 100 PYTHON train.py out 2; echo $?) & sleep"
        codes, lines = shell(f"for i in 0 0 1.5; do {run} $i; done; wait")
        assert codes == ["2"] * 3, lines
        assert lines == lines[:1] * 3
        start = "train.py: error: 3 processes of this command were started together by bash ("
        assert lines[0].startswith(start)

    @pytest.mark.slow
    def test_different_commands_pass(self, shell):
        codes, lines = shell("for i in 1 2; do PYTHON train.py out$i & done; wait")
        assert (codes, lines) == (["trains"] * 2, [])

    @pytest.mark.slow
    def test_so_do_those_that_are_told_apart_by_hand(self, shell):
        codes, lines = shell("for i in 1 2; do TFSCI_ALONE=1 PYTHON train.py out & done; wait")
        assert (codes, lines) == (["trains"] * 2, [])

    @pytest.mark.slow
    def test_and_one_after_the_other(self, shell):
        codes, lines = shell("for i in 1 2; do PYTHON train.py out; done")
        assert (codes, lines) == (["trains"] * 2, [])

    def test_a_launcher_that_tells_no_rank(self, shell, tmp_path):
        fake = tmp_path / "prterun"
        shutil.copy(shutil.which("env"), fake)  # whose child keeps no name of it
        fake.write_text(f'#!{shutil.which("bash")}\n"$@"\nexit $?\n')
        codes, lines = shell("./prterun PYTHON train.py out; echo $?")
        assert codes == ["2"]
        assert lines[0].startswith("train.py: error: prterun started this process without")


def test_waiting_for_twins_ends(proc):
    """One that never checks, because it hangs, holds the others for the patience alone."""
    for pid in (11, 12):
        proc.add(pid, 10, TRAIN)
    start = time.monotonic()
    with pytest.raises(ValueError, match="2 processes"):
        alone.check({}, proc.path, 11, patience=0.3)
    assert time.monotonic() - start >= 0.3
    assert (proc.path / "11" / "comm").read_text() == alone._FOUND_OUT
