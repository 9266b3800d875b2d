"""Losses that models here need and Keras lacks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfsci")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits against whole-number labels that are smoothed.

    (1 − ε) · (−ln p_y) + ε · (−1/K Σ_k ln p_k): the label has 1 − ε + ε/K of the K classes'
    probability and each other class ε/K (Szegedy et al. 2016, arXiv:1512.00567). Keras smooths
    only labels that are probabilities (`keras.losses.CategoricalCrossentropy`).

    Args:
        label_smoothing: ε, 0 ≤ ε < 1.
        reduction: How samples are put together, as in every Keras loss.
        name: Of the loss.
        **kwargs: Of every Keras loss.

    Raises:
        ValueError: ε is out of range.

    Call:
        Labels (B, …) and float32 logits (B, …, K) → nats.
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        reduction: str = "sum_over_batch_size",
        name: str = "smoothed_crossentropy",
        **kwargs,
    ):
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing {label_smoothing}: expected 0 ≤ label_smoothing < 1")
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Returns the loss of each sample, (B, …)."""
        of_label = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        of_all = -ops.mean(ops.log_softmax(y_pred), axis=-1)
        return (1 - self.label_smoothing) * of_label + self.label_smoothing * of_all

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("tfsci")
class KnownSquaredError(keras.losses.Loss):
    """Squared error over those targets that are known; the others are NaN.

    For several tasks of which not every sample has all, such as simulations that were stopped
    early. Each place of a field weighs the same however many of its targets are known.

    Call:
        Targets (B, …, K), NaN where unknown, and values (B, …, K) → mean over the known of K,
        0 where none is.
    """

    def call(self, y_true, y_pred):
        """Returns the loss of each place, (B, …)."""
        known = ops.logical_not(ops.isnan(y_true))
        # Twice: NaN in what is not chosen would come back through the gradient.
        error = ops.where(known, ops.where(known, y_true, y_pred) - y_pred, 0)
        count = ops.sum(ops.cast(known, error.dtype), axis=-1)
        return ops.sum(error**2, axis=-1) / ops.maximum(count, 1)
