"""Traces of Keras' fit, of several ranks, and of what fails."""

import gc
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsci.profile import load, report, trace
from tfsci.profile.callback import TraceSteps
from tfsci.profile.tracing import Tracer


def sleeps(seconds):
    """Returns a function for `map` that waits and gives back what it was given."""

    def wait(x):
        time.sleep(seconds)
        return x

    return lambda x: tf.ensure_shape(tf.numpy_function(wait, [x], x.dtype), x.shape)


def test_a_keras_fit_is_traced_after_its_warm_up(tmp_path):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    slow = tf.data.Dataset.range(10**6).map(sleeps(0.005))
    slow = slow.map(lambda x: (tf.fill((2,), tf.cast(x, tf.float32)), 0.0)).batch(4).prefetch(1)
    model.fit(
        slow,
        steps_per_epoch=20,
        verbose=0,
        shuffle=False,
        callbacks=[TraceSteps(tmp_path, steps=8)],
    )
    host = load(tmp_path).hosts[0]
    assert host.marker == "train"
    assert 3 <= host.steps <= 8
    assert host.compiled == {}
    assert host.cores >= 1
    found = report(tmp_path)
    assert (found.verdict, found.stage.kind, found.stage.index) == ("input-bound", "Map", 2)
    assert not list(tmp_path.glob(".trace-*"))


def test_a_dataset_that_is_gone_by_the_end_is_known_all_the_same(tmp_path):
    def twice(x):
        return 2 * x

    iterator = iter(tf.data.Dataset.range(20).map(twice))
    with trace(tmp_path) as tracer:
        for _ in range(8):
            with tracer.step():
                next(iterator)
        del iterator
        gc.collect()
    assert "twice" in {stage.function for stage in load(tmp_path).hosts[0].stages}


def test_ranks_write_into_one_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
    paths = []
    for rank in ("0", "1", "0", "1"):
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", rank)
        monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", rank)
        with trace(tmp_path) as tracer:
            np.zeros(1)
        paths.append(tracer.path.relative_to(tmp_path / "plugins" / "profile"))
    assert [path.parent.name for path in paths] == ["ranks2_1"] * 2 + ["ranks2_2"] * 2
    assert [path.name.split(".")[-3] for path in paths] == ["rank0", "rank1"] * 2


def test_one_trace_at_a_time_and_what_failed_is_kept(tmp_path):
    with pytest.raises(KeyError), trace(tmp_path / "kept") as first:
        with pytest.raises(ValueError, match="another trace is being taken"):
            Tracer(tmp_path / "other").start()
        raise KeyError("the training's own")
    assert first.path.is_file()
    assert load(tmp_path / "kept").hosts[0].steps == 0
    assert not list((tmp_path / "other").iterdir())
    with pytest.raises(ValueError, match="steps >= 1"):
        Tracer(tmp_path, steps=0)
