"""`tfsci doctor` under a launcher: real ranks, and the table by hand."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tfsci.doctor import ranks

BIN = Path(sys.executable).parent
HERE = socket.gethostname()


def row(rank, **changes):
    card = {"index": 0, "name": "NVIDIA H200", "pci": "0000:18:00.0", "uuid": "1a2b3c4d-11"}
    return {
        "rank": rank, "host": "nid001", "local_rank": rank, "local_size": 2, "numa": [rank],
        "cores": list(range(8 * rank, 8 * rank + 8)), "threads": 8, "gpu": {**card, "numa": 1},
        "gpu_refusal": None, "gpu_error": "", "unseen": 0, **changes,
    }  # fmt: skip


def test_table():
    rows = [row(0), row(1, host="n2", gpu=None, numa=[], cores=[0, 2, 3])]
    assert ranks.table([*rows, row(2, gpu=None, gpu_refusal="2 ranks but 1 GPU")]) == (
        "rank  host    local   cores  threads  NUMA      GPU\n"
        "   0  nid001  0 of 2  0-7          8  0, GPU 1  0: NVIDIA H200 0000:18:00.0 1a2b3c4d\n"
        "   1  n2      1 of 2  0,2-3        8  -         none\n"
        "   2  nid001  2 of 2  16-23        8  2         too few"
    )


def test_gpus_that_tensorflow_does_not_see():
    rows = [row(0, unseen=1), row(1, unseen=1), row(2, gpu_error="ended by SIGSEGV"), row(3)]
    first, second = ranks.unseen_gpus(rows)
    text = "TensorFlow does not see 1 GPU(s) that the driver knows"
    assert first.text == f"ranks 0-1 on nid001: {text}"
    assert second.text.endswith("rank 2 on nid001: it can't be told which they see: "
                                "ended by SIGSEGV")  # fmt: skip
    assert {first.status, second.status} == {"conflict"}


@pytest.fixture
def start():
    """Starts programs in an environment without another launcher's variables or GPUs."""
    started = []
    launchers = ("HOROVOD_", "OMPI_", "PMI", "PALS_", "SLURM_", "JSM_", "MV2_", "MPI_", "ALPS_")
    without = ("RANK", "WORLD_SIZE", "TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "PYTHONUNBUFFERED")
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(launchers) and name not in without
    }
    environ |= {"PATH": f"{BIN}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "-1"}

    def start(*command, **variables):
        process = subprocess.Popen(
            command, env={**environ, **variables}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    output, log = process.communicate(timeout=400)
    return process.returncode, output, log


def rows_of(output):
    """What the table says of each rank: host, local rank, cores, threads."""
    lines = output.splitlines()
    (first,) = [at for at, line in enumerate(lines) if line.startswith("rank  host")]
    cells = (line.split() for line in lines[first + 1 : lines.index("", first)])
    return {int(rank): (host, int(local), cores, int(threads))
            for rank, host, local, _, _, cores, threads, *_ in cells}  # fmt: skip


DOCTOR = (sys.executable, "-m", "tfsci", "doctor")


@pytest.mark.horovod
class TestRealRanks:
    def test_of_horovodrun(self, start):
        """As many as cores and one more: two ranks share a core."""
        cores = sorted(os.sched_getaffinity(0))
        binds = ("taskset", "-c", ",".join(map(str, cores[:2])))
        size = len(cores[:2]) + 1
        code, output, log = ended(start(*binds, "horovodrun", "-np", str(size), *DOCTOR))
        assert code == 1, output + log
        lines = output.splitlines()
        assert lines, log
        assert all(line.startswith("[0]<stdout>:") for line in lines)  # the others are silent
        table = rows_of("\n".join(line.removeprefix("[0]<stdout>:") for line in lines))
        expected = {rank: (HERE, rank, str(cores[rank % (size - 1)]), 1) for rank in range(size)}
        assert table == expected
        assert f"ranks 0,{size - 1} on {HERE} share core {cores[0]}" in output
        assert lines[-1].startswith("[0]<stdout>:1 conflict: ")

    @pytest.mark.slow
    @pytest.mark.parametrize("launcher", ["torchrun", "TF_CONFIG"])
    def test_of_a_shell_loop(self, start, launcher):
        if len(os.sched_getaffinity(0)) < 2:
            pytest.skip("needs two cores")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        workers = [f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"]
        processes = []
        for rank in range(2):
            config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}
            variables = {"TF_CONFIG": json.dumps(config)}
            if launcher == "torchrun":
                variables = {"RANK": str(rank), "WORLD_SIZE": "2"}
            variables |= {"TFSCI_COORDINATOR": workers[0], "SECRET": "hidden"}
            variables["TFSCI_START_TIMEOUT"] = "300"  # on a busy machine
            processes.append(start(*DOCTOR, **variables))
        (code, output, log), (other_code, other_output, other_log) = map(ended, processes)
        assert (code, other_code) == (0, 0), output + log + other_log
        assert (log, other_output, other_log) == ("", "", "")
        assert {rank: cells[:2] for rank, cells in rows_of(output).items()} == {
            0: (HERE, 0), 1: (HERE, 1),
        }  # fmt: skip
        assert f"{launcher}, 2 ranks on 1 host" in output
        assert "CUDA_VISIBLE_DEVICES=-1 on ranks 0-1" in output
        assert "hidden" not in output
        assert output.splitlines()[-1] == "No rank is in another's way."

    def test_that_does_not_come_is_named_in_one_line(self, start):
        variables = {"RANK": "0", "WORLD_SIZE": "2", "TFSCI_START_TIMEOUT": "2"}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            variables["TFSCI_COORDINATOR"] = f"127.0.0.1:{probe.getsockname()[1]}"
        code, output, log = ended(start(*DOCTOR, **variables))
        assert (code, output) == (2, "")
        assert log.startswith("tfsci: error: rank 1 of 2 did not come within 2 s")
        assert len(log.splitlines()) == 1
