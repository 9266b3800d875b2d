"""The script that trains a GPT, as a user runs it: alone, on replicas, and with wrong input."""

import json
import math
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from digits import BIN, history

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_gpt.py"
SMALL = "--num-layers 1 --width 16 --num-heads 2 --epochs 2 --learning-rate 0.01 --clip-norm 0.1"
WORDS = "The energy of a spin is minus the sum of its products with its neighbours. "


def train(*options: object, launcher: tuple = (), **environ: str) -> subprocess.CompletedProcess:
    """Runs the script on one process, or as many as the launcher starts."""
    result = subprocess.run(
        [*launcher, sys.executable, SCRIPT, *SMALL.split(), *map(str, options)],
        capture_output=True, text=True, timeout=300, env=os.environ | environ,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A text of 7,500 bytes whose words come again."""
    path = tmp_path_factory.mktemp("text") / "book.txt"
    order = np.random.default_rng(0).permutation(np.repeat(WORDS.split(), 100))
    path.write_text(" ".join(order))
    return path


@pytest.fixture
def data(book):
    """Options that train on it; batches in two parts make an update."""
    return (
        "--data", f"text:{book}", "--vocabulary-size", 300, "--context-length", 16,
        "--batch-size", 6, "--accumulate", 2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def alone(book, tmp_path_factory):
    """A run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    options = ("--data", f"text:{book}", "--vocabulary-size", 300, "--context-length", 16)
    options += ("--batch-size", 6, "--accumulate", 2, "--output", folder)
    return folder, train(*options)


class TestOneProcess:
    def test_leaves_a_run_folder(self, alone):
        folder, result = alone
        files = {path.name for path in folder.iterdir()}
        written = "config.json history.csv metrics.json model.keras checkpoints curves.png"
        assert files == {*written.split(), "tokenizer.json", "sample.txt"}
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["perplexity"] == pytest.approx(math.exp(metrics["test_loss"]))
        assert metrics["steps"] == 2 * int(metrics["steps"] / 2) > 0
        assert result.stderr == ""
        assert "updates of 2 × 6 samples" in result.stdout.splitlines()[0]
        assert result.stdout.splitlines()[-1].startswith("test loss ")

    def test_what_it_says_in_bits_a_byte_holds(self, alone, book):
        """The test part is the last tenth; its tokens are those of the run's own tokenizer."""
        from tfsci.training.byte_pairs import BytePairs

        folder, _ = alone
        metrics = json.loads((folder / "metrics.json").read_text())
        tail = book.read_bytes()[len(book.read_bytes()) * 9 // 10 :]
        tokens = BytePairs((folder / "tokenizer.json").read_text()).encode(tail)
        bits = metrics["test_loss"] / math.log(2) * len(tokens) / len(tail)
        assert metrics["bits_per_byte"] == pytest.approx(bits, rel=1e-6)
        assert 0 < metrics["bits_per_byte"] < 8

    def test_its_model_loads_in_keras(self, alone):
        code = """if True:
            import sys, keras, tfsci.models.gpt
            assert keras.models.load_model(sys.argv[1] + "/model.keras").input_shape == (None, 16)
        """
        subprocess.run([sys.executable, "-c", code, alone[0]], check=True, capture_output=True)


class TestReplicas:
    """Clipped, with decay, and two batches an update: the same curve to 1e-5."""

    def check(self, folder, alone):
        np.testing.assert_allclose(history(folder), history(alone[0]), rtol=0, atol=1e-5)
        for name in ("tokenizer.json", "sample.txt"):
            assert (folder / name).read_text() == (alone[0] / name).read_text()

    @pytest.mark.slow
    def test_mirrored(self, alone, data, tmp_path):
        train(*data, "--replicas", 2, "--output", tmp_path / "run")
        self.check(tmp_path / "run", alone)

    @pytest.mark.slow
    @pytest.mark.horovod
    def test_horovod(self, alone, data, tmp_path):
        train(*data, "--output", tmp_path / "run", launcher=(BIN / "horovodrun", "-np", "2"))
        self.check(tmp_path / "run", alone)

    @pytest.mark.slow
    def test_workers(self, alone, data, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, SCRIPT, *SMALL.split(), *map(str, data)]
        command += ["--strategy", "multiworker", "--output", str(tmp_path / "run")]
        environ = {"WORLD_SIZE": "2", "TFSCI_PORT": str(port)}
        processes = [
            subprocess.Popen(command, env=os.environ | environ | {"RANK": rank}) for rank in "01"
        ]
        try:
            assert [process.wait(300) for process in processes] == [0, 0]
        finally:
            for process in processes:
                process.kill()
        self.check(tmp_path / "run", alone)


@pytest.mark.slow
def test_resumed_after_its_first_update_it_ends_the_same(alone, data, tmp_path):
    """The tokenizer is the run's own; a checkpoint never holds half an update."""
    folder = tmp_path / "run"
    stopped = train(*data, "--time-limit", "0.001", "--output", folder)
    assert "stopped by time limit after step 1 of" in stopped.stdout
    train(*data, "--output", folder, "--resume")
    np.testing.assert_allclose(history(folder), history(alone[0]), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_deterministic_runs_give_the_same_bits(tmp_path):
    import keras

    import tfsci.models.gpt  # noqa: F401

    options = ("--data", "sequences:samples=60,length=12", "--batch-size", 6, "--dropout", 0.1)
    options += ("--deterministic", "--precision", "mixed_bfloat16", "--quiet")
    weights = []
    for name in "ab":
        result = train(*options, "--output", tmp_path / name)
        assert "(best possible 2.1" in result.stdout and result.stderr == ""
        model = keras.models.load_model(tmp_path / name / "model.keras")
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    samples = [(tmp_path / name / "sample.txt").read_text() for name in "ab"]
    assert samples[0] == samples[1]


class TestBadInput:
    """One line, exit code 2, and nothing is left."""

    @pytest.fixture
    def refused(self, capsys, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)

        def run(options):
            monkeypatch.setattr(sys, "argv", ["train_gpt.py", *options.split()])
            with pytest.raises(SystemExit) as end:
                runpy.run_path(str(SCRIPT), run_name="__main__")
            assert end.value.code == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert not (tmp_path / "runs").exists()
            return line

        return run

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("--data digits", "--data digits: is no text"),
            ("--data npz:/no/such", "--data npz:/no/such: is no text"),
            ("--data nothing", "unknown data set"),
            ("--data text:/no/such", "/no/such: no such file"),
            ("--tokenizer bytes", "--tokenizer: sequences is tokens already"),
            ("--vocabulary-size 500", "--vocabulary-size: sequences is tokens already"),
            ("--augment flip", "--augment flip: is for images"),
            ("--accumulate 0", "argument --accumulate: expected a whole number above 0"),
            ("--clip-norm -1", "argument --clip-norm: expected a number from 0 up"),
            ("--data sequences:length=8 --context-length 9", "says length=8; leave one of them"),
            ("--limit 100 --accumulate 5", "--accumulate 5: an update takes so many batches of 16"),
            ("--limit 100 --num-heads 3", "num_heads 3: does not divide width 128"),
            ("--limit 100 --variant 9b", "unknown variant '9b' of gpt"),
            ("--limit 100 --jit on --deterministic", "--jit on: XLA's operations are not among"),
            ("--limit 100 --sync-batch-norm", "gpt has no batch normalisation"),
        ],
    )
    def test_is_one_line(self, refused, options, words):
        line = refused(options)
        assert line.startswith("train_gpt.py: error: ") and words in line

    def test_of_a_text(self, refused, book):
        text = f"--data text:{book}"
        assert "use a longer text or shorter windows" in refused(f"{text} --context-length 9000")
        assert "expected at least 256" in refused(f"{text} --vocabulary-size 20")
        assert "there are 256 bytes" in refused(f"{text} --tokenizer bytes --vocabulary-size 300")

    def test_without_the_library_the_next_step_is_named(self, refused, book, monkeypatch):
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        line = refused(f"--data text:{book}")
        assert "pip install 'tfsci[text]', or use --tokenizer bytes" in line
