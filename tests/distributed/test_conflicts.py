import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.distributed import binding
from tfsci.distributed.conflicts import find_conflicts
from tfsci.distributed.launch import Launch

VERSIONS = {"python": "3.11", "tfsci": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"}


def gpu(number, numa=0, **changes):
    gpu = {"index": 0, "name": "NVIDIA H200", "pci": f"0000:{number:02x}:00.0"}
    return {**gpu, "uuid": f"{number:08x}-0000", "numa": numa, **changes}


def job(size=4, per_host=4, launcher="srun", gpus=False):
    """The rows of a job in which all is well: two cores a rank, hosts a, b, …"""
    rows = []
    for rank in range(size):
        node, local = divmod(rank, per_host)
        cores = [2 * local, 2 * local + 1]
        rows.append({
            "rank": rank, "launcher": launcher, "host": "abcdefgh"[node], "boot": "",
            "local_rank": local, "local_size": per_host, "cores": cores, "allowed": cores,
            "threads": 2, "numa": [0], "gpu": gpu(rank) if gpus else None, "gpu_refusal": None,
            "masks": {}, "versions": dict(VERSIONS), "quota": None,
        })  # fmt: skip
    return rows


def only(rows):
    (found,) = find_conflicts(rows)
    return found


@given(st.integers(1, 8), st.integers(1, 3), st.booleans(), st.sampled_from(["srun", "horovodrun"]))
def test_a_job_in_which_all_is_well(per_host, hosts, gpus, launcher):
    assert find_conflicts(job(per_host * hosts, per_host, launcher, gpus)) == []


class TestGpus:
    def test_two_ranks_on_one(self):
        """Each has CUDA_VISIBLE_DEVICES=0, which is right only where cgroups hide the others."""
        rows = job(gpus=True)
        rows[3]["gpu"] = rows[1]["gpu"]
        for each in rows:
            each["masks"] = {"CUDA_VISIBLE_DEVICES": "0"}
        found = only(rows)
        assert (found.severity, found.subject) == ("fatal", "GPU")
        assert found.text == (
            "ranks 1,3 on a use one and the same: NVIDIA H200 at 0000:01:00.0 "
            "(with CUDA_VISIBLE_DEVICES=0)"
        )
        assert "srun --gpus-per-task=1" in found.next_step

    def test_instances_of_one_card_are_two(self):
        rows = job(2, 2, gpus=True)
        rows[1]["gpu"]["pci"] = rows[0]["gpu"]["pci"]
        assert find_conflicts(rows) == []

    def test_by_its_address_where_there_is_no_uuid(self):
        rows = job(4, 2, gpus=True)
        for each in rows:
            each["gpu"] = gpu(each["local_rank"], uuid=None)
        assert find_conflicts(rows) == []  # of different hosts
        rows[3]["gpu"] = rows[2]["gpu"]
        found = only(rows)
        assert found.severity == "conflict"
        assert found.text.startswith("ranks 2-3 on b use one and the same")

    def test_a_uuid_is_one_card_also_for_two_containers(self):
        rows = job(2, 1, gpus=True)
        rows[1]["gpu"] = rows[0]["gpu"]
        assert only(rows).text.startswith("ranks 0-1 on a, b use one and the same")

    def test_what_no_driver_tells_apart_is_not_judged(self):
        rows = job(2, 2, gpus=True)
        for each in rows:
            each["gpu"] = gpu(0, uuid=None, pci=None)
        assert find_conflicts(rows) == []

    def test_a_rank_without_one(self):
        rows = job(4, 2, gpus=True)
        rows[2]["gpu"] = None
        rows[2]["masks"] = {"ROCR_VISIBLE_DEVICES": ""}
        found = only(rows)
        assert found.severity == "fatal"
        text = "rank 2 on b sees none, other ranks do (with ROCR_VISIBLE_DEVICES=)"
        assert found.text == text

    def test_fewer_than_ranks(self):
        rows = job(3, 3)
        refusal = "3 ranks on this node but 2 visible GPU(s): start at most 2 a node"
        for each in rows:
            each["gpu_refusal"] = refusal
        found = only(rows)
        assert found.severity == "fatal"
        assert found.text == "ranks 0-2 on a: 3 ranks on this node but 2 visible GPU(s)"
        assert found.next_step == "start at most 2 a node"


class TestCores:
    def test_shared_for_want_of_binding(self):
        rows = job()
        rows[2]["cores"] = [3, 4]
        found = only(rows)
        assert (found.severity, found.subject) == ("conflict", "cores")
        assert found.text == "ranks 1-2 on a share core 3"
        step = "bind each rank to its own: srun --cpus-per-task=2 --cpu-bind=cores"
        assert found.next_step == step

    def test_more_ranks_than_cores(self):
        rows = job(3, 3, "horovodrun")
        for each, core in zip(rows, (0, 1, 0), strict=True):
            each |= {"cores": [core], "allowed": [0, 1], "threads": 1}
        found = only(rows)
        assert found.text == "ranks 0,2 on a share core 0"
        assert found.next_step == "start at most 2 on this host, or ask for more cores"

    def test_of_two_hosts_are_two(self):
        rows = job(2, 1)
        assert find_conflicts(rows) == []
        rows[1]["host"] = "a"
        assert {"cores", "local rank"} == {each.subject for each in find_conflicts(rows)}
        rows[1]["boot"] = "another machine of that name"
        assert find_conflicts(rows) == []

    def test_an_unbound_launch(self):
        rows = job()
        for each in rows:
            each["allowed"] = list(range(8))
        found = only(rows)
        assert found.severity == "note"
        assert found.text.startswith("ranks 0-3 on a are not bound: each may use 0-7")
        for each in rows:
            each["launcher"] = "horovodrun"  # never binds
        assert find_conflicts(rows) == []

    def test_more_threads_than_cores(self):
        rows = job()
        rows[0]["threads"] = 8
        found = only(rows)
        assert (found.severity, found.text) == (
            "conflict", "rank 0 on a: 8 threads on 2 core(s) each",
        )  # fmt: skip

    def test_more_threads_than_a_cgroup_grants(self):
        rows = job()
        for each in rows:
            each["quota"] = 6.5
        found = only(rows)
        assert found.severity == "note"
        assert found.text == "ranks 0-3 on a: 8 threads, but a cgroup grants 6.5 cores' time"


def test_numa():
    rows = job(3, 3, gpus=True)
    rows[1]["numa"] = [0, 1]
    rows[2]["gpu"]["numa"] = 1
    across, far = find_conflicts(rows)
    assert (across.severity, far.severity) == ("note", "note")
    assert across.text == "rank 1 on a: cores of several NUMA nodes (0-1) each"
    told = "cores at 0 and GPU at 1"
    assert far.text == f"rank 2 on a: cores and GPU at different NUMA nodes ({told})"
    assert far.next_step == "srun --gpu-bind=closest"


def test_versions():
    rows = job(4, 2)
    rows[3]["versions"] |= {"keras": "3.14.0", "tensorflow": None}
    tensorflow, keras = find_conflicts(rows)
    assert tensorflow.text == "rank 3 on b: tensorflow missing; most have 2.21.0"
    assert (keras.severity, keras.subject) == ("fatal", "versions")
    assert keras.text == "rank 3 on b: keras 3.14.0; most have 3.15.1"


def test_local_ranks_that_do_not_count_from_0():
    """RANK and WORLD_SIZE alone do not tell which ranks are of one host."""
    rows = job(4, 2, "torchrun")
    for each in rows:
        each |= {"local_rank": each["rank"], "local_size": 4}
    first, second = find_conflicts(rows)
    assert first.text == "ranks 0-1 on a are local ranks 0,1 of 4, expected 0-1 of 2"
    assert second.text == "ranks 2-3 on b are local ranks 2,3 of 4, expected 0-1 of 2"
    assert "set LOCAL_RANK and LOCAL_WORLD_SIZE" in second.next_step


def test_the_worst_comes_first():
    rows = job(gpus=True)
    rows[0]["numa"] = [0, 1]
    rows[1]["cores"] = [0, 1]
    rows[2]["gpu"] = None
    found = [each.severity for each in find_conflicts(rows)]
    assert found == ["fatal", "conflict", "note"]


class TestRow:
    @pytest.fixture
    def root(self, tmp_path):
        for name, text in (
            ("devices/system/node/node0/cpulist", "0-1"),
            ("devices/system/node/node1/cpulist", "2-3"),
            ("bus/pci/devices/0000:9b:00.0/numa_node", "1"),
        ):
            path = tmp_path / "sys" / name
            path.parent.mkdir(parents=True)
            path.write_text(f"{text}\n")
        return tmp_path

    def test_holds_what_the_rank_takes_and_no_secret(self, root):
        cards = [{"name": "A", "pci": f"0000:{at}:00.0", "uuid": at} for at in ("1A", "9B")]
        environ = {"CUDA_VISIBLE_DEVICES": "4,5", "SECRET": "hidden"}
        launch = Launch("srun", 3, 4, 1, 2, 1, 2)
        row = binding.row(launch, [3, 2], cards, range(4), environ, root)
        assert json.loads(json.dumps(row)) == row
        assert "hidden" not in json.dumps(row)
        assert row["gpu"] == {"index": 1, "name": "A", "pci": "0000:9B:00.0", "uuid": "9B",
                              "numa": 1}  # fmt: skip
        assert (row["rank"], row["local_rank"], row["cores"]) == (3, 1, [2, 3])
        assert (row["threads"], row["numa"], row["allowed"]) == (2, [1], [0, 1, 2, 3])
        assert row["masks"] == {"CUDA_VISIBLE_DEVICES": "4,5"}

    def test_tells_why_there_is_no_gpu_for_it(self, root):
        cards = [{"name": "A", "pci": None, "uuid": None}]
        row = binding.row(Launch("horovodrun", 1, 2, 1, 2), [0], cards, None, {}, root)
        assert row["gpu"] is None
        assert row["gpu_refusal"].startswith("2 ranks on this node but 1 visible GPU(s): ")
