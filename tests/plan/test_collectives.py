import numpy as np
import pytest

from tfsci.plan import collectives
from tfsci.plan.machine_table import MACHINES
from tfsci.plan.machines import LINK_EFFICIENCY, Device, Link, Machine

SELENE, FRONTIER = MACHINES["selene"], MACHINES["frontier"]


def machine(*links):
    device = Device("d", 1, 1, 1, 1, None, 1.0, "", "")
    return Machine("m", "m", device, links, None, "")


class TestAllReduce:
    def test_within_a_node_by_hand(self):
        # 2(n - 1)/n of the bytes at 0.8 × 300 GB/s, and 2(n - 1) steps.
        seconds = collectives.all_reduce(SELENE, 8, 1, 1e9)
        assert float(seconds) == pytest.approx(2 * 7 / 8 / 240 + 14 * 3.4e-6)

    def test_across_nodes_ranks_share_their_ports(self):
        # 16 ranks on 2 nodes: 8 ports of 25 GB/s out of each, so NVLink's 300 is more than 200.
        seconds = float(collectives.all_reduce(SELENE, 16, 1, 1e9))
        assert seconds == pytest.approx(2 * 15 / 16 / 160 + (2 * 14e-6 + 28 * 3.4e-6))

    def test_ranks_a_node_apart_have_one_port_each(self):
        seconds = float(collectives.all_reduce(SELENE, 16, 8, 1e9))
        assert seconds == pytest.approx(2 * 15 / 16 / 20 + 30 * 14e-6)

    def test_three_levels(self):
        # Four dies of two cards: 2 × 50 GB/s between the cards is less than 200 within.
        seconds = float(collectives.all_reduce(FRONTIER, 4, 1, 1e9))
        assert seconds == pytest.approx(2 * 3 / 4 / 80 + (2 * 5.7e-6 + 4 * 3.4e-6))

    def test_a_group_that_lies_across_nodes(self):
        # Of eight devices two groups of six: the second has 2 here and 4 there.
        seconds = float(collectives.all_reduce(SELENE, 6, 1, 1e9))
        assert seconds == pytest.approx(2 * 5 / 6 / (2 * 20) + (4 * 14e-6 + 6 * 3.4e-6))

    def test_one_rank_has_nothing_to_do(self):
        assert float(collectives.all_reduce(SELENE, 1, 1, 1e9)) == 0

    def test_many_at_once_are_as_one_by_one(self):
        sizes, strides = np.array([1, 2, 8, 64]), np.array([8, 1, 4, 2])
        many = collectives.all_reduce(FRONTIER, sizes, strides, 1e8)
        one = [
            float(collectives.all_reduce(FRONTIER, int(n), int(stride), 1e8))
            for n, stride in zip(sizes, strides, strict=True)
        ]
        assert many.tolist() == one


@pytest.mark.parametrize(
    ("stride", "bandwidth", "latency"), [(1, 200, 3.4), (2, 50, 5.7), (4, 50, 5.7), (8, 12.5, 14)]
)
def test_a_message_takes_the_nearest_link(stride, bandwidth, latency):
    seconds = float(collectives.send(FRONTIER, 2, stride, 1e9))
    assert seconds == pytest.approx(1 / (LINK_EFFICIENCY * bandwidth) + latency * 1e-6)


def test_the_slowest_message_counts():
    # Four stages, four devices apart: two on each node of eight.
    assert collectives.send(SELENE, 4, 4, 1e9) == collectives.send(SELENE, 2, 8, 1e9)


def test_a_network_without_levels():
    seconds = float(collectives.gather(machine(Link(None, 1, 10)), 5, 3, 1e9))
    assert seconds == pytest.approx(4 / 5 / 0.8 + 4 * 10e-6)
