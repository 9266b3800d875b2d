"""A command that fails in or beside its input pipeline ends, with the exit code that it said."""

import subprocess
import sys

import numpy as np
import pytest
from digits import SCRIPT
from PIL import Image

_PROGRAM = """
import sys, time
import tensorflow as tf
from tfsci import command

def slow(number):
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        pass
    if sys.argv[1] == "pipeline" and number == 20:
        raise ValueError("sample 20: not a picture")
    return number

def main():
    numbers = tf.data.Dataset.range(10_000)
    numbers = numbers.map(lambda n: tf.numpy_function(slow, [n], tf.int64), num_parallel_calls=2)
    for step, _ in enumerate(numbers.prefetch(4)):
        if sys.argv[1] == "loop" and step == 5:
            raise ValueError("step 5: not a number")
        if sys.argv[1] == "user" and step == 5:
            raise KeyboardInterrupt

command.run(main)
"""


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("loop", 2, "error: step 5: not a number"),
        pytest.param("pipeline", 2, "error: sample 20: not a picture", marks=pytest.mark.slow),
        pytest.param("user", 130, "interrupted", marks=pytest.mark.slow),
    ],
)
def test_threads_of_an_iterator_do_not_keep_it(where, code, said):
    command = [sys.executable, "-c", _PROGRAM, where]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr.strip().endswith(said)) == (code, True), ended.stderr


def test_a_failure_that_is_caught_leaves_no_exit_code_behind():
    program = """
from tfsci import command

def main():
    raise ValueError("wrong")

try:
    command.run(main)
except SystemExit:
    print("caught")
"""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.strip()) == (0, "caught"), ended.stderr


def test_a_training_ends_at_a_file_that_cannot_be_read(tmp_path):
    photos = tmp_path / "photos"
    random = np.random.default_rng(3)
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        for i in range(40):
            pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / name / f"{i}.jpg")
    broken = photos / "dog" / "7.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    command = [sys.executable, SCRIPT, "--data", f"folder:{photos}"]
    command += ["--output", str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert f"error: {broken}: can't be read" in ended.stderr
