"""What this machine has, and programs run on it within a time."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[1]  # from where Python finds tfsci, installed or not


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        code: Its exit code; minus the signal that ended it; None where it took too long.
        seconds: How long it ran.
        output: Its standard output.
        log: Its standard error.
    """

    code: int | None
    seconds: float = 0.0
    output: str = ""
    log: str = ""

    @property
    def reports(self) -> list[dict]:
        """What its lines with "report:" say."""
        return [json.loads(text) for text in re.findall(r"report: (\{.*\})", self.output)]

    @property
    def error(self) -> str:
        """Why it failed: its first error, since others may be the echo."""
        if self.code is None:
            return f"no answer within {self.seconds:.0f} s"
        if self.code < 0:
            return f"ended by {signal.Signals(-self.code).name}"
        log = re.sub(r"(?m)^\[\d+\]<\w+>:", "", self.log)  # horovodrun's mark of the rank
        told = re.search(r"(?m)^([\w.]*(Error|Exception)|horovodrun): .*", log)
        return told[0] if told else f"exit code {self.code}"


def run(command: Sequence[str | Path], timeout: float, environ: Mapping[str, str]) -> Outcome:
    """Runs a program; all that it started ends with it, after `timeout` seconds at the latest."""
    start, output, log = time.monotonic(), "", ""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options |= {"text": True, "errors": "backslashreplace", "env": environ, "cwd": _ROOT}
    try:
        process = subprocess.Popen(command, **options, start_new_session=True)
    except OSError as error:
        return Outcome(127, log=f"OSError: {command[0]}: {error.strerror}")
    with process:
        try:
            output, log = process.communicate(timeout=timeout)
            return Outcome(process.returncode, time.monotonic() - start, output, log)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                # Ranks, in sessions of their own, end once horovodrun has; they hold its pipes.
                output, log = process.communicate(timeout=15)
            return Outcome(None, timeout, output, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Returns how many cores' time the cgroup grants; None where it sets no limit."""
    limits = [path.read_text().split() for path in _cgroup(root, "cpu", "cpu.max")]
    for path in _cgroup(root, "cpu", "cpu.cfs_quota_us"):
        limits.append([path.read_text().strip(), path.with_name("cpu.cfs_period_us").read_text()])
    quotas = [int(quota) / int(period) for quota, period in limits if quota not in ("max", "-1")]
    return min(quotas, default=None)


def memory(root: Path = Path("/")) -> tuple[float, float]:
    """Returns free and total memory in GiB, within the cgroup's limit."""
    sizes = dict(re.findall(r"(\w+): +(\d+) kB", (root / "proc/meminfo").read_text()))
    paths = (_cgroup(root, "memory", name) for name in ("memory.max", "memory.limit_in_bytes"))
    limits = [text for each in paths for path in each if (text := path.read_text()) != "max\n"]
    total = min([int(sizes["MemTotal"]) * 2**10, *map(int, limits)])
    return min(int(sizes["MemAvailable"]) * 2**10, total) / 2**30, total / 2**30


def _cgroup(root: Path, controller: str, file: str) -> Iterator[Path]:
    """Yields this file of the process's cgroup and of those above it, in either version."""
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controllers
            folder = base / path.strip("/")
            folders = [each for each in (folder, *folder.parents) if each.is_relative_to(base)]
            yield from (each / file for each in folders if (each / file).is_file())


def machine_gpus(environ: Mapping[str, str], root: Path = Path("/")) -> list[str]:
    """Returns the names of the machine's GPUs; their paths where nvidia-smi does not run."""
    if smi := shutil.which("nvidia-smi", path=environ.get("PATH")):
        asked = run([smi, "--query-gpu=name", "--format=csv,noheader"], 30, environ)
        if asked.code == 0 or "No devices" in asked.output:
            return [line for line in asked.output.splitlines() if "No devices" not in line]
    return sorted(map(str, root.glob("dev/nvidia[0-9]*")))
