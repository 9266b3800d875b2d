"""The scripts that train residual networks and vision transformers, each run as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def slow(*values):
    """A case that runs with --slow alone."""
    return pytest.param(*values, marks=pytest.mark.slow)


def train(script: str, *options: object, code: int = 0) -> subprocess.CompletedProcess:
    result = subprocess.run(
        [sys.executable, SCRIPTS / script, *map(str, options)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == code, result.stdout + result.stderr
    return result


def test_resnet_on_a_synthetic_batch_tells_its_speed(tmp_path):
    folder = tmp_path / "run"
    result = train(
        "train_resnet.py", "--data", "synthetic:size=8,classes=3,steps=3", "--batch-size", 4,
        "--accumulate", 2, "--epochs", 1, "--precision", "mixed_bfloat16", "--output", folder,
    )  # fmt: skip
    assert result.stderr == ""
    first, _, last = result.stdout.splitlines()
    assert first.startswith("synthetic:size=8,classes=3,steps=3, 24/8/8 samples")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["test_loss"], metrics["test_accuracy"]) == (None, None)
    assert metrics["steps"] == 3
    rate, flops = metrics["examples_per_second"], metrics["flops_per_second"]
    assert last == f"{rate:,.1f} images/s · {flops / 1e9:,.1f} GFLOP/s · run folder {folder}"


@pytest.mark.slow
def test_vit_learns_the_digits(tmp_path):
    """Ten classes: by chance a tenth is right."""
    folder = tmp_path / "run"
    result = train(
        "train_vit.py", "--epochs", 3, "--warmup-epochs", 1, "--label-smoothing", 0.1,
        "--patch-size", 4, "--jit", "off", "--output", folder,
    )  # fmt: skip
    assert result.stderr == ""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0.5 < metrics["test_accuracy"] <= 1
    task = json.loads((folder / "config.json").read_text())["options"]["task"]
    assert task == {"name": "classification", "label_smoothing": 0.1}
    refused = train("train_vit.py", "--epochs", 3, "--output", folder, "--resume", code=2)
    assert "holds a run with other settings" in refused.stderr


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("train_resnet.py", "--variant 20", "unknown variant '20' of resnet"),
        slow("train_resnet.py", "--stem 7x7", "too small for stem 7x7"),
        slow("train_resnet.py", "--data synthetic:size=x", "size=x: expected a whole number"),
        ("train_vit.py", "--patch-size 3", "patches of 3×3 pixels do not fill it"),
        slow("train_vit.py", "--data sequences", "has no classes to tell apart"),
    ],
)
def test_bad_input_is_one_line(script, options, words, tmp_path):
    result = train(script, *options.split(), "--output", tmp_path / "run", code=2)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{script}: error: ") and words in line
    assert not (tmp_path / "run").exists()
