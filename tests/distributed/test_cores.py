import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.distributed.cores import bind, cores_of_rank
from tfsci.distributed.launch import Launch

LAUNCHERS = ["horovodrun", "mpirun", "srun", "jsrun", "pals"]


def launch(launcher, local_rank, local_size):
    return Launch(launcher, local_rank, local_size, local_rank, local_size)


@pytest.fixture(autouse=True)
def without_slurm(monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)


@pytest.mark.parametrize(
    ("launcher", "local_rank", "local_size", "usable", "node_cores", "expected"),
    [
        # One process, or ranks that their launcher has bound: what they see is theirs.
        ("none", 0, 1, range(8), 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        ("none", 0, 1, [3, 5], 8, [3, 5]),
        ("mpirun", 1, 2, [4, 5, 6, 7], 8, [4, 5, 6, 7]),
        ("srun", 3, 4, [6, 7], 8, [6, 7]),
        ("jsrun", 0, 6, range(7), 42, [0, 1, 2, 3, 4, 5, 6]),
        # Unbound ranks see the same cores.
        ("horovodrun", 0, 2, range(8), 8, [0, 1, 2, 3]),
        ("horovodrun", 1, 2, range(8), 8, [4, 5, 6, 7]),
        ("horovodrun", 2, 3, range(8), 8, [4, 5]),  # two cores are left over
        ("mpirun", 1, 2, range(8), 8, [4, 5, 6, 7]),
        # horovodrun never binds, however few cores a container leaves of the node's.
        ("horovodrun", 1, 2, [0, 1], 64, [1]),
        ("horovodrun", 0, 1, [0, 1], 64, [0, 1]),
        # A Slurm job of eight of 64 cores, as SLURM_CPUS_ON_NODE says; its tasks are not bound.
        ("srun", 0, 4, range(16, 24), 8, [16, 17]),
        ("srun", 3, 4, range(16, 24), 8, [22, 23]),
        # More ranks than cores take turns.
        ("horovodrun", 5, 6, [2, 3], 2, [3]),
        ("horovodrun", 4, 6, [2, 3], 2, [2]),
        ("mpirun", 2, 3, [7], 1, [7]),
    ],
)
def test_by_hand(launcher, local_rank, local_size, usable, node_cores, expected):
    place = launch(launcher, local_rank, local_size)
    assert cores_of_rank(place, usable, node_cores) == expected
    assert cores_of_rank(place, set(usable), node_cores) == expected


def test_slurm_tells_the_cores_of_the_job(monkeypatch):
    place = launch("srun", 1, 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cores_of_rank(place, range(8)) == list(range(8))  # bound, to eight of 64
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    assert cores_of_rank(place, range(8)) == [4, 5, 6, 7]


def test_by_default_the_cores_are_those_this_process_may_use():
    usable = os.sched_getaffinity(0)
    assert cores_of_rank(Launch()) == sorted(usable)


NODES = st.sets(st.integers(0, 255), min_size=1, max_size=64)


@settings(max_examples=200)
@given(st.sampled_from(LAUNCHERS), NODES, st.integers(1, 80))
def test_ranks_that_share_their_cores_never_share_one_while_there_are_enough(
    launcher, usable, local_size
):
    dealt = [
        cores_of_rank(launch(launcher, rank, local_size), usable, node_cores=len(usable))
        for rank in range(local_size)
    ]
    assert all(cores and set(cores) <= usable for cores in dealt)
    assert len({len(cores) for cores in dealt}) == 1
    taken = [core for cores in dealt for core in cores]
    if local_size <= len(usable):
        assert len(set(taken)) == len(taken) > len(usable) - local_size
    else:
        assert set(taken) == usable


@settings(max_examples=100)
@given(st.sampled_from(LAUNCHERS[1:]), NODES, st.integers(1, 16), st.data())
def test_ranks_that_are_bound_keep_what_they_have(launcher, node, local_size, data):
    share = len(node) // local_size
    if not share:
        return
    rank = data.draw(st.integers(0, local_size - 1))
    mine = sorted(node)[rank * share : (rank + 1) * share]
    assert cores_of_rank(launch(launcher, rank, local_size), mine, len(node)) == mine


def test_binding_keeps_this_process_on_its_cores():
    before = os.sched_getaffinity(0)
    try:
        bind([min(before)])
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)
