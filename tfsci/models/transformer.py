"""The block of which vision transformers and GPTs are made."""

import keras
from keras import layers, ops

from tfsci.models.attention import SelfAttention


@keras.saving.register_keras_serializable("tfsci")
class TransformerBlock(layers.Layer):
    """A pre-norm block: x + attention(norm(x)), then x + dense(GELU(dense(norm(x)))).

    Args:
        num_heads: Number of heads; must divide the channels C.
        num_layers: Blocks of the whole model. What a block adds starts smaller by √(2 num_layers),
            so that the sum of all starts as large as one (GPT-2).
        causal: Whether a token attends only to itself and to those before it.
        rotary: Whether queries and keys are rotated by position.
        dropout: Fraction dropped of what attention and the dense layers add.
        recompute: Whether the backward pass computes what is within attention and the dense layers
            a second time, so that only x is kept in memory (activation checkpointing).
        epsilon: Of the norms.
        **kwargs: Of every Keras layer.

    Call:
        x (B, T, C) → (B, T, C).
    """

    def __init__(
        self,
        num_heads,
        num_layers=1,
        causal=False,
        rotary=False,
        dropout=0.0,
        recompute=False,
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.num_layers, self.causal = num_heads, num_layers, causal
        self.rotary, self.rate, self.recompute = rotary, dropout, recompute
        self.epsilon = epsilon

    def build(self, input_shape):
        """Makes norms, attention and dense layers."""
        channels = input_shape[-1]
        small = 0.02 / (2 * self.num_layers) ** 0.5

        def dense(units, deviation, name):
            initializer = keras.initializers.RandomNormal(stddev=deviation)
            dtype = self.dtype_policy
            return layers.Dense(units, kernel_initializer=initializer, dtype=dtype, name=name)

        def norm(name):
            return layers.LayerNormalization(
                epsilon=self.epsilon, dtype=self.dtype_policy, name=name
            )

        self.attention_norm, self.dense_norm = norm("attention_norm"), norm("dense_norm")
        self.attention = SelfAttention(
            self.num_heads,
            self.causal,
            self.rotary,
            output_deviation=small,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.expand = dense(4 * channels, 0.02, "expand")
        self.contract = dense(channels, small, "contract")
        self.dropout = layers.Dropout(self.rate, dtype=self.dtype_policy, name="dropout")
        for layer in (self.attention_norm, self.attention, self.dense_norm, self.expand):
            layer.build(input_shape)
        self.contract.build((*input_shape[:-1], 4 * channels))

    def call(self, x, training=None):
        """Adds attention, then the dense layers."""
        attend, feed = self._attend, self._feed
        if self.recompute and training:
            # Dropout stays outside: drawn a second time, it would be another.
            attend, feed = keras.remat(attend), keras.remat(feed)
        x = x + self.dropout(attend(x), training=training)
        return x + self.dropout(feed(x), training=training)

    def compute_output_shape(self, input_shape):
        """Returns the shape of x."""
        return input_shape

    def decode(self, x, cache, first):
        """`call` for the next tokens alone; see `SelfAttention.decode`."""
        attended, cache = self.attention.decode(self.attention_norm(x), cache, first)
        x = x + attended
        return x + self._feed(x), cache

    def _attend(self, x):
        return self.attention(self.attention_norm(x))

    def _feed(self, x):
        x = self.expand(self.dense_norm(x))  # (B, T, 4C)
        return self.contract(ops.gelu(x, approximate=True))

    def get_config(self):
        """Returns the arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "causal": self.causal,
            "rotary": self.rotary,
            "dropout": self.rate,
            "recompute": self.recompute,
            "epsilon": self.epsilon,
        }
