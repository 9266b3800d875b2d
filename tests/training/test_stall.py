"""Nothing in `fit` and `evaluate` waits for tf.data's autotuner.

When an iterator ends, TensorFlow 2.21 joins the autotuner's thread, asleep until 0.63, 1.27, 2.55 …
seconds after its start. Here an epoch's steps compute for 0.75 s, so that a wait would last half a
second. It is told by its ratio to the steps, and the best of a few attempts counts, so that another
program on the machine does not look like one.
"""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.training.fit import evaluate, fit

SECONDS, STEPS, BATCH = 0.75, 5, 4


@pytest.fixture(scope="module")
def split():
    return Split(np.ones((STEPS * BATCH, 3), "float32"), np.zeros(STEPS * BATCH, "int32"))


@pytest.fixture(scope="module")
def model(split):
    """A model whose steps are traced."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=False)
    validation = pipeline.evaluation(split, BATCH)
    fit(model, pipeline.training(split, BATCH), epochs=1, validation=validation)
    return model


def longest_wait(model, function, run, epochs=1) -> float:
    """The longest time between steps or after the last, as a share of an epoch's steps."""
    step, matrix = getattr(model, function), np.ones((128, 128), "float32")
    begins, ends = [], []

    def long_step(iterator):
        begins.append(time.perf_counter())
        logs = step(iterator)
        while time.perf_counter() - begins[-1] < SECONDS / STEPS:
            matrix @ matrix
        ends.append(time.perf_counter())
        return logs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, function, long_step)
        run()
        waits = np.subtract([*begins[1:], time.perf_counter()], ends)
    assert len(ends) == epochs * STEPS
    return max(waits) / (np.sum(np.subtract(ends, begins)) / epochs)


def first_good(measure, good, attempts=3) -> float:
    """The first good measurement, or else the last."""
    for _ in range(attempts):
        share = measure()
        if good(share):
            break
    return share


def no_wait(share: float) -> bool:
    return share < 0.1


def test_fit_does_not_wait(model, split):
    train = pipeline.training(split, BATCH)

    def measure():
        return longest_wait(model, "train_function", lambda: fit(model, train, 2), epochs=2)

    assert no_wait(first_good(measure, no_wait))


def test_evaluate_does_not_wait(model, split):
    validation = pipeline.evaluation(split, BATCH)

    def measure():
        return longest_wait(model, "test_function", lambda: evaluate(model, validation))

    assert no_wait(first_good(measure, no_wait))


def stock_fit(model, one):
    model.fit(one.repeat(), steps_per_epoch=STEPS, verbose=0, shuffle=False)


def stock_evaluate(model, one):
    model.evaluate(one.repeat(STEPS), verbose=0)


@pytest.mark.parametrize(
    ("function", "run"), [("train_function", stock_fit), ("test_function", stock_evaluate)]
)
def test_stock_keras_does(model, split, function, run):
    """Where it no longer does, `tfsci.data.pipeline.without_autotune` can go."""
    one = tf.data.Dataset.from_tensors((split.x[:BATCH], split.y[:BATCH]))

    def measure():
        return longest_wait(model, function, lambda: run(model, one))

    if no_wait(first_good(measure, lambda share: not no_wait(share))):
        pytest.xfail("this TensorFlow's iterators end at once: without_autotune can go")
