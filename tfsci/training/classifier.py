"""A classifier trained in a line: cross-entropy, Adam, and a rate that falls as a cosine."""

from typing import TYPE_CHECKING

from tfsci.data import pipeline
from tfsci.data.augment import Augmentation
from tfsci.data.source import Indexed
from tfsci.training.fit import fit
from tfsci.training.schedules import schedule

if TYPE_CHECKING:
    import keras


def fit_classifier(
    model: "keras.Model",
    train: Indexed,
    epochs: int,
    batch_size: int = 50,
    learning_rate: float = 0.005,
    validation: Indexed | None = None,
    augment: Augmentation | None = None,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Compiles a classifier and trains it in this process.

    Args:
        model: From samples to logits, (B, …) → (B, classes).
        train: Samples with whole-number labels.
        epochs: Epochs.
        batch_size: Samples of a batch; all of them where there are fewer.
        learning_rate: Where the cosine starts; it ends at 0.
        validation: What is evaluated after each epoch.
        augment: What is done to the pictures.
        seed: Of the order and of the augmentation.

    Returns:
        A row for each epoch, as of `tfsci.training.fit`.

    Example:
        >>> rows = fit_classifier(model, source.train, epochs=5, validation=source.validation)
        >>> rows[-1]["val_accuracy"]
    """
    import keras

    model.compile(
        keras.optimizers.Adam(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,  # it costs more than it saves in trainings of seconds
    )
    batch_size = min(batch_size, train.num_samples)
    batches = pipeline.training(train, batch_size, seed, augment=augment)
    watch = None
    if validation is not None:
        watch = pipeline.evaluation(validation, min(250, validation.num_samples))
    falling = schedule(learning_rate, epochs * batches.steps, decay="cosine")
    return fit(model, batches, epochs, watch, learning_rate=falling)
