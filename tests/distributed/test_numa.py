from pathlib import Path

import pytest

from tfsci.distributed import numa
from tfsci.doctor.findings import check_numa

A100, MI250, VGA_OF_A_BOARD, INTEL_OF_A_PROCESSOR = (
    ("0x10de", "0x030200"), ("0x1002", "0x038000"), ("0x1a03", "0x030000"), ("0x8086", "0x030000"),
)  # fmt: skip


@pytest.fixture
def machine(tmp_path):
    """Two sockets of four cores with two hyperthreads each; returns the root of its ``sys``."""

    def write(name, text):
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    write("devices/system/node/node0/cpulist", "0-3,8-11")
    write("devices/system/node/node1/cpulist", "4-7,12-15")
    write("devices/system/node/node2/cpulist", "")  # memory alone
    write("devices/system/node/has_cpu", "0-1")
    for pci, (vendor, kind), node in (
        ("0000:18:00.0", A100, 0),
        ("0000:9b:00.0", MI250, 1),
        ("0000:9c:00.0", A100, -1),
        ("0000:03:00.0", VGA_OF_A_BOARD, 0),
        ("0000:00:02.0", INTEL_OF_A_PROCESSOR, 0),
        ("0000:00:1f.0", ("0x8086", "0x060100"), 0),
    ):
        write(f"bus/pci/devices/{pci}/vendor", vendor)
        write(f"bus/pci/devices/{pci}/class", kind)
        write(f"bus/pci/devices/{pci}/numa_node", node)
    return tmp_path


def test_two_sockets(machine):
    nodes = numa.numa_nodes(machine)
    assert nodes == {0: [0, 1, 2, 3, 8, 9, 10, 11], 1: [4, 5, 6, 7, 12, 13, 14, 15], 2: []}
    assert numa.nodes_of_cores([3, 8], nodes) == [0]
    assert numa.nodes_of_cores([3, 4], nodes) == [0, 1]


def test_gpus_are_told_from_what_else_shows_a_picture(machine):
    expected = {"0000:18:00.0": 0, "0000:9b:00.0": 1, "0000:9c:00.0": None}
    assert numa.gpu_nodes(machine) == expected
    assert numa.node_of_device("0000:9B:00.0", machine) == 1  # as CUDA writes it
    assert numa.node_of_device("0000:ff:00.0", machine) is None
    assert numa.node_of_device(None, machine) is None


def test_a_system_that_tells_nothing(tmp_path):
    assert numa.numa_nodes(tmp_path) == numa.gpu_nodes(tmp_path) == {}
    assert check_numa({}, [0], {}).status == "ok"


def test_of_this_machine():
    nodes = numa.numa_nodes()
    assert not nodes or any(nodes.values())
    assert all(Path("/sys/bus/pci/devices", pci).exists() for pci in numa.gpu_nodes())


class TestDoctorsNote:
    def test_cores_and_gpus_of_each_node(self, machine):
        nodes = numa.numa_nodes(machine)
        found = check_numa(nodes, range(16), numa.gpu_nodes(machine))
        assert (found.status, found.name) == ("ok", "NUMA")
        assert found.text == (
            "3 nodes: 0 has cores 0-3,8-11 and GPU 0000:18:00.0; "
            "1 has cores 4-7,12-15 and GPU 0000:9b:00.0; 2 has no cores; "
            "GPU 0000:9c:00.0: the system does not tell"
        )

    def test_which_cores_may_be_used(self, machine):
        found = check_numa(numa.numa_nodes(machine), [2, 3], {})
        assert "0 has cores 0-3,8-11 (may be used: 2-3); 1 has " in found.text
        assert "1 has cores 4-7,12-15 (may be used: none)" in found.text

    def test_cores_that_are_far_from_every_gpu(self, machine):
        nodes = numa.numa_nodes(machine)
        found = check_numa(nodes, [4, 5], {"0000:18:00.0": 0})
        assert found.status == "slow"
        assert found.next_step == "bind to cores 0-3,8-11, or ask the batch system to"
        assert check_numa(nodes, [3, 4], {"0000:18:00.0": 0}).status == "ok"
        assert check_numa(nodes, [4, 5], {"0000:18:00.0": None}).status == "ok"
