"""Real traces of pipelines whose bottleneck is planted."""

import re
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsci.profile import load, report, trace
from tfsci.profile.callback import TraceSteps
from tfsci.profile.tracing import Tracer

BATCH = 4


def sleeps(seconds):
    """Returns a function for `map` that waits and gives back what it was given."""

    def wait(x):
        time.sleep(seconds)
        return x

    return lambda x: tf.ensure_shape(tf.numpy_function(wait, [x], x.dtype), x.shape)


def pipeline(slow_at, seconds, **calls):
    """Returns a data set with a wait for each element before, or each batch after, `batch`."""
    dataset = tf.data.Dataset.range(10**6)
    if slow_at == "source":
        dataset = tf.data.Dataset.from_generator(
            lambda: (time.sleep(seconds) or i for i in range(10**6)),
            output_signature=tf.TensorSpec((), tf.int64),
        )
    if slow_at == "before shuffle":
        dataset = dataset.map(sleeps(seconds), **calls)
    dataset = dataset.shuffle(4, seed=1)
    if slow_at == "after shuffle":
        dataset = dataset.map(sleeps(seconds), **calls)
    dataset = dataset.batch(BATCH)
    if slow_at == "after batch":
        dataset = dataset.map(sleeps(seconds * BATCH), **calls)
    return dataset.prefetch(2)


def traced(folder, dataset, step, steps=8):
    """Runs a loop of our own and returns the report of its trace."""
    batches = iter(dataset)
    with trace(folder, steps=steps) as tracer:
        for _ in range(steps + 6):
            with tracer.step():
                step(next(batches))
    return report(folder)


@tf.function
def light(x):
    return tf.reduce_sum(x)


@tf.function
def heavy(x):
    def wait(y):
        time.sleep(0.04)
        return y

    return tf.numpy_function(wait, [tf.reduce_sum(x)], tf.int64)


@pytest.mark.parametrize(
    ("slow_at", "kind", "index"),
    [
        ("source", "Generator", 1),
        ("before shuffle", "Map", 2),
        ("after shuffle", "MapAndBatch", 3),  # TensorFlow fuses a map with the batch after it
        ("after batch", "Map", 4),
    ],
)
def test_the_slow_stage_is_named(tmp_path, slow_at, kind, index):
    found = traced(tmp_path, pipeline(slow_at, 0.01), light)
    assert found.verdict == "input-bound"
    assert found.stage.kind == kind
    assert found.stage.index == index
    assert found.stage.runs_python
    # A wait takes no less than asked for, and a busy machine makes it longer.
    assert 0.038 < found.stage.seconds_per_step < 1.5 * found.step_seconds
    assert found.input_share > 0.5
    assert found.changes
    assert found.changes[0].predicted_speedup > 1.2
    assert sum(found.breakdown.values()) == pytest.approx(found.step_seconds, rel=0.02)


def test_the_advice_brings_about_what_it_says(tmp_path):
    before = traced(tmp_path / "before", pipeline("before shuffle", 0.03), heavy)
    change = before.changes[-1]  # with all of those before it
    calls, threads = (
        [int(n) for n in re.findall(pattern, change.where)]
        for pattern in (r"num_parallel_calls=(\d+)", r"private_threadpool_size = (\d+)")
    )
    options = tf.data.Options()
    if threads:
        options.threading.private_threadpool_size = threads[0]
    dataset = pipeline("before shuffle", 0.03, num_parallel_calls=calls[0]).with_options(options)
    after = traced(tmp_path / "after", dataset, heavy)
    assert change.predicted_speedup > 1.3
    gained = before.step_seconds / after.step_seconds
    assert 0.4 < gained / change.predicted_speedup < 2  # 1 where nothing else runs
    assert after.input_share < before.input_share


def test_a_slow_model_is_not_called_input_bound(tmp_path):
    found = traced(tmp_path, pipeline(None, 0), heavy)
    assert found.verdict == "compute-bound"
    assert found.input_share < 0.3


def test_a_pipeline_as_fast_as_the_model_gains_little(tmp_path):
    found = traced(tmp_path, pipeline("after batch", 0.01), heavy)
    assert found.verdict in ("balanced", "input-bound", "compute-bound")
    assert found.input_share < 0.4
    assert all(change.predicted_speedup < 1.6 for change in found.changes)


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


def test_a_retrace_is_found(tmp_path):
    @tf.function
    def step(x):
        return tf.reduce_sum(tf.cast(x, tf.float32) * 2)

    sizes = iter([4, 4, 4, 4, 4, 4, 4, 1, 2, 3, 5, 6, 7, 8, 9, 10])
    found = traced(tmp_path, pipeline(None, 0), lambda x: step(tf.zeros(next(sizes))))
    assert found.verdict == "compile-bound"
    assert "step" in found.answer


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
