"""Batch normalisation over the global batch: its formula, then every strategy with processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from tfsci.distributed import batch_norm
from tfsci.distributed.strategy import Strategy

RANKS = Path(__file__).with_name("batch_norm_ranks.py")


def alone(values, name):
    return values


def normalising(shape, **options):
    """A model of one layer, and the layer."""
    layer = layers.BatchNormalization(**options)
    return keras.Sequential([keras.Input(shape), layer]), layer


class TestMoments:
    @given(st.integers(0, 2**32 - 1), st.sampled_from([-1, 1, 2]), st.floats(-3, 3))
    def test_are_those_of_all_numbers_of_a_channel(self, seed, axis, shift):
        model, layer = normalising((3, 4, 5), axis=axis)
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, shift, "float32"))
        batch_norm.synchronize(model, alone)
        x = np.random.default_rng(seed).normal(1, 2, (6, 3, 4, 5)).astype("float32")
        mean, variance = layer._moments(tf.constant(x), None)
        others = tuple(i for i in range(4) if i != axis % 4)
        np.testing.assert_allclose(mean, x.mean(others), atol=1e-5)
        np.testing.assert_allclose(variance, x.var(others), rtol=1e-4)

    def test_lose_no_digits_far_from_zero_where_the_moving_mean_is_near(self):
        x = np.random.default_rng(0).normal(1000, 0.1, (512, 2)).astype("float32")
        model, layer = normalising((2,), moving_mean_initializer=keras.initializers.Constant(999.9))
        layer.synchronized = True
        _, kerass = layer._moments(tf.constant(x), None)
        batch_norm.synchronize(model, alone)
        _, ours = layer._moments(tf.constant(x), None)
        exact = x.astype("float64").var(0)
        assert np.abs(kerass / exact - 1).max() > 0.1
        np.testing.assert_allclose(ours, exact, rtol=1e-3)

    def test_of_masked_inputs_are_keras_own(self):
        generator = np.random.default_rng(0)
        x = tf.constant(generator.normal(1, 2, (4, 5, 3)).astype("float32"))
        mask = tf.constant(generator.random((4, 5)) < 0.6)
        model, layer = normalising((5, 3))
        expected = layer._moments(x, mask)
        batch_norm.synchronize(model, alone)
        np.testing.assert_allclose(layer._moments(x, mask), expected, rtol=1e-4)
        assert np.isfinite(layer._moments(x, tf.zeros((4, 5), "bool"))).all()

    def test_are_of_the_sum_over_replicas_with_as_many_rows_as_each_has(self):
        """By hand: 1, 3 here and 5, 5, 6 there have mean 4 and variance (9+1+1+1+4)/5."""
        model, layer = normalising((1,))
        there = tf.constant([16.0, 86.0, 3.0])
        batch_norm.synchronize(model, lambda values, name: values + there)
        mean, variance = layer._moments(tf.constant([[1.0], [3.0]]), None)
        assert (mean.numpy(), variance.numpy()) == (pytest.approx([4]), pytest.approx([3.2]))


class TestLayers:
    def test_are_found_within_others_and_have_names_of_their_own(self):
        inner = keras.Sequential([layers.BatchNormalization(name="same")], name="inner")
        outer = [keras.Input((5, 3)), layers.TimeDistributed(inner), layers.Dense(2)]
        model = keras.Sequential([*outer, layers.BatchNormalization(name="same")])
        names = []
        found = batch_norm.synchronize(model, lambda v, name: names.append(name) or v)
        model(np.ones((2, 5, 3), "float32"), training=True)
        assert found == len(set(names)) == 2

    def test_in_one_process_are_counted_and_left_alone(self):
        model, layer = normalising((3,))
        assert Strategy().synchronize_batch_norm(model) == 1
        assert "_moments" not in vars(layer)
        assert Strategy().synchronize_batch_norm(keras.Sequential([layers.Dense(1)])) == 0

    def test_of_a_saved_model_are_plain_keras(self, tmp_path):
        model, _ = normalising((3,))
        batch_norm.synchronize(model, alone)
        model.save(tmp_path / "model.keras")
        (layer,) = keras.models.load_model(tmp_path / "model.keras").layers
        assert type(layer) is layers.BatchNormalization
        assert "_moments" not in vars(layer) and layer.synchronized is False


class TestMovingStatistics:
    def test_are_float_variables_of_layers_that_learn(self):
        frozen, counting = layers.BatchNormalization(), layers.Dense(3)
        counting.add_weight(shape=(), dtype="int32", trainable=False, name="steps")
        model = keras.Sequential(
            [keras.Input((3,)), layers.BatchNormalization(), layers.Dropout(0.5), counting, frozen]
        )
        frozen.trainable = False
        found = batch_norm.moving_statistics(model)
        assert len(model.non_trainable_variables) == 8  # a seed, a counter, a frozen layer's four
        assert [v.name for v in found] == ["moving_mean", "moving_variance"]

    def test_where_there_are_none_nothing_is_exchanged(self):
        model = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5), layers.Dense(2)])
        batch_norm.average(batch_norm.moving_statistics(model), pytest.fail)

    def test_are_averaged_in_one_exchange(self):
        model, layer = normalising((2,), dtype="bfloat16")
        layer.moving_mean.assign([1, 2])
        variables = batch_norm.moving_statistics(model)
        batch_norm.average(variables, lambda values: np.add(values, [3, 3, 0, 4]) / 2)
        assert [v.numpy().astype(float).tolist() for v in variables] == [[2, 2.5], [0.5, 2.5]]


def run(name: str, folder: Path, processes: int) -> dict[str, np.ndarray]:
    """Trains in so many processes; returns the weights after each way, a row a replica."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = os.environ | {"TFSCI_PORT": str(port)}
    if processes > 1:
        environ["WORLD_SIZE"] = str(processes)
    started = [
        subprocess.Popen(
            [sys.executable, RANKS, name, folder],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environ | ({"RANK": str(rank)} if processes > 1 else {}),
        )
        for rank in range(processes)
    ]  # fmt: skip
    printed = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes, printed
    assert "retracing" not in "".join(printed)
    files = [np.load(folder / f"{name}-{rank}.npz") for rank in range(processes)]
    return {way: np.concatenate([file[way] for file in files]) for way in files[0]}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Weights of one process, by plain Keras."""
    results = run("single", tmp_path_factory.mktemp("single"), 1)
    np.testing.assert_array_equal(results["synchronized"], results["apart"])
    np.testing.assert_array_equal(results["averaged"], results["apart"])
    return results["apart"][0]


STATISTICS = 2 * 4 + 2 * 8  # at the end of the weights: mean and variance of 4 and 8 channels
HOROVOD = pytest.param("horovod", 2, marks=[pytest.mark.slow, pytest.mark.horovod])
WORKERS = pytest.param("multiworker", 2, marks=pytest.mark.slow)


@pytest.mark.parametrize(("name", "processes"), [("mirrored", 1), WORKERS, HOROVOD])
def test_two_replicas_are_one_process_with_the_option_alone(single, tmp_path, name, processes):
    results = run(name, tmp_path, processes)
    assert results["synchronized"].shape == (2, *single.shape)
    assert np.abs(results["synchronized"] - single).max() < 1e-5

    apart, averaged = results["apart"], results["averaged"]
    assert np.abs(apart - single)[:, :-STATISTICS].max() > 1e-3
    assert np.abs(apart - single)[:, -STATISTICS:].max() > 1e-3
    np.testing.assert_array_equal(apart[0, :-STATISTICS], apart[1, :-STATISTICS])
    assert np.abs(apart[0] - apart[1]).max() > 1e-3  # each replica has another model to evaluate
    np.testing.assert_array_equal(averaged[0], averaged[1])
    np.testing.assert_allclose(averaged[0], apart.mean(0), rtol=0, atol=1e-6)
