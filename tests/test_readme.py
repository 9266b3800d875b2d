"""What the README says, holds."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_python_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_its_paths_exist():
    folders = "tfsci|scripts|lessons|benchmarks|docs"
    paths = re.findall(rf"\]\(([\w./-]+)\)|`((?:{folders})/[\w./]*)`", README)
    for path in {a or b for a, b in paths}:
        assert (ROOT / path).exists(), path


def test_its_options_are_the_scripts():
    text = subprocess.run(
        [sys.executable, ROOT / "scripts" / "train_cnn.py", "--help"],
        capture_output=True,
        text=True,
    ).stdout
    commands = re.findall(r"train_cnn\.py ([^`|\n]*)", README)
    for option in set(re.findall(r"--[\w-]+", " ".join(commands))) - {"--help"}:
        assert option in text, option
