"""Preparing in processes of their own, which are killed or meet each other."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import wait_until_ended

from tfsci.data import catalog

SETS = {
    "ising": "ising:size=8,sweeps=400,samples=2100",
    "npz": "npz:{}",
}


@pytest.fixture(params=SETS)
def spec(request, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    generator = np.random.default_rng(0)
    for i in range(20 if request.param == "npz" else 0):
        x = generator.random((60, 64, 64, 3), "float32")
        np.savez(files / f"{i}.npz", x=x, y=np.arange(60) % 2)
    return SETS[request.param].format(files)


def start(spec, data_dir):
    code = (
        "import sys; from tfsci.data import catalog\n"
        "source = catalog.load(sys.argv[1], data_dir=sys.argv[2])\n"
        "print(*(split.num_samples for split in source.splits.values()))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, spec, data_dir],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def sizes(source):
    return [split.num_samples for split in source.splits.values()]


def test_a_killed_process_leaves_no_half_made_set_and_the_next_one_recovers(spec, tmp_path):
    data_dir = tmp_path / "prepared"
    process = start(spec, data_dir)
    end = time.monotonic() + 120
    while not list(data_dir.rglob("*incomplete*/*")) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was done before it was killed"
    assert not list(data_dir.rglob("tfsci.json"))
    source = catalog.load(spec, data_dir=data_dir)
    assert sum(sizes(source)) == (2100 if spec.startswith("ising") else 1200)
    assert len(list(data_dir.rglob("tfsci.json"))) == 1
    assert not list(data_dir.rglob("*incomplete*"))


def test_of_four_at_once_one_prepares_and_all_read(spec, tmp_path):
    processes = [start(spec, tmp_path / "prepared") for _ in range(4)]
    results = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert len({out for out, _ in results}) == 1
    waited = [err for _, err in results if "Waiting while another process prepares" in err]
    assert 1 <= len(waited) <= 3  # one that comes late finds it done
    assert len(list((tmp_path / "prepared").rglob("tfsci.json"))) == 1


def test_workers_end_with_the_process_that_is_killed(tmp_path):
    process = start("ising:size=16,sweeps=400,samples=20000", tmp_path)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 120
    while not (workers := children.read_text().split()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.communicate()
    for worker in workers:
        wait_until_ended(worker)
