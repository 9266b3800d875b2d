"""A batch in parts gives what it gives as a whole."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.training import fit
from tfsci.training.accumulation import accumulate

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "clipped": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.05),
}


def samples() -> Split:
    generator = np.random.default_rng(0)
    x = generator.integers(7, size=(48, 4)).astype("int32")
    return Split(x, (x.sum(1) % 3).astype("int32"))


def network(optimizer, jit=False) -> keras.Model:
    """For SGD with an embedding, whose gradient is sparse.

    Keras 3.15 squares the rows of a sparse gradient, for Adam and for the norm, before it adds up
    those of one token: there the whole is wrong.
    """
    keras.utils.set_random_seed(1)
    first = [layers.Rescaling(1 / 7)]
    if optimizer.name == "SGD" and not optimizer.global_clipnorm:
        first = [layers.Embedding(7, 5), layers.Flatten()]
    dense = [layers.Dense(8, "tanh"), layers.Dense(3, kernel_regularizer="l2")]
    model = keras.Sequential([keras.Input((4,)), *first, *dense])
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=jit,
    )
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("count", "jit"), [(4, False), (12, True)])
def test_parts_are_the_whole(name, count, jit):
    whole, parts = network(OPTIMIZERS[name]()), network(OPTIMIZERS[name](), jit)
    accumulate(parts, count)
    batches = pipeline.training(samples(), 12)
    assert batches.steps == 4
    expected, got = fit(whole, batches, 2), fit(parts, batches, 2)
    for row, known in zip(got, expected, strict=True):
        assert row["loss"] == pytest.approx(known["loss"], abs=1e-6)
        assert row["accuracy"] == pytest.approx(known["accuracy"], abs=1e-6)
    for weight, known in zip(parts.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(weight, known, rtol=0, atol=2e-6)
    assert int(parts.optimizer.iterations.numpy()) == 8  # updates, not parts


def test_a_mean_gradient_by_hand():
    """The loss is w·x: of the parts (1, 3) and (5, 7) the mean gradient is 4."""
    layer = layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.5), lambda y_true, y_pred: y_pred)
    accumulate(model, 2)
    x = np.array([[1], [3], [5], [7]], "float32")
    model.fit(x, np.zeros(4), batch_size=4, shuffle=False, verbose=0)
    assert layer.kernel.numpy() == pytest.approx(-0.5 * 4)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_variable_without_a_gradient_stays():
    class Unused(layers.Layer):
        def build(self, shape):
            self.extra = self.add_weight((2,), "ones", name="kernel")

        def call(self, x):
            return ops.multiply(x, 2)

    model = keras.Sequential([keras.Input((1,)), Unused(), layers.Dense(1)])
    model.compile(keras.optimizers.AdamW(0.1, weight_decay=0.1), "mse")
    accumulate(model, 2)
    model.fit(np.ones((4, 1)), np.ones(4), batch_size=4, verbose=0)
    np.testing.assert_array_equal(model.layers[0].extra.numpy(), [1, 1])


def test_parts_that_do_not_come_out_even_are_refused():
    model = network(OPTIMIZERS["sgd"]())
    accumulate(model, 5)
    with pytest.raises(ValueError, match="--accumulate 5: does not divide the 12 samples"):
        fit(model, pipeline.training(samples(), 12), 1)


def test_afterwards_the_optimizer_is_keras_own():
    model = network(OPTIMIZERS["sgd"]())
    accumulate(model, 3)
    fit(model, pipeline.training(samples(), 12), 1)
    assert "apply_gradients" not in vars(model.optimizer)
