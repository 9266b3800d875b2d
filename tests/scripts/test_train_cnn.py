"""The training script as a user runs it, on one process and on real Horovod ranks."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_cnn.py"
BIN = Path(sys.executable).parent


def slow(*values):
    """A case that runs with --slow alone."""
    return pytest.param(*values, marks=pytest.mark.slow)


def train(ranks: int, *options: object, code: int = 0, env: dict | None = None):
    """Runs the script on so many Horovod ranks; on 0, without a launcher."""
    launcher = [BIN / "horovodrun", "-np", str(ranks)] if ranks else []
    result = subprocess.run(
        [*launcher, sys.executable, SCRIPT, *map(str, options)],
        capture_output=True, text=True, timeout=300, env=os.environ | (env or {}),
    )  # fmt: skip
    assert result.returncode == code, result.stdout + result.stderr
    return result


def workers(count: int, *options: object) -> list[tuple[str, str]]:
    """Runs the script as so many multiworker processes; returns what each printed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, SCRIPT, "--strategy", "multiworker", *map(str, options)]
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"RANK": str(i), "WORLD_SIZE": str(count), "TFSCI_PORT": str(port)},
        )
        for i in range(count)
    ]  # fmt: skip
    printed = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, printed
    return printed


def history(folder: Path) -> np.ndarray:
    """Losses and accuracies, a row an epoch."""
    with (folder / "history.csv").open() as file:
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        return np.array([[float(row[name]) for name in names] for row in csv.DictReader(file)])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    result = train(0, "--dropout", 0, "--seed", 0, "--epochs", 3, "--output", folder)
    return folder, result


class TestOneProcess:
    def test_leaves_a_run_folder(self, alone):
        folder, _ = alone
        files = {path.name for path in folder.iterdir()}
        written = "config.json history.csv metrics.json model.keras checkpoints curves.png"
        assert files == set(written.split())
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["steps"] == 3 * (1258 // 48)
        assert metrics["parameters"] == 320 + 18_496 + 32_896 + 1_290
        assert (metrics["world_size"], metrics["strategy"]) == (1, "single")
        assert metrics["known_answer"] is None
        config = json.loads((folder / "config.json").read_text())
        assert config["options"]["model"] == {"name": "cnn", "variant": "small", "dropout": 0.0}
        assert config["versions"]["keras"].startswith("3.")

    def test_every_line_of_its_output_is_ours(self, alone):
        folder, result = alone
        first, *epochs, last = result.stdout.splitlines()
        assert first.startswith("digits, 1258/360/179 samples to train/validate/test · cnn_small")
        assert [line[:10] for line in epochs] == ["epoch 1/3 ", "epoch 2/3 ", "epoch 3/3 "]
        assert last.startswith("test accuracy 0.9") and last.endswith(f"run folder {folder}")
        assert result.stderr == ""

    def test_its_model_predicts_what_it_says(self, alone):
        code = """if True:
            import json, sys, keras, numpy
            from tfsci.data import catalog
            model, test = keras.models.load_model(sys.argv[1] + "/model.keras"), catalog.load().test
            right = numpy.mean(model.predict(test.x, verbose=0).argmax(1) == test.y)
            metrics = json.load(open(sys.argv[1] + "/metrics.json"))
            assert abs(metrics["test_accuracy"] - right) < 1e-6, (metrics, right)
        """
        subprocess.run([sys.executable, "-c", code, alone[0]], check=True, capture_output=True)

    def test_the_same_settings_give_the_same_bits(self, alone, tmp_path):
        options = ("--dropout", 0, "--seed", 0, "--epochs", 3)
        train(0, *options, "--quiet", "--output", tmp_path / "run")
        np.testing.assert_array_equal(history(tmp_path / "run"), history(alone[0]))

    def test_a_trace_is_left_where_asked_for(self, tmp_path):
        options = ("--profile", 3, "--precision", "mixed_bfloat16", "--epochs", 1, "--quiet")
        result = train(0, *options, "--output", tmp_path / "run")
        assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
        assert result.stderr == "" and len(result.stdout.splitlines()) == 1

    @pytest.mark.parametrize("replicas", [2, slow(3), slow(4)])
    def test_mirrored_replicas_give_the_same_curve(self, alone, tmp_path, replicas):
        folder = tmp_path / "run"
        result = train(
            0, "--dropout", 0, "--seed", 0, "--epochs", 3, "--replicas", replicas,
            "--output", folder,
        )  # fmt: skip
        np.testing.assert_allclose(history(folder), history(alone[0]), rtol=0, atol=1e-5)
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (metrics["world_size"], metrics["strategy"]) == (replicas, "mirrored")
        assert f"{replicas} mirrored replicas (logical CPU devices)" in result.stdout
        assert result.stderr == ""

    @pytest.mark.parametrize("count", [2, slow(3)])
    def test_workers_give_the_same_curve(self, alone, tmp_path, count):
        folder = tmp_path / "run"
        options = ("--dropout", 0, "--seed", 0, "--epochs", 3, "--output", folder)
        first, *others = workers(count, *options)
        np.testing.assert_allclose(history(folder), history(alone[0]), rtol=0, atol=1e-5)
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (metrics["world_size"], metrics["strategy"]) == (count, "multiworker")
        assert f"{count} workers (tf.distribute, ring)" in first[0]
        assert [err for _, err in (first, *others)] == [""] * count
        assert [out for out, _ in others] == [""] * (count - 1)

    @pytest.mark.parametrize(("ranks", "others"), [slow(2, ()), slow(0, ("--replicas", 2))])
    def test_a_run_cut_short_goes_on_to_the_same_end(self, alone, tmp_path, ranks, others):
        cut = tmp_path / "run"
        script = f"""if True:
            import sys
            sys.argv = ["train_cnn.py", "--dropout", "0", "--epochs", "3", "--output", {str(cut)!r},
                        *sys.argv[1:]]
            sys.path.insert(0, {str(SCRIPT.parent)!r})
            from tfsci.training.run_folder import RunFolder
            write, rows = RunFolder.write_history, []
            def cut_short(self, rows):
                if len(rows) == 3: raise KeyboardInterrupt
                write(self, rows)
            RunFolder.write_history = cut_short
            import train_cnn
            from tfsci import command
            command.run(train_cnn.main)
        """
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert result.returncode == 130
        assert result.stderr.splitlines()[-1].endswith("interrupted")
        options = ("--dropout", 0, "--epochs", 3, "--output", cut)
        refused = train(0, *options, code=2)
        assert "--resume" in refused.stderr
        resumed = train(ranks, *options, *others, "--resume")
        assert "goes on from step 52" in resumed.stdout
        np.testing.assert_allclose(history(cut), history(alone[0]), atol=1e-5)
        assert json.loads((cut / "metrics.json").read_text())["resumed_from_step"] == 52

    def test_a_run_cut_short_goes_on_on_workers(self, alone, tmp_path):
        """Its last checkpoint taken away, a whole run is one that was cut after two epochs."""
        cut = tmp_path / "run"
        shutil.copytree(alone[0], cut)
        max((cut / "checkpoints").iterdir()).unlink()
        options = ("--dropout", 0, "--seed", 0, "--epochs", 3, "--output", cut, "--resume")
        (out, _), *_ = workers(2, *options)
        assert "goes on from step 52" in out
        np.testing.assert_allclose(history(cut), history(alone[0]), rtol=0, atol=1e-5)


@pytest.mark.horovod
class TestRanks:
    @pytest.mark.parametrize("ranks", [1, 2, slow(3), slow(4), slow(6)])
    def test_one_curve(self, ranks, alone, tmp_path):
        folder = tmp_path / "run"
        result = train(ranks, "--dropout", 0, "--seed", 0, "--epochs", 3, "--output", folder)
        np.testing.assert_allclose(history(folder), history(alone[0]), rtol=0, atol=1e-5)
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["world_size"] == ranks
        assert result.stderr == ""
        assert all(line.startswith("[0]<stdout>:") for line in result.stdout.splitlines())

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--data", "nothing"], "--data nothing: unknown data set; expected one of digits"),
            (["--batch-size", "47"], "use 46 or 48"),
            slow(["--batch-size", "0"], "argument --batch-size: expected a whole number above 0"),
            slow(
                ["--epochs", "-1"], "argument --epochs: expected a whole number above 0, got '-1'"
            ),
            (["--strategy", "single"], "--strategy single: horovodrun started 2 processes"),
            (["--learning-rate", "1e9"], "lower --learning-rate"),
            slow(["--jit", "on"], "use --jit auto"),
        ],
    )
    def test_bad_input_is_one_line_of_one_rank(self, options, words, tmp_path):
        folder = tmp_path / "run"
        result = train(2, *options, "--output", folder, code=2)
        (line,) = result.stderr.splitlines()
        assert line.startswith("[0]<stderr>:train_cnn.py: error: ") and words in line
        assert not (folder / "model.keras").exists() and not (folder / "metrics.json").exists()
        assert not list(tmp_path.rglob(".*"))  # nothing half-written

    @pytest.mark.slow
    def test_an_output_that_can_not_be_is_refused_by_the_chief(self, tmp_path):
        (tmp_path / "file").touch()
        result = train(2, "--output", tmp_path / "file", code=2)
        (line,) = result.stderr.splitlines()
        assert line.endswith("is a file; name a folder")

    @pytest.mark.slow
    def test_a_run_with_other_settings_is_kept(self, alone, tmp_path):
        before = (alone[0] / "history.csv").read_bytes()
        result = train(2, "--epochs", 4, "--dropout", 0, "--output", alone[0], code=2)
        (line,) = result.stderr.splitlines()
        assert "other settings (epochs was 3, is 4)" in line
        assert (alone[0] / "history.csv").read_bytes() == before

    def test_without_horovod_the_next_step_is_named(self, tmp_path):
        (tmp_path / "horovod.py").write_text("raise ModuleNotFoundError(name='horovod')")
        environ = {"PYTHONPATH": str(tmp_path)}
        launched = {"HOROVOD_RANK": "0", "HOROVOD_SIZE": "2"}
        result = train(0, "--output", tmp_path / "run", code=2, env=environ | launched)
        (line,) = result.stderr.splitlines()
        assert "Horovod is not installed" in line and "tfsci install-horovod" in line

    @pytest.mark.slow
    def test_six_ranks_at_once_prepare_a_set_once_and_all_train(self, tmp_path):
        result = train(
            6, "--data", "ising:size=8,sweeps=2,samples=2400", "--data-dir", tmp_path / "data",
            "--augment", "flip,rotate", "--epochs", 1, "--output", tmp_path / "run",
        )  # fmt: skip
        assert "1680/480/240 samples to train/validate/test" in result.stdout
        others = {line.split(":", 1)[1] for line in result.stderr.splitlines()}
        assert all(line.startswith(("Waiting while", "Making ising")) for line in others)
        assert len(list((tmp_path / "data").rglob("tfsci.json"))) == 1
        metrics = json.loads((tmp_path / "run/metrics.json").read_text())
        assert metrics["known_answer"] > metrics["test_accuracy"] - 0.1


class TestData:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--data", "sequences"], "--data sequences: has no classes to tell apart"),
            (["--data", "npz:/no/such"], "/no/such"),
            (["--data", "folder:/no/such"], "/no/such"),
            (["--data", "damage:7"], "--data damage: classes: expected 5, 3 or 2; received 7"),
            (["--augment", "flip,shear"], "shear"),
            (["--data", "ising", "--limit", "3"], "--limit 3: leaves a split of ising without"),
        ],
    )
    def test_bad_input_is_one_line(self, options, words, tmp_path):
        result = train(0, *options, "--output", tmp_path / "run", code=2)
        (line,) = result.stderr.splitlines()
        assert line.startswith("train_cnn.py: error: ") and words in line
        assert not (tmp_path / "run").exists()

    def test_the_known_answer_stands_beside_the_accuracy(self, tmp_path):
        result = train(
            0, "--data", "ising:size=16", "--limit", 1000, "--epochs", 2, "--data-dir",
            tmp_path / "data", "--output", tmp_path / "run",
        )  # fmt: skip
        metrics = json.loads((tmp_path / "run/metrics.json").read_text())
        assert metrics["known_answer"] == pytest.approx(0.9532, abs=1e-4)
        # A hundred test samples: three standard deviations are 0.063.
        assert 0.8 < metrics["test_accuracy"] <= 0.9532 + 0.063
        assert "(best possible 0.9532)" in result.stdout.splitlines()[-1]
        assert not (tmp_path / "data").exists()
