import numpy as np
import pytest

from tfsci.training import calibration
from tfsci.training.metrics import CalibrationError


def drawn(temperature, samples=50_000, classes=3):
    """Logits, and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (samples, classes))
    below = calibration.probabilities(logits, temperature).cumsum(1)
    return logits, np.minimum((rng.random((samples, 1)) > below).sum(1), classes - 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_at_is_found(temperature):
    logits, labels = drawn(temperature)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_its_slope_is_zero_where_the_mean_logit_is_the_expected_one():
    """At the minimum Σ z_y = Σ E_p[z]: the derivative of the nats by 1/T."""
    logits, labels = drawn(2.0, 2000)
    p = calibration.probabilities(logits, calibration.fit_temperature(logits, labels))
    of_labels = logits[np.arange(len(labels)), labels].mean()
    assert (p * logits).sum(1).mean() == pytest.approx(of_labels, abs=1e-4)


def test_bins_by_hand():
    p = np.array([[0.75, 0.25], [0.65, 0.35], [0.1, 0.9], [0.5, 0.5]])
    found = calibration.reliability(p, np.array([0, 1, 1, 0]), num_bins=2)
    # Confidence 0.5 is in the lower bin; 0.75, 0.65 and 0.9 in the upper one, two of them right.
    assert found.count.tolist() == [1, 3]
    assert found.confidence == pytest.approx([0.5, 2.3 / 3])
    assert found.accuracy == pytest.approx([1, 2 / 3])
    assert found.error == pytest.approx((1 * 0.5 + 3 * 0.1) / 4)


def test_the_error_is_that_of_the_metric():
    logits, labels = drawn(2.0, 3000)
    metric = CalibrationError()
    metric.update_state(labels, logits.astype("float32"))
    found = calibration.reliability(calibration.probabilities(logits), labels).error
    assert found == pytest.approx(float(metric.result()), abs=1e-4)


def test_who_knows_the_truth_is_calibrated():
    logits, labels = drawn(2.0)
    errors = [
        calibration.reliability(calibration.probabilities(logits, t), labels).error
        for t in (1.0, 2.0)
    ]
    assert errors[0] > 0.1 and errors[1] < 0.01


def test_entropy_and_nats():
    p = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert calibration.entropy(p) == pytest.approx([np.log(2), 0])
    assert calibration.nats(p, np.array([1, 0])) == pytest.approx(np.log(2) / 2)


def test_errors():
    with pytest.raises(ValueError, match="temperature 0: expected a number above 0"):
        calibration.probabilities(np.zeros((1, 2)), 0)
    with pytest.raises(ValueError, match="num_bins 0, 1 samples: expected at least 1 of each"):
        calibration.reliability(np.ones((1, 1)), np.zeros(1, int), 0)
