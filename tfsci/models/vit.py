"""Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929; tiny: Touvron et al. 2021)."""

from dataclasses import dataclass

import keras
from keras import layers, ops

from tfsci.models import checks
from tfsci.models.attention import PositionEmbedding
from tfsci.models.transformer import TransformerBlock


@dataclass(frozen=True)
class Variant:
    """A row of the table: blocks, channels of a token, heads, and edge of a patch in pixels."""

    num_layers: int
    width: int
    num_heads: int
    patch_size: int = 16


VARIANTS = {  # parameters at 224×224×3 pixels and 1000 classes
    "mini": Variant(6, 128, 4, 4),  # for images of 16 to 64 pixels
    "tiny": Variant(12, 192, 3),  # 5,717,416
    "small": Variant(12, 384, 6),  # 22,050,664
    "base": Variant(12, 768, 12),  # 86,567,656
}


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    variant: str = "mini",
    patch_size: int | None = None,
    dropout: float = 0.0,
    recompute: bool = False,
) -> keras.Model:
    """Builds a vision transformer with a class token and learned positions.

    Args:
        input_shape: Height, width and channels of an image, without the batch.
        num_classes: Number of classes, at least 2.
        variant: A row of `VARIANTS`.
        patch_size: Edge of a patch in pixels, which must divide height and width; the variant's
            own by default.
        dropout: Fraction dropped of the embeddings and of what each half of a block adds.
        recompute: Whether the backward pass computes activations a second time instead of keeping
            them (activation checkpointing).

    Returns:
        A model from images (B, H, W, C) to float32 logits (B, num_classes).

    Raises:
        ValueError: The variant is unknown, patches do not fill the image, or a number is out of
            range.
    """
    row = checks.variant("vit", VARIANTS, variant)
    height, width, channels = input_shape = checks.image("vit", input_shape)
    num_classes = checks.whole("num_classes", num_classes, least=2)
    edge = checks.whole("patch_size", row.patch_size if patch_size is None else patch_size)
    rate = checks.fraction("dropout", dropout)
    checks.flag("recompute", recompute)
    if height % edge or width % edge:
        raise ValueError(
            f"input_shape {input_shape}: patches of {edge}×{edge} pixels do not fill it; expected "
            "a patch_size that divides height and width"
        )

    inputs = keras.Input(input_shape, name="image")
    # What a convolution of kernel and stride `edge` does, as one matrix product.
    rows, columns = height // edge, width // edge
    x = layers.Reshape((rows, edge, columns, edge, channels), name="rows_and_columns")(inputs)
    x = layers.Permute((1, 3, 2, 4, 5), name="patches_together")(x)
    x = layers.Reshape((rows * columns, edge * edge * channels), name="patches")(x)  # (B, T, p²C)
    x = layers.Dense(row.width, name="embedding")(x)
    x = ClassToken(name="class_token")(x)  # (B, 1 + T, width)
    x = PositionEmbedding(1 + rows * columns, name="positions")(x)
    if rate:
        x = layers.Dropout(rate, name="dropout")(x)

    for i in range(1, row.num_layers + 1):
        x = TransformerBlock(
            row.num_heads,
            row.num_layers,
            dropout=rate,
            recompute=recompute,
            epsilon=1e-6,
            name=f"block_{i}",
        )(x)

    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x[:, 0])
    return keras.Model(inputs, logits, name=f"vit_{variant}")


@keras.saving.register_keras_serializable("tfsci")
class ClassToken(layers.Layer):
    """Puts one learned token in front: (B, T, C) → (B, 1 + T, C)."""

    def build(self, input_shape):
        """Makes the token."""
        self.token = self.add_weight((1, 1, input_shape[-1]), "zeros", name="token")

    def call(self, x):
        """Joins them."""
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([ops.cast(token, x.dtype), x], axis=1)

    def compute_output_shape(self, input_shape):
        """Returns the shape of one token more."""
        return (input_shape[0], 1 + input_shape[1], input_shape[2])
