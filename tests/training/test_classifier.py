import keras
import numpy as np
import pytest

from tfsci import models
from tfsci.data.source import Split
from tfsci.training.classifier import fit_classifier


def two_groups(count, seed):
    """Points about (−2, 0) and (2, 0): a straight line tells 97.7 % of them apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count).astype("int32")
    x = rng.normal(size=(count, 2)) + 2 * np.stack([2 * y - 1, 0 * y], 1)
    return Split(x.astype("float32"), y)


def network():
    keras.utils.set_random_seed(0)
    return models.build("mlp", variant="linear", input_shape=(2,), num_classes=2)


def test_it_reaches_what_is_possible():
    rows = fit_classifier(
        network(), two_groups(500, 0), 5, learning_rate=0.05, validation=two_groups(2000, 1)
    )
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[-1]["val_accuracy"] == pytest.approx(0.97725, abs=0.01)
    # The cosine over 50 steps, of which the last epoch's last is number 49.
    assert rows[-1]["learning_rate"] == pytest.approx(0.05 * (1 + np.cos(np.pi * 49 / 50)) / 2)


def test_a_batch_holds_at_most_all_samples():
    rows = fit_classifier(network(), two_groups(20, 0), 2)
    assert len(rows) == 2 and "val_loss" not in rows[0]


def test_its_step_is_traced_once():
    """Of a step that makes variables TensorFlow would take two traces, in twice the time."""
    model, traces = network(), []
    step = model.train_step
    model.train_step = lambda data: traces.append(1) or step(data)
    fit_classifier(model, two_groups(20, 0), 2)
    assert len(traces) == 1
