"""Metrics that models here need and Keras lacks; their variables are sums over samples.

So what several processes have seen adds up, see `tfsci.training.fit`.
"""

import math

import keras
from keras import ops

_PER_NAT = {"nats": 1.0, "bits": 1 / math.log(2)}


@keras.saving.register_keras_serializable("tfsci")
class Crossentropy(keras.metrics.MeanMetricWrapper):
    """Mean of −ln p (nats) or −log₂ p (bits) of the labels, such as bits a token.

    Args:
        unit: ``"nats"`` or ``"bits"``.
        name: Of the metric; the unit by default.
        dtype: Of the sums.

    Raises:
        ValueError: The unit is unknown.

    Call:
        Whole-number labels (B, …), logits (B, …, K) and weights (B, …).
    """

    def __init__(self, unit: str = "nats", name: str | None = None, dtype=None):
        if unit not in _PER_NAT:
            raise ValueError(f"unit {unit!r}: expected nats or bits")
        super().__init__(_nats, name or unit, dtype)
        self.unit = unit

    def result(self):
        """Returns the mean so far."""
        return super().result() * _PER_NAT[self.unit]

    def get_config(self):
        """Returns the arguments."""
        return {"unit": self.unit, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("tfsci")
class Perplexity(keras.metrics.MeanMetricWrapper):
    """e to the mean cross-entropy in nats, which is 2 to that in bits.

    Among so many equally probable tokens a choice would be as hard.

    Args:
        name: Of the metric.
        dtype: Of the sums.

    Call:
        Whole-number labels (B, …), logits (B, …, K) and weights (B, …).
    """

    def __init__(self, name: str = "perplexity", dtype=None):
        super().__init__(_nats, name, dtype)

    def result(self):
        """Returns the perplexity so far."""
        return ops.exp(super().result())

    def get_config(self):
        """Returns the arguments."""
        return {"name": self.name, "dtype": self.dtype}


def _nats(y_true, y_pred):
    return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


@keras.saving.register_keras_serializable("tfsci")
class CalibrationError(keras.metrics.Metric):
    """Expected calibration error: how far confidence is from accuracy (Guo et al. 2017).

    Samples go into bins by their confidence, the greatest probability; the error is the mean of
    |accuracy − confidence| over the bins, each weighted by its samples (arXiv:1706.04599, eq. 3).

    Args:
        num_bins: Bins of equal width; bin m holds (m/M, (m + 1)/M].
        name: Of the metric.
        dtype: Of the sums.

    Raises:
        ValueError: There is no bin.

    Call:
        Whole-number labels (B, …), logits (B, …, K) and weights (B, …).
    """

    def __init__(self, num_bins: int = 15, name: str = "calibration_error", dtype=None):
        if num_bins < 1:
            raise ValueError(f"num_bins {num_bins}: expected at least 1")
        super().__init__(name=name, dtype=dtype)
        self.num_bins = num_bins
        # Of each bin: the weight of its samples, of those that are right, and their confidence.
        self.weight, self.right, self.confidence = (
            self.add_variable((num_bins,), "zeros", name=name)
            for name in ("weight", "right", "confidence")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds samples to their bins."""
        y_pred = ops.cast(y_pred, "float32")
        confidence = ops.reshape(ops.max(ops.softmax(y_pred), axis=-1), (-1,))
        said = ops.reshape(ops.argmax(y_pred, axis=-1), (-1,))
        right = ops.cast(said == ops.cast(ops.reshape(y_true, (-1,)), said.dtype), "float32")
        weight = ops.ones_like(confidence)
        if sample_weight is not None:
            shape = ops.shape(y_pred)[:-1]
            given = ops.cast(sample_weight, "float32")
            while len(given.shape) < len(shape):  # one weight a sequence: the same for each token
                given = given[..., None]
            weight = ops.reshape(ops.broadcast_to(given, shape), (-1,))
        m = ops.cast(ops.ceil(confidence * self.num_bins), "int32") - 1
        in_bin = ops.one_hot(ops.clip(m, 0, self.num_bins - 1), self.num_bins)  # (samples, bins)
        self.weight.assign_add(ops.matmul(weight, in_bin))
        self.right.assign_add(ops.matmul(weight * right, in_bin))
        self.confidence.assign_add(ops.matmul(weight * confidence, in_bin))

    def result(self):
        """Returns the error so far, 0 … 1."""
        gaps = ops.abs(self.right.value - self.confidence.value)
        return ops.divide_no_nan(ops.sum(gaps), ops.sum(self.weight.value))

    def get_config(self):
        """Returns the arguments."""
        return {"num_bins": self.num_bins, "name": self.name, "dtype": self.dtype}
