"""A training loses a rank in its middle and ends with the curve of one that lost none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from digits import BIN, SCRIPT, assert_same_curve

from tfsci.distributed import membership
from tfsci.distributed.strategy import Strategy, seed_of_replica
from tfsci.training.checkpoint import Position
from tfsci.training.elastic import Elastic

WATCHED = Path(__file__).parents[1] / "distributed" / "watched.py"


class HorovodError(Exception):
    __module__ = "horovod.common.exceptions"


HorovodError.__name__ = "HorovodInternalError"


class Ranks(Strategy):
    """One rank as it sees itself among several, whose answers are given."""

    name = "horovod"

    def __init__(self, rank=0, others=()):
        super().__init__()
        self.rank, self._others = rank, others
        self.world_size = 1 + len(others)

    def gather(self, value):
        return [value, *self._others] if self.is_chief else [*self._others, value]


class Unchanged:
    def check(self):
        pass

    renewed = 0

    def renew(self):
        self.renewed += 1


@pytest.fixture
def elastic(monkeypatch):
    monkeypatch.setenv("HOROVOD_ELASTIC", "1")
    monkeypatch.setenv("HOROVOD_GLOO_TIMEOUT_SECONDS", "30")
    elastic = Elastic(48)
    elastic._membership, elastic.strategy = Unchanged(), Ranks()
    return elastic


def network(value: float) -> keras.Model:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, value))
    return model


class TestRefused:
    def test_a_launcher_that_can_not(self, monkeypatch):
        monkeypatch.delenv("HOROVOD_ELASTIC", raising=False)
        with pytest.raises(ValueError, match="--host-discovery-script"):
            Elastic(48)

    def test_a_rate_that_follows_the_ranks(self, elastic):
        with pytest.raises(ValueError, match="--scale-lr linear: under --elastic"):
            Elastic(48, "linear")

    def test_another_strategy(self, elastic):
        elastic._membership = None
        with pytest.raises(ValueError, match="--elastic: is for --strategy horovod, not single"):
            elastic.begin(Strategy(), "run")


class TestRounds:
    def test_begin_anew_when_ranks_change_or_go(self, elastic):
        ends = iter([membership.RanksChange(), HorovodError("gone")])

        def train():
            for end in ends:
                raise end
            return "done"

        assert elastic.run(train) == "done"
        assert elastic._membership.renewed == 2

    @pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError("full")])
    def test_end_by_any_other_error(self, elastic, error):
        def train():
            raise error

        with pytest.raises(type(error)):
            elastic.run(train)


class TestKept:
    def test_nothing_yet(self, elastic):
        assert elastic.restore(network(0), None) is None

    def test_the_last_that_all_have(self, elastic):
        for step in (3, 6, 9):
            elastic.keep(network(step), Position(step, [{"epoch": 1}], [[1.0]]))
        assert sorted(elastic.commits) == [6, 9]
        elastic.strategy = Ranks(others=([3, 6], []))  # one missed the last, one is new
        model = network(0)
        position = elastic.restore(model, None)
        assert vars(position) == {"step": 6, "history": [{"epoch": 1}], "metrics": [[1.0]]}
        assert model.get_weights()[0][0, 0] == 6
        assert sorted(elastic.commits) == [6]

    def test_seeds_are_the_chiefs_whoever_kept_them(self, elastic):
        model = network(1)
        (seed,) = [v for v in model.variables if v.path.endswith("seed_generator_state")]
        chiefs = seed.numpy()
        seed.assign(seed_of_replica(chiefs, 2))
        elastic.strategy = Ranks(rank=2)
        elastic.keep(model, Position(1))
        elastic.strategy = Ranks()
        elastic.restore(model, None)
        np.testing.assert_array_equal(seed.numpy(), chiefs)

    def test_is_saved_where_the_batch_can_not_be_cut_any_more(self, elastic, tmp_path):
        class Folder:
            checkpoints = tmp_path

        elastic.keep(network(2), Position(7))
        elastic.strategy = Ranks(others=([],) * 4)
        with pytest.raises(ValueError, match=r"--batch-size 48: .* 5 equal parts.* after step 7"):
            elastic.restore(network(0), Folder)
        assert [path.name for path in tmp_path.iterdir()] == ["step-000000007.npz"]


def elastic_run(hosts: Path, folder: Path, ranks: int, *command: object) -> subprocess.Popen:
    """Starts a training under Horovod's elastic launcher."""
    hosts.chmod(0o755)
    launcher = [
        BIN / "horovodrun", "-np", str(ranks), "--min-np", "1", "--max-np", "2",
        "--network-interface", "lo", "--host-discovery-script", hosts, sys.executable,
    ]  # fmt: skip
    return subprocess.Popen(
        [*launcher, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def printed_by(process: subprocess.Popen) -> str:
    """Returns what it prints until its good end."""
    try:
        printed, _ = process.communicate(timeout=280)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, printed
    return printed


@pytest.mark.horovod
@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_rank_is_killed_and_the_curve_is_that_of_one_process(rank, digits_alone, tmp_path):
    hosts, folder = tmp_path / "hosts.sh", tmp_path / "run"
    # A host whose rank fails is given up: two names for this machine.
    hosts.write_text("#!/bin/sh\necho localhost:1\necho 127.0.0.1:1\n")
    printed = printed_by(elastic_run(hosts, folder, 2, WATCHED, "SIGKILL", rank, folder))
    assert "1 rank (Horovod, Gloo)" in printed and " · goes on from step 3" in printed, printed
    assert_same_curve(folder, digits_alone)


@pytest.mark.slow
@pytest.mark.horovod
def test_a_new_host_joins_and_the_curve_is_that_of_one_process(train, tmp_path):
    hosts, folder, more = tmp_path / "hosts.sh", tmp_path / "run", tmp_path / "more"
    hosts.write_text(f"#!/bin/sh\necho localhost:1\n! [ -e {more} ] || echo 127.0.0.1:1\n")
    # At the default rate the order of additions alone parts two such curves by 9e-6.
    rate = ("--schedule", "constant", "--learning-rate", 0.02)
    options = ("--dropout", 0, "--seed", 0, "--epochs", 150, *rate)
    process = elastic_run(hosts, folder, 1, SCRIPT, "--elastic", *options, "--output", folder)
    while process.poll() is None and not list(folder.glob("checkpoints/step-*")):
        time.sleep(0.1)
    more.touch()
    printed = printed_by(process)
    assert "2 ranks (Horovod, Gloo)" in printed and " · goes on from step " in printed, printed
    train(*options, "--output", tmp_path / "alone")
    assert_same_curve(folder, tmp_path / "alone")
