"""What a test does with the Slurm that cluster.sh runs."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from digits import BIN

_SECONDS = 300  # for whatever a test waits for


def wait_until(condition: Callable[[], object], what: str, seconds: float = _SECONDS) -> object:
    """Returns the condition's value once it is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.5)
    return value


class Cluster:
    """A running cluster.

    Args:
        first: The process of it that all its others end with.
    """

    def __init__(self, first: int):
        spaces = ("--pid", "--mount", "--net", "--uts")
        self._enter = ["nsenter", f"--target={first}", *spaces, "--wd=."]

    def run(self, *command: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
        """Runs a command on the head node, where srun and sbatch are."""
        foreign = ("SLURM", "SBATCH", "SRUN", "OMPI_", "PMI", "HOROVOD_", "TF_CONFIG")
        environ = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        environ |= {"SLURM_CONF": "/run/slurm/slurm.conf", "PATH": f"{BIN}:{os.environ['PATH']}"}
        return subprocess.run(
            [*self._enter, "--", *map(str, command)], env=environ, cwd=cwd,
            capture_output=True, text=True, timeout=_SECONDS,
        )  # fmt: skip

    def ask(self, *command: object, cwd: Path | None = None) -> str:
        """Returns what a command that must succeed prints."""
        result = self.run(*command, cwd=cwd)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """Returns what Slurm knows of a job."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.ask("scontrol", "-o", "show", "job", number)))

    def ranks(self) -> list[str]:
        """Returns the command lines of the trainings that run on any node."""
        lines = self.ask("ps", "-e", "-o", "args=").splitlines()
        return [line for line in lines if re.match(r"\S*python\S* .*train_cnn\.py", line)]

    def end_jobs(self) -> None:
        """Cancels all jobs, and waits until they are gone."""
        self.ask("scancel", "--user=root")
        wait_until(lambda: not self.ask("squeue", "--noheader"), "all jobs ended")
