"""A Slurm of two nodes for the tests that ask for one; see cluster.sh."""

import select
import subprocess
import tempfile
from pathlib import Path

import pytest
from cluster import Cluster

_SCRIPT = Path(__file__).with_name("cluster.sh")
_UNAVAILABLE = 69
_SECONDS_TO_START = 900  # packages may have to be fetched


@pytest.fixture(scope="session")
def _cluster():
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [_SCRIPT, "sh", "-c", "echo ready; exec cat"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        try:
            if not select.select([process.stdout], [], [], _SECONDS_TO_START)[0]:
                pytest.fail(f"cluster.sh said nothing for {_SECONDS_TO_START} s")
            if process.stdout.readline() != "ready\n":
                code = process.wait(60)
                errors.seek(0)
                reason = errors.read()
                assert code == _UNAVAILABLE, reason
                pytest.skip(reason.splitlines()[-1])
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            yield Cluster(int(children.split()[0]))
        finally:
            process.kill()  # and with it all that runs in the cluster
            process.communicate()


@pytest.fixture
def cluster(_cluster):
    """The cluster, whose jobs end with the test."""
    yield _cluster
    _cluster.end_jobs()
