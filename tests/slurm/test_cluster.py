"""What the tests rely on: the cluster comes and goes whole, whatever else runs."""

import os
import subprocess
from pathlib import Path

import pytest
from cluster import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("cluster")]

SCRIPT = Path(__file__).with_name("cluster.sh")


def test_a_second_one_runs_beside_it_and_ends_as_its_command_does():
    command = [SCRIPT, "sh", "-c", "srun -N 2 hostname; exit 7"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert sorted(result.stdout.split()) == ["node1", "node2"], result.stderr
    assert result.returncode == 7


def test_of_one_that_is_killed_nothing_is_left():
    with subprocess.Popen([SCRIPT, "sh", "-c", "echo ready; sleep 600"], stdout=-1) as process:
        assert process.stdout.readline() == b"ready\n"
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        space = os.readlink(f"/proc/{child}/ns/pid")
        assert processes_in(space) > 5
        process.kill()
    wait_until(lambda: not processes_in(space), "its processes ended")


def processes_in(space: str) -> int:
    """Returns how many processes have this namespace."""
    count = 0
    for link in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            count += os.readlink(link) == space
        except OSError:  # ended meanwhile
            continue
    return count


def test_where_there_can_be_none_it_says_why():
    command = ["setpriv", "--bounding-set=-sys_admin", SCRIPT, "true"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 69
    assert result.stderr.startswith("cluster.sh: no Slurm here: no namespaces (")
    assert len(result.stderr.splitlines()) == 1
