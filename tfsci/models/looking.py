"""What a transformer looks at: the shares by which its tokens attend to each other."""

import keras
import numpy as np

from tfsci.models.transformer import TransformerBlock


def attended(model: keras.Model, tokens: np.ndarray) -> list[np.ndarray]:
    """Returns how much each token attends to each, in every head of every block.

    Args:
        model: A model made of `TransformerBlock`s: of `tfsci.models.gpt` or `vit`.
        tokens: What it takes, (B, T), or images.

    Returns:
        For each block, the first one first, float32 (B, N, T, T): of sample, head, and the token
        that looks, the share of each token looked at; shares sum to 1.

    Raises:
        ValueError: The model has no such block.

    Example:
        >>> model = tfsci.models.build("gpt", variant="500k")
        >>> [shares.shape for shares in attended(model, np.zeros((1, 128), int))]
        [(1, 4, 128, 128), (1, 4, 128, 128)]
    """
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    if not blocks:
        raise ValueError(f"model {model.name!r}: has no transformer block; expected a gpt or vit")
    given = [keras.Model(model.input, block.input)(tokens, training=False) for block in blocks]
    pairs = zip(blocks, given, strict=True)
    return [np.asarray(block.attention.shares(block.attention_norm(x))) for block, x in pairs]
