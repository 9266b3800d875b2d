"""Training under a real OpenMPI: with a Horovod that knows it, and with one that does not."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from digits import OPTIONS, SCRIPT, assert_same_curve

pytestmark = pytest.mark.mpi


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def mpirun(environ: dict, python: Path | str, *options: object) -> str:
    """Trains on two ranks; returns what they print."""
    result = subprocess.run(
        ["mpirun", "-n", "2", python, SCRIPT, *map(str, options)],
        env=environ, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def in_a_shells_loop(environ: dict, python: Path, *options: object) -> list[tuple[int, str, str]]:
    """Trains on two ranks that a shell would start; returns their codes and what they print."""
    environ = environ | {"WORLD_SIZE": "2", "TFSCI_PORT": free_port(), "TFSCI_START_TIMEOUT": "120"}
    ranks = [
        subprocess.Popen(
            [python, SCRIPT, *map(str, options)], env=environ | {"RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        printed = [rank.communicate(timeout=300) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    return [(rank.returncode, *each) for rank, each in zip(ranks, printed, strict=True)]


class TestWithoutMpi:
    def test_gloo_trains(self, openmpi, digits_alone, tmp_path):
        """Also where this environment's Horovod happens to be built with MPI."""
        folder = tmp_path / "run"
        environ = openmpi | {"HOROVOD_CONTROLLER": "gloo"}
        printed = mpirun(environ, sys.executable, *OPTIONS, "--output", folder)
        assert_same_curve(folder, digits_alone)
        assert "ranks met at 127.0.0.1:" in printed and "2 ranks (Horovod, Gloo)" in printed
        config = json.loads((folder / "config.json").read_text())
        assert (config["launcher"], config["world_size"]) == ("mpirun", 2)


@pytest.mark.slow
class TestWithMpi:
    def test_mpi_trains(self, openmpi, python_with_mpi, digits_alone, tmp_path):
        folder = tmp_path / "run"
        printed = mpirun(openmpi, python_with_mpi, *OPTIONS, "--output", folder)
        assert_same_curve(folder, digits_alone)
        assert "2 ranks (Horovod, MPI)" in printed and "ranks met" not in printed

    def test_gloo_trains_where_it_is_asked_for(
        self, openmpi, python_with_mpi, digits_alone, tmp_path
    ):
        folder = tmp_path / "run"
        environ = openmpi | {"HOROVOD_CONTROLLER": "gloo"}
        printed = mpirun(environ, python_with_mpi, *OPTIONS, "--output", folder)
        assert_same_curve(folder, digits_alone)
        assert "ranks met" in printed and "2 ranks (Horovod, Gloo)" in printed

    def test_ranks_that_mpi_did_not_start_find_each_other(
        self, openmpi, python_with_mpi, digits_alone, tmp_path
    ):
        """To MPI each would be alone."""
        folder = tmp_path / "run"
        ended = in_a_shells_loop(openmpi, python_with_mpi, *OPTIONS, "--output", folder)
        assert [code for code, _, _ in ended] == [0, 0], ended
        assert_same_curve(folder, digits_alone)
        assert "2 ranks (Horovod, Gloo)" in ended[0][1]

    def test_where_mpi_is_insisted_on_they_are_refused(self, openmpi, python_with_mpi, tmp_path):
        folder = tmp_path / "run"
        environ = openmpi | {"HOROVOD_CONTROLLER": "mpi"}
        ended = in_a_shells_loop(environ, python_with_mpi, *OPTIONS, "--output", folder)
        for code, _, errors in ended:
            assert code == 2, errors
            (line,) = (line for line in errors.splitlines() if line.startswith("train_cnn.py: "))
            assert "started 2 processes but Horovod sees 1" in line
            assert "HOROVOD_CONTROLLER=gloo" in line
        assert not folder.exists()

    def test_adasum_adds_orthogonal_gradients_and_averages_parallel_ones(
        self, openmpi, python_with_mpi
    ):
        code = """
import numpy as np
from tfsci.distributed.strategy import choose

strategy = choose("horovod", reduction="adasum")
import tensorflow as tf

mine = [[[3.0, 0.0], [2.0, 2.0]], [[0.0, 4.0], [4.0, 4.0]]][strategy.rank]
orthogonal, parallel = strategy.average([tf.constant(g) for g in mine])
np.testing.assert_allclose(orthogonal, [3, 4], rtol=1e-6)
np.testing.assert_allclose(parallel, [3, 3], rtol=1e-6)
"""
        command = ["mpirun", "-n", "2", python_with_mpi, "-c", code]
        result = subprocess.run(command, env=openmpi, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr

    def test_adasum_trains(self, openmpi, python_with_mpi, tmp_path):
        folder = tmp_path / "run"
        mpirun(openmpi, python_with_mpi, *OPTIONS, "--reduction", "adasum", "--output", folder)
        assert json.loads((folder / "metrics.json").read_text())["test_accuracy"] > 0.9
