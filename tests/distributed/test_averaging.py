"""What of the exchange of gradients needs no Horovod: buckets, which one moves less, which GPU."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from tfsci.distributed.averaging import buckets, dense_factors, gathering_moves_less
from tfsci.distributed.devices import gpu_of_rank
from tfsci.distributed.launch import Launch


class TestBuckets:
    @given(st.lists(st.tuples(st.sampled_from(["f", "h"]), st.integers(0, 9))), st.integers(0, 12))
    def test_hold_all_in_order_of_one_type_and_as_many_as_fit(self, tensors, most):
        packed = buckets(dict(enumerate(tensors)), most)
        assert [key for bucket in packed for key in bucket] == list(range(len(tensors)))
        sizes = [sum(tensors[key][1] for key in bucket) for bucket in packed]
        for bucket, size in zip(packed, sizes, strict=True):
            assert len({tensors[key][0] for key in bucket}) == 1
            assert size <= most or sum(tensors[key][1] > 0 for key in bucket) == 1
        for bucket, size, after in zip(packed, sizes, packed[1:], strict=False):
            (kind, _), (next_kind, next_size) = tensors[bucket[0]], tensors[after[0]]
            assert next_kind != kind or size + next_size > most

    def test_by_hand(self):
        tensors = {3: ("f", 1), 2: ("f", 9), 1: ("f", 2), 0: ("f", 2)}
        assert buckets(tensors, 4) == [[3], [2], [1, 0]]


class TestMovesLess:
    @pytest.mark.parametrize(
        ("inputs", "outputs", "rows", "world_size", "expected"),
        [
            # Oak Ridge's dense layer: 2·2·16·(24576 + 231) = 1,587,648 ≤ 5,677,056.
            (24576, 231, 16, 2, True),
            (24576, 231, 16, 16, False),  # 12,701,184
            # 2·2·24·(256 + 128) = 36,864 > 32,768.
            (256, 128, 24, 2, False),
            (256, 128, 21, 2, True),  # 32,256
            # 2·2·16·(128 + 128) = 16,384 = 128·128: a quarter is enough.
            (128, 128, 16, 2, True),
            (127, 128, 16, 2, False),
            # A global batch of 256 rows at most.
            (100_000, 100_000, 128, 2, True),
            (100_000, 100_000, 129, 2, False),
            (100_000, 100_000, None, 2, False),
        ],
    )
    def test_by_hand(self, inputs, outputs, rows, world_size, expected):
        assert gathering_moves_less((rows, inputs), (rows, outputs), world_size) is expected

    @pytest.mark.parametrize("rows", [16, None])
    def test_of_tensor_shapes(self, rows):
        shapes = tf.TensorShape([rows, 24576]), tf.TensorShape([rows, 231])
        assert gathering_moves_less(*shapes, 2) is (rows is not None)


def gradients_and_factors(model, x, found, compiled=True):
    """The gradient of each trainable variable, and its factors or None, from one function."""

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(x, training=True)))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        factors = [dense_factors(gradient) for gradient in gradients]
        found.extend(factors)
        return gradients, [pair for pair in factors if pair is not None]

    return (tf.function(step) if compiled else step)(x)


class TestFactors:
    def test_of_dense_layers_multiply_to_their_gradients(self):
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4, "relu"), layers.Dense(3)])
        x = tf.random.stateless_normal((6, 5), seed=[1, 2])
        found = []
        gradients, factors = gradients_and_factors(model, x, found)
        assert [pair is not None for pair in found] == [True, False, True, False]  # not biases
        for (inputs, errors), gradient in zip(factors, gradients[::2], strict=True):
            assert inputs.shape[0] == errors.shape[0] == 6
            expected = inputs.numpy().T @ errors.numpy()
            assert np.abs(expected).max() > 0.1
            np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(factors[0][0], x)

    def test_of_two_halves_of_a_batch_make_the_gradient_of_the_whole(self):
        """What gathering relies on: the sum over ranks of XᵀE is that of all rows at once."""
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
        x = tf.random.stateless_normal((6, 5), seed=[3, 4])
        halves = [gradients_and_factors(model, part, [])[1][0] for part in (x[:2], x[2:])]
        inputs, errors = (tf.concat(parts, axis=0) for parts in zip(*halves, strict=True))
        whole, _ = gradients_and_factors(model, x, [])
        product = tf.matmul(inputs, errors, transpose_a=True)
        np.testing.assert_allclose(product, whole[0], rtol=1e-5, atol=1e-5)

    def test_of_a_convolution_are_none(self):
        model = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3)])
        found = []
        gradients_and_factors(model, tf.ones((2, 6, 6, 2)), found)
        assert found == [None, None]

    def test_of_an_embedding_are_none(self):
        model = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(7, 2)])
        found = []
        gradients, _ = gradients_and_factors(model, tf.constant([[1, 2, 2]]), found)
        assert isinstance(gradients[0], tf.IndexedSlices)
        assert found == [None]

    def test_of_a_kernel_used_twice_are_none(self):
        """Its gradient is a sum of two products."""
        x = inputs = keras.Input((4,))
        dense = layers.Dense(4, use_bias=False)
        model = keras.Model(inputs, dense(dense(x)))
        found = []
        gradients_and_factors(model, tf.ones((3, 4)), found)
        assert found == [None]

    @pytest.mark.parametrize("transpose_kernel", [False, True])
    @pytest.mark.parametrize("transpose_inputs", [False, True])
    def test_of_a_product_the_other_way_round_are_none(self, transpose_kernel, transpose_inputs):
        """The gradients of W in Wx, Wᵀx … are Exᵀ, xEᵀ …: no sum over the rows of two factors."""
        kernel, found = tf.Variable(tf.ones((3, 3))), []

        @tf.function
        def step(x):
            with tf.GradientTape() as tape:
                y = tf.matmul(kernel, x, transpose_kernel, transpose_inputs)
                loss = tf.reduce_sum(tf.square(y))
            gradient = tape.gradient(loss, kernel)
            found.append((gradient.op.type, dense_factors(gradient)))

        step(tf.ones((3, 3)))
        assert found == [("MatMul", None)]

    def test_of_a_transposed_kernel_are_its_errors_and_inputs(self):
        """The gradient of W in xWᵀ, as of a layer that shares an embedding's table, is Eᵀx."""
        kernel = tf.Variable(tf.ones((2, 3)))

        @tf.function
        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(tf.matmul(x, kernel, transpose_b=True)))
            gradient = tape.gradient(loss, kernel)
            return gradient, dense_factors(gradient)

        x = tf.random.stateless_normal((5, 3), seed=[5, 6])
        gradient, (errors, inputs) = step(x)
        np.testing.assert_array_equal(inputs, x)
        np.testing.assert_allclose(tf.transpose(errors) @ inputs, gradient, rtol=1e-5)

    def test_in_eager_execution_are_none(self):
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
        found = []
        gradients_and_factors(model, tf.ones((2, 5)), found, compiled=False)
        assert found == [None, None]
        assert dense_factors(np.ones(3)) is None


class TestGPU:
    @pytest.mark.parametrize(
        ("num_visible", "launcher", "local_rank", "local_size", "expected"),
        [
            (1, "none", 0, 1, 0),
            (6, "none", 0, 1, 0),
            (6, "horovodrun", 4, 6, 4),
            (4, "mpirun", 1, 2, 1),
            (4, "srun", 3, 4, 3),
            (1, "srun", 3, 4, 0),  # --gpus-per-task=1
            (1, "jsrun", 5, 6, 0),  # one resource set, one GPU
            (1, "pals", 2, 4, 0),
            (1, "horovodrun", 0, 1, 0),
        ],
    )
    def test_of_a_rank(self, num_visible, launcher, local_rank, local_size, expected):
        launch = Launch(launcher, local_rank, local_size, local_rank, local_size)
        assert gpu_of_rank(num_visible, launch) == expected

    @pytest.mark.parametrize(
        ("num_visible", "launcher", "local_size"),
        [(1, "horovodrun", 2), (2, "horovodrun", 3), (2, "srun", 4), (3, "mpirun", 4)],
    )
    def test_more_ranks_than_gpus_are_refused(self, num_visible, launcher, local_size):
        with pytest.raises(ValueError) as error:
            gpu_of_rank(num_visible, Launch(launcher, 0, local_size, 0, local_size))
        assert str(error.value) == (
            f"{local_size} ranks on this node but {num_visible} visible GPU(s): start at most "
            f"{num_visible} a node, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
