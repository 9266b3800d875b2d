import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfsci.training.losses import KnownSquaredError, SmoothedCrossentropy

# Probabilities 1/8, 1/8 and 3/4.
LOGITS = np.log(np.array([[1.0, 1.0, 6.0]], "float32"))


@pytest.mark.parametrize("label", [0, 2])
def test_by_hand(label):
    """ε = 0.3: 0.7 of −ln p of the label, and 0.1 of each of −ln ⅛, −ln ⅛ and −ln ¾."""
    p = np.array([0.125, 0.125, 0.75])
    expected = -0.7 * np.log(p[label]) - 0.1 * np.log(p).sum()
    assert float(SmoothedCrossentropy(0.3)([label], LOGITS)) == pytest.approx(expected, rel=1e-6)


@given(st.floats(0, 0.99), st.integers(0, 2**32 - 1))
def test_is_that_of_keras_for_probabilities(smoothing, seed):
    generator = np.random.default_rng(seed)
    labels, logits = generator.integers(0, 5, (4, 3)), generator.normal(0, 3, (4, 3, 5))
    of_keras = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    expected = float(of_keras(np.eye(5)[labels], logits))
    assert float(SmoothedCrossentropy(smoothing)(labels, logits)) == pytest.approx(
        expected, rel=1e-5
    )


def test_weights_and_a_label_axis():
    loss = SmoothedCrossentropy(0.3)
    one = [float(loss([label], LOGITS)) for label in (0, 2)]
    both = loss(np.array([[0], [2]]), np.repeat(LOGITS, 2, axis=0), sample_weight=[1.0, 3.0])
    assert float(both) == pytest.approx((one[0] + 3 * one[1]) / 2, rel=1e-6)


def test_config():
    loss = keras.losses.deserialize(keras.losses.serialize(SmoothedCrossentropy(0.2)))
    assert loss.label_smoothing == 0.2


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="label_smoothing 1: expected 0 ≤ label_smoothing < 1"):
        SmoothedCrossentropy(1)


class TestKnownSquaredError:
    def test_by_hand(self):
        """Of errors 1 and 2, of 3 alone, and of nothing: 5/2, 9 and 0."""
        known = np.array([[[1.0, 2.0], [3.0, np.nan], [np.nan, np.nan]]], "float32")
        loss = KnownSquaredError(reduction=None)(known, np.zeros((1, 3, 2), "float32"))
        np.testing.assert_allclose(loss, [[2.5, 9, 0]])
        assert float(KnownSquaredError()(known, np.zeros((1, 3, 2)))) == pytest.approx(11.5 / 3)

    def test_is_keras_where_all_is_known(self):
        y, values = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
        expected = float(keras.losses.MeanSquaredError()(y, values))
        assert float(KnownSquaredError()(y, values)) == pytest.approx(expected, rel=1e-6)

    def test_the_gradient_of_what_is_unknown_is_zero(self):
        values = tf.constant([[2.0, 5.0]])
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = KnownSquaredError()(tf.constant([[1.0, np.nan]]), values)
        np.testing.assert_allclose(tape.gradient(loss, values), [[2.0, 0.0]])
