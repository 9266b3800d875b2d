"""Nothing in `fit` and `evaluate` waits for tf.data's autotuner.

When an iterator ends, TensorFlow 2.21 joins the autotuner's thread, mostly asleep until 0.63, 1.27,
2.55 … seconds after its start. Here an epoch's steps compute for 0.4 s, so that a wait would last
half of that or more. It is told by its ratio to the steps, and most of a few runs decide, so that
another program on the machine does not look like a wait.
"""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsci.data import pipeline
from tfsci.data.pipeline import Batches
from tfsci.data.source import Split
from tfsci.training.fit import evaluate, fit

SECONDS, STEPS, BATCH, RUNS = 0.4, 4, 4, 5


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


def waits(model, function, run, epochs=1) -> bool:
    """Whether what follows an epoch's last step takes more than 0.4 of the epoch's steps.

    The wait would be 0.23 s, up to 0.63 s after the start: 0.57 of them.
    """
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
        begins.append(time.perf_counter())
    assert len(ends) == epochs * STEPS
    after = np.subtract(begins[STEPS::STEPS], ends[STEPS - 1 :: STEPS])
    return max(after) > 0.4 * np.sum(np.subtract(ends, begins[:-1])) / epochs


def mostly(measure) -> bool:
    """What more than half of the runs say; no more are made than that takes."""
    said = []
    while max(said.count(True), said.count(False)) <= RUNS // 2:
        said.append(measure())
    return said.count(True) > RUNS // 2


@pytest.fixture(scope="module")
def one(split):
    """One batch, whose repetition is a pipeline that waits."""
    return tf.data.Dataset.from_tensors((split.x[:BATCH], split.y[:BATCH]))


def by_hand(dataset) -> Batches:
    return Batches(dataset, STEPS, BATCH, STEPS * BATCH)


@pytest.mark.parametrize("pipeline_of", ["tfsci", "hand"])
def test_fit_does_not_wait(model, split, one, pipeline_of):
    ours = pipeline_of == "tfsci"
    train = pipeline.training(split, BATCH) if ours else by_hand(one.repeat())

    def run():
        assert len(fit(model, train, epochs=2)) == 2

    assert not mostly(lambda: waits(model, "train_function", run, epochs=2))


@pytest.mark.parametrize("pipeline_of", ["tfsci", "hand"])
def test_evaluate_does_not_wait(model, split, one, pipeline_of):
    weighted = one.map(lambda x, y: (x, y, tf.ones(BATCH))).repeat(STEPS)
    ours = pipeline_of == "tfsci"
    validation = pipeline.evaluation(split, BATCH) if ours else by_hand(weighted)

    assert not mostly(lambda: waits(model, "test_function", lambda: evaluate(model, validation)))


def stock_fit(model, one):
    model.fit(one.repeat(), steps_per_epoch=STEPS, verbose=0, shuffle=False)


def stock_evaluate(model, one):
    model.evaluate(one.repeat(STEPS), verbose=0)


@pytest.mark.parametrize(
    ("function", "run"), [("train_function", stock_fit), ("test_function", stock_evaluate)]
)
def test_stock_keras_does(model, one, function, run):
    """Where it no longer does, `tfsci.data.pipeline.without_autotune` can go."""
    if not any(waits(model, function, lambda: run(model, one)) for _ in range(RUNS)):
        pytest.xfail("this TensorFlow's iterators end at once: without_autotune can go")
