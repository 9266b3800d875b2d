"""Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762) and where tokens are.

B samples, T tokens, S tokens to attend to, C channels, N heads of H = C/N channels.
"""

import keras
from keras import layers, ops

# The wave length of the slowest rotation is 2π times this, in tokens.
_ROTARY_BASE = 10_000.0


def rotate(x, first=0):
    """Turns each pair of channels by an angle in proportion to the token's position.

    Channel i < H/2 and channel i + H/2 are turned by position / 10000^(2i/H), so that the product
    of two rotated tokens depends on their distance alone (RoPE, Su et al. 2021, arXiv:2104.09864;
    the halves as in GPT-NeoX).

    Args:
        x: Queries or keys, (B, T, N, H), H even.
        first: Position of the first token.
    """
    tokens, half = x.shape[1], x.shape[-1] // 2
    position = ops.cast(first + ops.arange(tokens), "float32")
    rate = ops.power(_ROTARY_BASE, -ops.arange(half, dtype="float32") / half)
    angle = (position[:, None] * rate)[:, None]  # (T, 1, H/2)
    cos, sin = ops.cast(ops.cos(angle), x.dtype), ops.cast(ops.sin(angle), x.dtype)
    a, b = x[..., :half], x[..., half:]
    return ops.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


@keras.saving.register_keras_serializable("tfsci")
class SelfAttention(layers.Layer):
    """softmax(Q Kᵀ / √H) V of each head, from one projection to Q, K and V.

    Args:
        num_heads: Number of heads; must divide the channels.
        causal: Whether a token attends only to itself and to those before it.
        rotary: Whether queries and keys are rotated by position, see `rotate`.
        deviation: Standard deviation of the initial weights.
        output_deviation: The same of the output projection; `deviation` by default.
        **kwargs: Of every Keras layer.

    Call:
        x (B, T, C) → (B, T, C).
    """

    def __init__(
        self, num_heads, causal=False, rotary=False, deviation=0.02, output_deviation=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads, self.causal, self.rotary = num_heads, causal, rotary
        self.deviation, self.output_deviation = deviation, output_deviation or deviation

    def build(self, input_shape):
        """Makes the two projections."""
        channels = input_shape[-1]
        if channels % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads}: does not divide the {channels} channels")
        if self.rotary and channels // self.num_heads % 2:
            raise ValueError(
                f"num_heads {self.num_heads}: heads of {channels // self.num_heads} channels, "
                "expected an even number, since rotary positions turn pairs"
            )
        self.qkv = self._dense(3 * channels, self.deviation, "qkv")
        self.output_projection = self._dense(channels, self.output_deviation, "output")
        self.qkv.build(input_shape)
        self.output_projection.build(input_shape)

    def _dense(self, units: int, deviation: float, name: str):
        initializer = keras.initializers.RandomNormal(stddev=deviation)
        dtype = self.dtype_policy
        return layers.Dense(units, kernel_initializer=initializer, dtype=dtype, name=name)

    def call(self, x):
        """Attends within x."""
        q, k, v = self._heads(x, 0)
        return self._attend(q, k, v, 0)

    def compute_output_shape(self, input_shape):
        """Returns the shape of x."""
        return input_shape

    def decode(self, x, cache, first):
        """Attends to what is in the cache and in x, without computing the cache anew.

        Args:
            x: The next tokens, (B, T, C).
            cache: Keys and values, each (B, S, N, H), of the `first` tokens before x; beyond them
                anything.
            first: Position of the first token of x, a number or a tensor; first + T ≤ S.

        Returns:
            What `call` would give for these tokens, (B, T, C), and the cache with them.
        """
        q, k, v = self._heads(x, first)
        k = ops.slice_update(cache[0], (0, first, 0, 0), ops.cast(k, cache[0].dtype))
        v = ops.slice_update(cache[1], (0, first, 0, 0), ops.cast(v, cache[1].dtype))
        return self._attend(q, k, v, first), (k, v)

    def _heads(self, x, first):
        """Returns queries, scaled, keys and values, each (B, T, N, H)."""
        tokens, channels = x.shape[1:]
        size = channels // self.num_heads
        # Split before heads are: XLA trains a small GPT 4 % faster than with a transposition here.
        q, k, v = (
            ops.reshape(each, (-1, tokens, self.num_heads, size))
            for each in ops.split(self.qkv(x), 3, axis=-1)
        )
        if self.rotary:
            q, k = rotate(q, first), rotate(k, first)
        return q * size**-0.5, k, v

    def shares(self, x):
        """Returns how much each token attends to each: (B, N, T, T), each row summing to 1."""
        q, k, _ = self._heads(x, 0)
        return self._shares(q, k, 0)

    def _shares(self, q, k, first):
        scores = ops.einsum("btnh,bsnh->bnts", q, k)
        scores = ops.cast(scores, "float32")  # a softmax in half precision loses the small shares
        if self.causal:
            place, other = first + ops.arange(q.shape[1]), ops.arange(k.shape[1])
            hidden = ops.cast(place[:, None] < other, "float32")  # (T, S)
            scores = scores - 1e9 * hidden
        return ops.softmax(scores)

    def _attend(self, q, k, v, first):
        tokens, size = q.shape[1], q.shape[-1]
        shares = ops.cast(self._shares(q, k, first), v.dtype)
        x = ops.einsum("bnts,bsnh->btnh", shares, v)
        return self.output_projection(ops.reshape(x, (-1, tokens, self.num_heads * size)))

    def get_config(self):
        """Returns the arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "causal": self.causal,
            "rotary": self.rotary,
            "deviation": self.deviation,
            "output_deviation": self.output_deviation,
        }


@keras.saving.register_keras_serializable("tfsci")
class PositionEmbedding(layers.Layer):
    """Adds a learned vector for each position.

    Args:
        length: Number of positions.
        **kwargs: Of every Keras layer.

    Call:
        x (B, T, C), T ≤ length, and the position of its first token → (B, T, C).
    """

    def __init__(self, length, **kwargs):
        super().__init__(**kwargs)
        self.length = length

    def build(self, input_shape):
        """Makes the table."""
        if input_shape[1] > self.length:
            raise ValueError(f"{input_shape[1]} tokens: expected at most {self.length} positions")
        initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight((self.length, input_shape[-1]), initializer, name="table")

    def call(self, x, first=0):
        """Adds rows first … first + T - 1 of the table."""
        table = ops.convert_to_tensor(self.table)
        return x + ops.slice(table, (first, 0), x.shape[1:])

    def compute_output_shape(self, input_shape):
        """Returns the shape of x."""
        return input_shape

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "length": self.length}
