"""`python -m tfsci.profile`, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
import numpy as np
import tensorflow as tf
import helper

def slow(x):
    time.sleep(0.01)
    return x

dataset = tf.data.Dataset.range(10**6).map(lambda x: tf.numpy_function(slow, [x], tf.int64))
dataset = dataset.map(lambda x: tf.ensure_shape(x, ())).batch(4).prefetch(2)

@tf.function
def train_step(x):
    return tf.reduce_sum(x)

for number, batch in enumerate(dataset.take(int(sys.argv[1]))):
    train_step(batch)
print("done", helper.NAME, sys.argv[1:], __name__)
if len(sys.argv) > 2:
    sys.exit(sys.argv[2]) if sys.argv[2] != "raise" else {}["planted"]
"""


@pytest.fixture
def profile(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("NAME = 'beside it'\n")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tfsci.profile", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
        )

    return run


def test_a_script_runs_as_it_is_and_its_bottleneck_is_named(profile, tmp_path):
    result = profile("--output", "trace", "--json", "found.json", "script.py", "90")
    assert (result.returncode, result.stderr) == (0, "")
    assert "done beside it ['90'] __main__" in result.stdout
    assert "Input-bound: " in result.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["verdict"], found["stage"]["kind"]) == ("input-bound", "Map")
    assert found["steps"] >= 3
    assert found["changes"][0]["predicted_speedup"] > 1
    assert len(list((tmp_path / "trace").glob("plugins/profile/*/*.xplane.pb"))) == 1
    assert sorted(path.name for path in (tmp_path / "trace").iterdir()) == ["plugins"]


def test_the_scripts_own_error_comes_through_and_the_trace_is_kept(profile, tmp_path):
    result = profile("script.py", "30", "raise")
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith("KeyError: 'planted'")
    assert 'script.py", line' in result.stderr
    assert "tfsci/profile" not in result.stderr  # no frames of ours
    assert len(list((tmp_path / "profile").glob("plugins/profile/*/*.xplane.pb"))) == 1


def test_the_scripts_exit_code_comes_through_without_tensorflow(profile, tmp_path):
    (tmp_path / "script.py").write_text("import sys\nsys.exit(7)\n")
    result = profile("--output", "trace", "script.py")
    assert result.returncode == 7
    assert result.stderr == (
        "python -m tfsci.profile: nothing was traced: the script did not come to use TensorFlow\n"
    )


def test_what_can_not_be_is_one_line(profile, tmp_path):
    (tmp_path / "file").touch()
    for arguments, message in (
        (("absent.py",), "absent.py: no such script"),
        (("--json", "no/folder.json", "script.py"), "--json no/folder.json: no such folder"),
        (("--output", "file", "script.py"), "--output file: not a folder"),
    ):
        result = profile(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"python -m tfsci.profile: error: {message}\n"


STRAGGLER = """
import dataclasses, time
import keras
import tensorflow as tf
from tfsci import models
from tfsci.data import catalog, pipeline
from tfsci.distributed.strategy import choose
from tfsci.training import fit

strategy = choose("horovod")
source = catalog.load("digits")
train = pipeline.training(source.train, 32, 0, strategy.rank, strategy.num_shards)

def late(x, y):
    shape = x.shape
    x = tf.numpy_function(lambda x: (time.sleep(0.05), x)[1], [x], tf.float32)
    return tf.ensure_shape(x, shape), y

if strategy.rank == 1:
    train = dataclasses.replace(train, dataset=train.dataset.map(late))
model = models.build("cnn", input_shape=source.input_shape, num_classes=10)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.01), loss)
fit(model, train, epochs=4, strategy=strategy)
"""


@pytest.mark.slow
@pytest.mark.horovod
def test_a_rank_that_is_fed_too_slowly_is_named_by_the_first(tmp_path):
    (tmp_path / "script.py").write_text(STRAGGLER)
    command = [Path(sys.executable).with_name("horovodrun"), "-np", "2", sys.executable, "-m"]
    options = ["tfsci.profile", "--output", "trace", "--json", "found.json", "script.py"]
    result = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["verdict"] == "input-bound"
    assert found["stage"]["name"].endswith("(late)")
    assert [rank["slow_part"] for rank in found["ranks"]] == ["", "input"]
    assert result.stdout.count("holds back the others") == 1
    (folder,) = (tmp_path / "trace/plugins/profile").iterdir()
    assert len(list(folder.glob("*.xplane.pb"))) == 2
