"""A small training whose curve is the same wherever it runs, for what starts it in other ways."""

import csv
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "train_cnn.py"
BIN = Path(sys.executable).parent
OPTIONS = ("--dropout", "0", "--seed", "0", "--epochs", "3")


def history(folder: Path) -> np.ndarray:
    """Losses and accuracies of a run, a row an epoch."""
    with (folder / "history.csv").open() as file:
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        return np.array([[float(row[name]) for name in names] for row in csv.DictReader(file)])


def assert_same_curve(folder: Path, other: Path) -> None:
    """Asserts that two runs had the same losses and accuracies in every epoch."""
    np.testing.assert_allclose(history(folder), history(other), rtol=0, atol=1e-5)
