"""Training under a real Slurm, on two nodes that share no network but the one between them."""

import json
import re
import shutil

import pytest
from cluster import wait_until
from digits import OPTIONS, SCRIPT, assert_same_curve

from tfsci.job import command as job_command

pytestmark = pytest.mark.slurm

# A training that would take minutes where it is the job's first go, and seconds afterwards.
SLOW = f"""
import os, runpy, time
from tfsci import startup

startup.import_tensorflow()
import keras

if os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
    begin = keras.callbacks.CallbackList.on_train_batch_begin

    def slowly(self, *arguments, **keywords):
        time.sleep(1)
        begin(self, *arguments, **keywords)

    keras.callbacks.CallbackList.on_train_batch_begin = slowly
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
# 40 epochs of 7 steps: more than 280 s where they are slow.
LONG = ("--dropout", "0", "--seed", "0", "--epochs", "40", "--limit", "480")


class TestSrun:
    def test_horovod_without_mpi(self, cluster, digits_alone, tmp_path):
        folder = tmp_path / "run"
        srun = ("srun", "-N", 2, "-n", 4, "python", SCRIPT)
        result = cluster.run(*srun, *OPTIONS, "--output", folder)
        assert result.returncode == 0, result.stdout + result.stderr
        assert_same_curve(folder, digits_alone)
        assert "ranks met at 10.0.0.1:" in result.stdout and "eth0" in result.stdout
        assert "4 ranks (Horovod, Gloo), 1 thread each" in result.stdout
        assert result.stderr == ""
        config = json.loads((folder / "config.json").read_text())
        assert (config["launcher"], config["world_size"]) == ("srun", 4)

    @pytest.mark.slow
    def test_multiworker(self, cluster, digits_alone, tmp_path):
        folder = tmp_path / "run"
        srun = ("srun", "-N", 2, "-n", 2, "python", SCRIPT, "--strategy", "multiworker")
        result = cluster.run(*srun, *OPTIONS, "--output", folder)
        assert result.returncode == 0, result.stdout + result.stderr
        assert_same_curve(folder, digits_alone)
        assert "2 workers (tf.distribute, ring)" in result.stdout
        assert result.stderr == ""


@pytest.fixture
def submit(cluster, tmp_path):
    """Submits a script of `tfsci job` for two nodes, ``submit(training, time)``."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "logs").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts" / "train_cnn.py")

    def run(*options: str, time: str = "00:10:00") -> str:
        training = " ".join(("scripts/train_cnn.py", *options, "--output", "runs/digits"))
        words = f"--scheduler slurm --nodes 2 --gpus-per-node 0 --time {time}".split()
        job_command.main([*words, "--script", training, "--output", str(tmp_path / "job.sh")])
        return cluster.ask("sbatch", "--parsable", "job.sh", cwd=tmp_path)

    return run


@pytest.fixture
def slow_at_first(submit, tmp_path):
    """Makes the first go of what is submitted slow."""
    (tmp_path / "scripts" / "train_cnn.py").write_text(SLOW)


def ended(cluster, number: str):
    """Returns what Slurm knows of a job once it has ended."""
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
    return wait_until(
        lambda: (job := cluster.job(number))["JobState"] in over and job, f"job {number} ended"
    )


def saved(folder) -> list:
    """The checkpoints of a run."""
    return sorted(folder.glob("checkpoints/[!.]*"))


def step_of(log: str, signal: str) -> str:
    """The step after which a training says that a signal stopped it."""
    found = re.search(rf"stopped by {signal} after step (\d+) of 280 \(.*\), and saved", log)
    assert found, log
    return found[1]


class TestSbatch:
    def test_a_script_of_tfsci_job_trains(self, cluster, submit, digits_alone, tmp_path):
        job = ended(cluster, submit(*OPTIONS))
        (log,) = (tmp_path / "logs").iterdir()
        assert job["JobState"] == "COMPLETED", log.read_text()
        assert log.name == f"digits-{job['JobId']}.out"
        assert "2 ranks (Horovod, Gloo)" in log.read_text()
        assert_same_curve(tmp_path / "runs/digits", digits_alone)

    @pytest.mark.slow
    @pytest.mark.parametrize("warning", ["sent", "limit"])
    def test_cut_short_it_goes_on_where_it_was(
        self, warning, cluster, submit, slow_at_first, train, tmp_path
    ):
        """Slurm warns a quarter of the time before the limit, or up to a minute earlier."""
        number = submit(*LONG, time="00:04:00" if warning == "limit" else "00:10:00")
        folder = tmp_path / "runs/digits"
        wait_until(lambda: saved(folder), "a first checkpoint")
        if warning == "sent":
            cluster.ask("scancel", "--signal=USR1", number)
        job = ended(cluster, number)
        log = (tmp_path / f"logs/digits-{number}.out").read_text()
        assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), log
        assert f"goes on from step {step_of(log, 'SIGUSR1')}" in log
        train(*LONG, "--output", tmp_path / "whole")
        assert_same_curve(folder, tmp_path / "whole")

    @pytest.mark.slow
    def test_cancelled_it_leaves_no_process_and_a_checkpoint(
        self, cluster, submit, slow_at_first, train, tmp_path
    ):
        number = submit(*LONG)
        folder = tmp_path / "runs/digits"
        wait_until(lambda: saved(folder), "a first checkpoint")
        assert len(cluster.ranks()) == 2
        cluster.ask("scancel", number)
        wait_until(lambda: not cluster.ranks(), "no rank is left", 60)
        assert ended(cluster, number)["JobState"] == "CANCELLED"
        assert not (folder / "metrics.json").exists()
        step = step_of((tmp_path / f"logs/digits-{number}.out").read_text(), "SIGTERM")
        resumed = train(*LONG, "--output", folder, "--resume")
        assert f"goes on from step {step}" in resumed.stdout
        assert len((folder / "history.csv").read_text().splitlines()) == 1 + 40
