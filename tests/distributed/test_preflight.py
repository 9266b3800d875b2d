"""What preflight says of processes that differ, and that it says nothing of others."""

import functools
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.distributed import preflight
from tfsci.distributed.launch import Launch
from tfsci.distributed.strategy import Strategy, ranks_as_text

RANKS = Path(__file__).with_name("preflight_ranks.py")


class Rank(Strategy):
    """One of several processes whose values are known."""

    name = "horovod"

    def __init__(self, rank, values):
        super().__init__()
        self.rank, self.world_size, self._values = rank, len(values), values

    def gather(self, value):
        assert json.loads(json.dumps(value)) == self._values[self.rank]
        return self._values


def said(facts, hosts=None):
    """What every process says, the same; None where none objects."""
    hosts = hosts or ["n1"] * len(facts)
    told = zip(hosts, json.loads(json.dumps(facts)), strict=True)
    values = [{"host": host, "facts": each} for host, each in told]
    messages = set()
    for rank, own in enumerate(facts):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "gethostname", lambda rank=rank: hosts[rank])
            try:
                preflight.check(Rank(rank, values), own)
                messages.add(None)
            except ValueError as error:
                messages.add(str(error))
    (message,) = messages
    return message


def keras_versions(*versions):
    return [{"versions": {"tfsci": "1", "keras": version}} for version in versions]


class TestCheck:
    def test_names_rank_host_field_values_and_cure(self):
        facts = keras_versions("3.15.1", "3.15.1", "3.15.1", "3.14.0")
        assert said(facts, ["n1", "n1", "n2", "n2"]) == (
            "rank 3 on host n2 has keras 3.14.0, the others 3.15.1: install the same versions on "
            "all nodes"
        )

    def test_of_two_ranks_the_first_is_right(self):
        assert said(keras_versions("2", "1")) == (
            "rank 1 on host n1 has keras 1, rank 0 2: install the same versions on all nodes"
        )

    def test_the_majority_is_right_not_the_chief(self):
        message = said(keras_versions("1", "2", "2"), ["n1", "n2", "n2"])
        assert message.startswith("rank 0 on host n1 has keras 1, the others 2: ")

    def test_of_many_ranks_names_runs_and_a_few_hosts(self):
        facts = keras_versions(*["2"] * 9, *["1"] * 6, "0")
        message = said(facts, [f"n{rank // 2}" for rank in range(16)])
        assert message.startswith(
            "ranks 9-14 on hosts n4, n5, n6 and 1 more have keras 1, rank 15 on host n7 has 0, "
            "the others 2: "
        )

    def test_of_all_different_values_tells_a_few(self):
        message = said([{"weights": {"weights": str(i)}} for i in range(99)])
        assert "rank 3 on host n1 has 3, more ranks have 95 more values, rank 0 0: " in message

    def test_several_differences_are_the_first_and_a_count(self):
        facts = [{"options": {"--seed": i, "--epochs": i}, "other": {"x": i}} for i in (0, 0, 1)]
        assert said(facts) == (
            "rank 2 on host n1 has --seed 1, the others 0 (and 2 more differences): start all "
            "ranks with the same options"
        )

    def test_a_field_that_a_rank_lacks_is_none(self):
        facts = [{"data": {"a": 1}}, {"data": {"a": 1}}, {"data": {"a": 1, "b": 2}}]
        assert said(facts).startswith("rank 2 on host n1 has b 2, the others none: give all nodes")

    def test_long_values_are_cut(self):
        message = said([{"options": {"--data": c * 5000 + c}} for c in "ab"])
        assert "…" in message and len(message) < 400

    @given(
        st.dictionaries(
            st.text(),
            st.dictionaries(st.text(), st.none() | st.floats() | st.integers() | st.text()),
        ),
        st.integers(1, 5),
    )
    def test_equal_facts_pass_whatever_they_are(self, facts, ranks):
        own = json.loads(json.dumps(facts))
        values = [{"host": "n", "facts": json.loads(json.dumps(own))} for _ in range(ranks)]
        gather = functools.partial(Strategy.gather, Strategy())
        rank = Rank(0, values)
        rank.gather = lambda value: gather(value) * ranks
        preflight.check(rank, own)

    def test_one_process_exchanges_and_looks_at_nothing(self):
        strategy = Strategy()
        strategy.gather = pytest.fail
        preflight.check(strategy, None)
        preflight.check_setup(strategy, None, None, None, None)
        preflight.check_weights(strategy, None)


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [([2], "rank 2"), ([0, 1], "ranks 0-1"), ([1, 2, 3, 7], "ranks 1-3, 7")],
)
def test_ranks_are_named_in_runs(ranks, expected):
    assert ranks_as_text(ranks) == expected


@pytest.mark.horovod
def test_a_rank_that_differs_ends_all_with_the_same_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ranks = [
        subprocess.Popen(
            [sys.executable, RANKS, tmp_path, "option", "data", "model", "weights"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"RANK": str(i), "WORLD_SIZE": "3", "TFSCI_PORT": str(port)},
        )
        for i in range(3)
    ]  # fmt: skip
    printed = [rank.communicate(timeout=240)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2, 2], printed

    expected = {
        "option": "--seed 1, the others 0: start all ranks",
        "data": r"fingerprint of train samples \w{8}, the others \w{8} \(and 2 more differences\)",
        "model": r"fingerprint of layers \w{8}, the others \w{8}: build the same model",
    }
    said = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(3)]
    assert said[0] == said[1] == said[2]
    assert said[0].pop("") is None and set(said[0]) == set(expected)
    for wrong, message in said[0].items():
        assert re.match(rf"rank 2 on host \S+ has {expected[wrong]}", message), message
    for lines in printed:
        assert len(lines.splitlines()) == 1, lines
        assert re.search(r"error: rank 2 on host \S+ has weights \w{8}, the others \w{8}: ", lines)


class TestDevices:
    GPU = {"name": "NVIDIA H100", "pci": "0000:18:00.0", "uuid": "GPU-1"}  # noqa: RUF012

    def ranks(self, monkeypatch, *gpus):
        """Each rank's check, with the GPUs that it sees; what they gather is put together."""
        launches = [Launch("srun", r, len(gpus), r, len(gpus), 0, 1) for r in range(len(gpus))]
        cores = iter(range(99))
        rows = [
            preflight.binding.row(launch, {next(cores)}, each, environ={})
            for launch, each in zip(launches, gpus, strict=True)
        ]
        strategy = Strategy()
        strategy.world_size = len(gpus)
        monkeypatch.setattr(strategy, "gather", lambda row: rows)
        preflight.check_devices(strategy, launches[0])

    def test_two_ranks_on_one_gpu_are_refused(self, monkeypatch):
        with pytest.raises(ValueError, match=r"0.*1.*GPU.*tfsci doctor"):
            self.ranks(monkeypatch, [self.GPU], [self.GPU])

    def test_one_each_is_right(self, monkeypatch):
        self.ranks(monkeypatch, [self.GPU], [{**self.GPU, "pci": "0000:19:00.0", "uuid": "GPU-2"}])

    def test_so_are_none(self, monkeypatch):
        self.ranks(monkeypatch, [], [])
