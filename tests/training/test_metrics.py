import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.training.metrics import CalibrationError, Crossentropy, Perplexity

# The labels have probabilities ½ and ⅛: ln 2 and 3 ln 2.
LOGITS = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]], "float32"))
LABELS = [0, 1]


@pytest.mark.parametrize(
    ("metric", "value"),
    [(Crossentropy(), 2 * np.log(2)), (Crossentropy("bits"), 2), (Perplexity(), 4)],
)
def test_by_hand(metric, value):
    assert float(metric(LABELS, LOGITS)) == pytest.approx(value, rel=1e-6)


def test_perplexity_is_of_the_mean_over_batches():
    """Not the mean of perplexities 2 and 8, which is 5; and weighted, 2^(1 · ¾ + 3 · ¼)."""
    metric = Perplexity()
    for label, logits in zip(LABELS, LOGITS, strict=True):
        metric.update_state([label], logits[None])
    assert float(metric.result()) == pytest.approx(4, rel=1e-6)
    metric.reset_state()
    assert float(metric(LABELS, LOGITS, sample_weight=[3.0, 1.0])) == pytest.approx(2**1.5)


@given(st.integers(2, 9))
def test_knowing_nothing_is_as_hard_as_all_classes(classes):
    logits, labels = np.zeros((4, 5, classes), "float32"), np.zeros((4, 5), "int32")
    assert float(Perplexity()(labels, logits)) == pytest.approx(classes, rel=1e-5)
    assert float(Crossentropy("bits")(labels, logits)) == pytest.approx(np.log2(classes), rel=1e-5)


def logits_of(confidences):
    """Of two classes, of which the first is said with a confidence."""
    p = np.asarray(confidences, "float64")
    return np.log(np.stack([p, 1 - p], axis=-1)).astype("float32")


class TestCalibration:
    def test_by_hand(self):
        """Bins of ⅕. Four of 0.7, half of them right: 0.2 off; one of 0.9, wrong: 0.9 off."""
        metric = CalibrationError(num_bins=5)
        value = metric([0, 0, 1, 1, 1], logits_of([0.7, 0.7, 0.7, 0.7, 0.9]))
        assert float(value) == pytest.approx((4 * 0.2 + 0.9) / 5, rel=1e-5)

    def test_weights(self):
        """The one of 0.9 counts four times: (4 · 0.2 + 4 · 0.9) / 8; a weight of 0 not at all."""
        metric = CalibrationError(num_bins=5)
        logits, weights = logits_of([0.7] * 4 + [0.9, 0.55]), [1, 1, 1, 1, 4, 0]
        value = metric([0, 0, 1, 1, 1, 0], logits, sample_weight=weights)
        assert float(value) == pytest.approx(4.4 / 8, rel=1e-5)

    def test_batches_add_up(self):
        """What lies in one bin goes together over batches: 0.7 said twice, right once."""
        metric = CalibrationError(num_bins=5)
        metric.update_state([0], logits_of([0.7]))
        metric.update_state([1], logits_of([0.7]))
        assert float(metric.result()) == pytest.approx(0.2, rel=1e-5)
        metric.reset_state()
        assert float(metric.result()) == 0

    def test_of_one_who_knows_the_probabilities(self):
        """Labels drawn by them: no more than the noise of 20,000 samples in 10 bins."""
        generator = np.random.default_rng(0)
        confidence = generator.uniform(0.5, 1, 20_000)
        labels = (generator.random(20_000) > confidence).astype("int32")
        assert float(CalibrationError(10)(labels, logits_of(confidence))) < 0.01

    def test_tokens(self):
        """Of shape (B, T); one weight a sequence holds for each of its tokens."""
        metric = CalibrationError(num_bins=5)
        logits = logits_of([[0.7, 0.7], [0.9, 0.9]])
        value = metric([[0, 1], [0, 0]], logits, sample_weight=[1.0, 0.0])
        assert float(value) == pytest.approx(0.2, rel=1e-5)

    def test_no_bin(self):
        with pytest.raises(ValueError, match="num_bins 0: expected at least 1"):
            CalibrationError(0)


def test_configs_and_the_unit():
    for metric in (Crossentropy("bits"), Perplexity(), CalibrationError(3)):
        copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert copy.get_config() == metric.get_config()
    with pytest.raises(ValueError, match="unit 'bytes': expected nats or bits"):
        Crossentropy("bytes")


def test_in_training():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="zeros")(inputs))
    metrics = [Crossentropy("bits"), Perplexity(), CalibrationError()]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, weighted_metrics=metrics)
    x, y = np.ones((8, 3), "float32"), np.array([0, 1] * 4)
    logs = model.fit(x, y, batch_size=4, verbose=0).history
    assert logs["bits"] == pytest.approx([1], rel=1e-5)
    assert logs["perplexity"] == pytest.approx([2], rel=1e-5)
    assert logs["calibration_error"] == pytest.approx([0], abs=1e-6)
