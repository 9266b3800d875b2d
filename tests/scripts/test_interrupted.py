"""Runs that are killed, cut and damaged go on to the end that they would have come to."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from digits import SCRIPT, history

EPOCHS = 15
OPTIONS = ("--dropout", "0", "--epochs", str(EPOCHS))
STEPS = EPOCHS * 26


def start(ranks: int, folder: Path, *options: str, **settings) -> list[subprocess.Popen]:
    """Starts so many ranks as a shell loop would, without a launcher that ends the others."""
    command = [sys.executable, str(SCRIPT), *OPTIONS, "--output", str(folder), *options]
    environs = [{}]
    if ranks > 1:
        environs = [{"RANK": str(r), "WORLD_SIZE": str(ranks)} for r in range(ranks)]
    return [
        subprocess.Popen(
            command, env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, **settings,
        )
        for environ in environs
    ]  # fmt: skip


def ended(processes, timeout: float = 240) -> tuple[list[int], str]:
    """Returns the exit codes and all that was printed."""
    try:
        printed = "".join(process.communicate(timeout=timeout)[0] for process in processes)
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], printed


def wait_for_checkpoint(folder: Path, processes) -> None:
    """Waits until a first checkpoint is there, or until no process is left to write it."""
    while not list((folder / "checkpoints").glob("step-*")):
        if all(process.poll() is not None for process in processes):
            return
        time.sleep(0.05)


def weights(folder: Path) -> list[np.ndarray]:
    """All variables of model and optimizer at the end."""
    with np.load(folder / "checkpoints" / f"step-{STEPS:09d}.npz") as file:
        return [file[name] for name in sorted(set(file.files) - {"position"})]


def finish(ranks: int, folder: Path) -> str:
    """Runs on with --resume until the end; returns what was printed."""
    codes, printed = ended(start(ranks, folder, "--resume"))
    assert codes == [0] * ranks, printed
    assert (folder / "metrics.json").exists()
    return printed


def assert_same_bits(folder: Path, whole: Path) -> None:
    for mine, known in zip(weights(folder), weights(whole), strict=True):
        np.testing.assert_array_equal(mine, known)
    np.testing.assert_allclose(history(folder), history(whole), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs, by their number of ranks."""
    folder = tmp_path_factory.mktemp("whole")
    runs = {}

    def run(ranks):
        if ranks not in runs:
            runs[ranks] = folder / str(ranks)
            codes, printed = ended(start(ranks, runs[ranks]))
            assert codes == [0] * ranks, printed
        return runs[ranks]

    return run


class TestAsked:
    @pytest.mark.horovod
    @pytest.mark.slow
    def test_one_rank_hears_the_signal_and_all_save_and_stop(self, whole, tmp_path):
        folder = tmp_path / "run"
        processes = start(2, folder)
        wait_for_checkpoint(folder, processes)
        processes[1].send_signal(signal.SIGTERM)
        codes, printed = ended(processes)
        assert codes == [0, 0], printed
        (line,) = [line for line in printed.splitlines() if "stopped by" in line]
        assert line.startswith("stopped by SIGTERM after step ")
        assert line.endswith(f"; go on with the same command and --output {folder} --resume")
        assert not (folder / "metrics.json").exists()
        assert "goes on from step " in finish(2, folder)
        assert_same_bits(folder, whole(2))

    @pytest.mark.slow
    def test_the_time_limit_stops_and_another_number_of_replicas_goes_on(self, whole, tmp_path):
        folder = tmp_path / "run"
        codes, printed = ended(start(1, folder, "--time-limit", "0.001"))  # at its first step
        assert (codes, "stopped by time limit after step 1 of" in printed) == ([0], True), printed
        codes, printed = ended(start(1, folder, "--resume", "--replicas", "2"))
        assert codes == [0], printed
        for mine, known in zip(weights(folder), weights(whole(1)), strict=True):
            np.testing.assert_allclose(mine, known, rtol=0, atol=1e-5)

    @pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
    def test_by_convention_the_exit_code_tells_the_signal(self, tmp_path, monkeypatch, name, code):
        monkeypatch.setenv("TFSCI_EXIT_BY_SIGNAL", "1")
        processes = start(1, tmp_path / "run", "--epochs", "100000")
        wait_for_checkpoint(tmp_path / "run", processes)
        processes[0].send_signal(getattr(signal, name))
        codes, printed = ended(processes)
        assert codes == [code], printed
        assert "Traceback" not in printed


def fill_disk() -> None:
    """Lets no file grow beyond 100 kB, which a checkpoint does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def break_off(kind: str, ranks: int, folder: Path, chance: random.Random) -> None:
    """Starts a run and breaks it off, at a random moment after its first checkpoint."""
    if kind == "full disk":
        codes, printed = ended(start(ranks, folder, preexec_fn=fill_disk))
        assert 2 in codes, printed
        assert "can't be written (File too large); make room and go on with --resume" in printed
        assert "Traceback" not in printed
        return
    processes = start(ranks, folder)
    wait_for_checkpoint(folder, processes)
    time.sleep(chance.uniform(0, 2))
    if kind == "SIGTERM":
        for process in processes:
            process.send_signal(signal.SIGTERM)
    else:
        chance.choice(processes).kill()
    _, printed = ended(processes)
    assert "Traceback" not in printed
    if kind == "truncated":
        newest = max((folder / "checkpoints").glob("step-*"))
        os.truncate(newest, chance.randrange(newest.stat().st_size))


KINDS = ("SIGKILL", "SIGTERM", "truncated", "full disk")


@pytest.mark.horovod
class TestBrokenOff:
    @pytest.mark.slow
    def test_killed_it_goes_on(self, whole, tmp_path):
        break_off("SIGKILL", 2, tmp_path / "run", random.Random(0))
        finish(2, tmp_path / "run")
        assert_same_bits(tmp_path / "run", whole(2))

    @pytest.mark.slow
    @pytest.mark.parametrize("number", range(40))
    def test_40_times(self, whole, tmp_path, number):
        """Each kind on each number of ranks; a fifth goes on on another number."""
        kind, ranks = KINDS[number % 4], 1 + number // 4 % 3
        folder, chance = tmp_path / "run", random.Random(number)
        break_off(kind, ranks, folder, chance)
        if number % 5:
            finish(ranks, folder)
            assert_same_bits(folder, whole(ranks))
        else:
            finish(1 + ranks % 2, folder)
            for mine, known in zip(weights(folder), weights(whole(ranks)), strict=True):
                np.testing.assert_allclose(mine, known, rtol=0, atol=1e-5)
