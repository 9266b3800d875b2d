import os

import numpy as np
import pytest
from synthetic import Space, steps

from tfsci.profile import load


def write(folder, data, run="2026_01_01", host="node1"):
    path = folder / "plugins" / "profile" / run / f"{host}.xplane.pb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def trace(number=6, length=1000):
    space = Space()
    steps(space.plane(), number, length, wait=100, compute=500)
    return space.bytes()


def test_the_folder_the_run_the_file_and_a_run_folder_above_give_the_same(tmp_path):
    path = write(tmp_path / "profile", trace())
    traces = [load(p) for p in (tmp_path, tmp_path / "profile", path.parent, path)]
    assert all(t.hosts == traces[0].hosts for t in traces)
    assert traces[0].hosts[0].name == "node1"
    assert traces[0].hosts[0].step_seconds == pytest.approx(1e-3)


def test_the_newest_run_is_read_with_all_its_hosts(tmp_path):
    old = write(tmp_path, trace(length=5000), run="b")
    os.utime(old, (1, 1))
    for host in ("node1.rank0", "node1.rank1"):
        write(tmp_path, trace(), run="a", host=host)
    found = load(tmp_path)
    assert [host.name for host in found.hosts] == ["node1.rank0", "node1.rank1"]
    assert found.hosts[1].step_seconds == pytest.approx(1e-3)


def test_cpu_time_comes_from_the_plane_of_our_own(tmp_path):
    space = Space()
    plane = steps(space.plane(), 9, 1000, compute=200)
    for i in range(19):  # two cores
        plane.add("look", "tfsci.cpu", 500 * i, 1, used_us=1000 * i)
    space.plane("/tfsci:process").own(
        wall_seconds=0.010, cpu_seconds=0.018, core_wait_ratio=0.5, worker_seconds=0.010,
        busy_seconds=0.028, cores=4.0,
    )  # fmt: skip
    host = load(write(tmp_path, space.bytes())).hosts[0]
    assert (host.cores, host.share) == (4, pytest.approx(0.7))  # 7 steps of 1 ms in 10 ms
    assert host.cpu_seconds_per_step == pytest.approx(0.002)
    assert host.core_wait_ratio == pytest.approx(0.5)
    assert host.free_cores == pytest.approx(3)  # others have used one
    assert host.pipeline_ready_seconds_per_step == pytest.approx(0.0015 - 0.0002)


def test_cpu_time_between_the_steps_is_not_theirs(tmp_path):
    space = Space()
    plane = space.plane()
    for i in range(12):  # after the sixth comes a validation of 5 ms
        plane.add("python", "train", 1000 * i + (5000 if i > 5 else 0), 900, step_num=i)
    for ms, used in ((0, 0), (6, 6), (11, 16), (17, 22)):  # which uses two cores, the steps one
        plane.add("look", "tfsci.cpu", 1000 * ms, 1, used_us=1000 * used)
    host = load(write(tmp_path, space.bytes())).hosts[0]
    assert host.cpu_seconds_per_step == pytest.approx(0.001)


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_truncated_file_is_one_line(tmp_path, keep):
    data = trace()
    path = write(tmp_path, data[: int(keep * len(data))])
    with pytest.raises(ValueError, match=r"truncated, or not a trace .* trace again") as error:
        load(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04K\x01.", b"PK\x03\x04 a zip", bytes(range(256)) * 4]
)
def test_a_foreign_file_is_one_line(tmp_path, data):
    write(tmp_path, data)
    with pytest.raises(ValueError, match="trace of TensorFlow's profiler"):
        load(tmp_path)


def test_a_folder_without_a_trace_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no trace in it"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load(tmp_path / "absent")
    (tmp_path / "events.out.tfevents.1").write_bytes(b"x")
    (tmp_path / "plugins/profile/run").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no trace in it .*tfsci.profile.trace"):
        load(tmp_path)


def test_a_trace_without_steps_or_pipeline(tmp_path):
    space = Space()
    space.plane().add("python", "something", 0, 10)
    host = load(write(tmp_path, space.bytes())).hosts[0]
    assert (host.steps, host.marker, host.stages, host.breakdown) == (0, "", (), None)
    assert np.isnan(host.step_seconds)


def test_reading_leaves_tensorflow_out(python, tmp_path):
    write(tmp_path, trace())
    result = python(
        "import sys\n"
        "from tfsci.profile import report\n"
        "print(report(sys.argv[1]).verdict, 'tensorflow' in sys.modules)\n",
        str(tmp_path),
    )
    assert (result.stdout, result.stderr) == ("compute-bound False\n", "")
