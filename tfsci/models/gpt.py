"""Generative pre-trained transformers: decoders that predict the next token (GPT-2, GPT-3)."""

import dataclasses
from dataclasses import dataclass

import keras
from keras import layers

from tfsci.models import checks
from tfsci.models.attention import PositionEmbedding
from tfsci.models.transformer import TransformerBlock


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        num_layers: Number of blocks.
        width: Channels of a token; `num_heads` must divide it.
        num_heads: Heads of attention in each block.
        vocabulary_size: Number of tokens, 0 … vocabulary_size - 1.
        context_length: Tokens that a sequence has, and that are attended to at most.
    """

    num_layers: int
    width: int
    num_heads: int
    vocabulary_size: int = 50257
    context_length: int = 1024


VARIANTS = {
    # Small ones, for bytes or a small vocabulary.
    "500k": Variant(2, 128, 4, 512, 128),
    "1m": Variant(4, 128, 4, 512, 128),
    "3m": Variant(4, 256, 8, 512, 128),
    "11m": Variant(6, 384, 6, 512, 256),
    # Radford et al. 2019, with the counts of the released models.
    "gpt2-small": Variant(12, 768, 12),  # 124,439,808
    "gpt2-medium": Variant(24, 1024, 16),  # 354,823,168
    "gpt2-large": Variant(36, 1280, 20),  # 774,030,080
    "gpt2-xl": Variant(48, 1600, 25),  # 1,557,611,200
    # What Oak Ridge's course on training at scale launches with Megatron, "1.4 B".
    "oak-ridge": Variant(24, 2064, 24, context_length=2048),
}

_POSITIONS = ("learned", "rotary")


def build(
    variant: str = "3m",
    num_layers: int | None = None,
    width: int | None = None,
    num_heads: int | None = None,
    vocabulary_size: int | None = None,
    context_length: int | None = None,
    positions: str = "learned",
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """Builds a GPT, with one table for the tokens that come in and the logits that go out.

    Args:
        variant: A row of `VARIANTS`, which the next five options override.
        num_layers: Number of blocks.
        width: Channels of a token.
        num_heads: Heads of attention in each block; must divide the width.
        vocabulary_size: Number of tokens.
        context_length: Tokens of a sequence.
        positions: How a token knows its place: ``"learned"``, a table as in GPT-2, or
            ``"rotary"``, see `tfsci.models.attention.rotate`.
        dropout: Fraction dropped of the embeddings and of what each half of a block adds.
        recompute: Whether the backward pass computes activations a second time instead of keeping
            them (activation checkpointing): a third more work, much less memory.

    Returns:
        A model from tokens (B, context_length) to float32 logits of the next token,
        (B, context_length, vocabulary_size); `tfsci.models.generation` writes on with it.

    Raises:
        ValueError: The variant is unknown, the heads do not divide the width, or a number is out
            of range.

    Example:
        >>> build(num_layers=2, width=8, num_heads=2, vocabulary_size=5, context_length=4).name
        'gpt'
    """
    row = checks.variant("gpt", VARIANTS, variant)
    given = {
        "num_layers": num_layers,
        "width": width,
        "num_heads": num_heads,
        "vocabulary_size": vocabulary_size,
        "context_length": context_length,
    }
    row = dataclasses.replace(row, **{k: v for k, v in given.items() if v is not None})
    for option, value in dataclasses.asdict(row).items():
        checks.whole(option, value, least=2 if option == "vocabulary_size" else 1)
    rate = checks.fraction("dropout", dropout)
    checks.flag("recompute", recompute)
    rotary = checks.one_of("positions", positions, _POSITIONS) == "rotary"
    if row.width % row.num_heads:
        raise ValueError(f"num_heads {row.num_heads}: does not divide width {row.width}")
    if rotary and row.width // row.num_heads % 2:
        raise ValueError(
            f"num_heads {row.num_heads}: {row.width // row.num_heads} channels a head; rotary "
            "positions turn pairs, expected an even number"
        )

    tokens = keras.Input((row.context_length,), dtype="int32", name="tokens")  # (B, T)
    embedding = layers.ReversibleEmbedding(
        row.vocabulary_size,
        row.width,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.02),
        reverse_dtype="float32",
        name="embedding",
    )
    x = embedding(tokens)  # (B, T, C)
    if not rotary:
        x = PositionEmbedding(row.context_length, name="positions")(x)
    if rate:
        x = layers.Dropout(rate, name="dropout")(x)

    for i in range(1, row.num_layers + 1):
        x = TransformerBlock(
            row.num_heads,
            row.num_layers,
            causal=True,
            rotary=rotary,
            dropout=rate,
            recompute=recompute,
            name=f"block_{i}",
        )(x)

    x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = embedding(x, reverse=True)  # (B, T, V), by the same table
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(tokens, logits, name="gpt")
