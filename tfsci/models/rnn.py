"""Recurrent networks: sequences to a class, or to the next value at each place."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from tfsci.models import checks


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        cell: ``"LSTM"`` (Hochreiter and Schmidhuber 1997) or ``"GRU"`` (Cho et al. 2014).
        units: Units of each layer, in each direction.
        bidirectional: Whether each layer reads the sequence from both ends.
    """

    cell: str
    units: tuple[int, ...]
    bidirectional: bool = False


VARIANTS = {
    "lstm": Variant("LSTM", (128,)),
    "lstm-2x256": Variant("LSTM", (256, 256)),
    "gru": Variant("GRU", (128,)),
    "bidirectional": Variant("LSTM", (64, 64), bidirectional=True),
}

_TASKS = ("class", "next")


def build(
    input_shape: tuple[int, ...],
    num_classes: int | None = None,
    variant: str = "lstm",
    task: str = "class",
    units: Sequence[int] | None = None,
    vocabulary_size: int | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a recurrent network.

    Args:
        input_shape: Steps and features, (T, C), of a sequence of vectors; (T,) of one of tokens.
        num_classes: Number of classes, at least 2, where the task is ``"class"``.
        variant: A row of `VARIANTS`.
        task: ``"class"``: one class a sequence. ``"next"``: after each step the next token or
            vector; from what came before alone, so a bidirectional variant can't.
        units: Units of each layer; the variant's own by default.
        vocabulary_size: Number of tokens, 0 … vocabulary_size - 1, where sequences are of tokens.
        dropout: Fraction of features dropped after each layer.

    Returns:
        A model from sequences (B, T, C) or (B, T) to float32 logits (B, num_classes), or, of the
        next step, to logits (B, T, vocabulary_size) or values (B, T, C).

    Raises:
        ValueError: The variant is unknown, options contradict each other, or a number is out of
            range.
    """
    row = checks.variant("rnn", VARIANTS, variant)
    units = row.units if units is None else checks.wholes("units", units)
    rate = checks.fraction("dropout", dropout)
    outputs = _outputs(input_shape, num_classes, task, vocabulary_size)
    if task == "next" and row.bidirectional:
        raise ValueError(f"task 'next': variant {variant!r} reads what is to come; take another")

    if vocabulary_size is None:
        inputs = x = keras.Input(input_shape, name="sequence")
    else:
        inputs = keras.Input(input_shape, dtype="int32", name="tokens")
        x = layers.Embedding(vocabulary_size, units[0], name="embedding")(inputs)  # (B, T, C)
    for i, number in enumerate(units, 1):
        each = task == "next" or i < len(units)  # the state after each step, or after the last
        name = f"{row.cell.lower()}_{i}"
        layer = getattr(layers, row.cell)(number, return_sequences=each, name=name)
        x = layers.Bidirectional(layer, name=f"both_{i}")(x) if row.bidirectional else layer(x)
        if rate:
            x = layers.Dropout(rate, name=f"dropout_{i}")(x)
    x = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name=f"rnn_{variant.replace('-', '_')}")


def _outputs(input_shape, num_classes, task: str, vocabulary_size) -> int:
    """Returns how many numbers come out; refuses options that contradict each other."""
    input_shape = checks.shape("input_shape", input_shape)
    tokens = vocabulary_size is not None
    if tokens:
        vocabulary_size = checks.whole("vocabulary_size", vocabulary_size, least=2)
    if len(input_shape) != (1 if tokens else 2):
        expected = "(steps,) of tokens" if tokens else "(steps, features), or vocabulary_size"
        raise ValueError(f"input_shape {input_shape}: rnn takes sequences, expected {expected}")
    if checks.one_of("task", task, _TASKS) == "class":
        return checks.whole("num_classes", num_classes, least=2)
    if num_classes is not None:
        raise ValueError(f"num_classes {num_classes}: task 'next' has none; leave it out")
    return vocabulary_size if tokens else input_shape[1]
