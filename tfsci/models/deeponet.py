"""DeepONets: functions in, functions out (Lu et al. 2021, arXiv:1910.03193, unstacked, eq. 2).

A **branch** reads the function u at its sensors, a **trunk** reads the place y at which the answer
is wanted, and the answer is the sum of their products,

    G(u)(y) ≈ Σ_k branch_k(u) · trunk_k(y) / √terms + bias.

The root is ours: with it the sum is of the size of a term however many there are. Without, as in
the paper, networks for the Burgers equation ended three times as far from it after as many steps.
Whatever the branch computes, answers are mixtures of as many functions as the sum has terms. The
error is at least what is left of the answers when their largest principal components are taken out,
as many as there are terms (Lanthaler, Mishra & Karniadakis 2022, arXiv:2102.09618, theorem 3.4).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from tfsci.models import checks


@dataclass(frozen=True)
class Variant:
    """A row of the table: hidden units of branch and trunk, and terms of the sum."""

    branch: tuple[int, ...]
    trunk: tuple[int, ...]
    terms: int


VARIANTS = {
    "small": Variant((128, 128), (128, 128), 64),
    "base": Variant((256, 256, 256), (256, 256, 256), 128),
    # For operators that are linear in u, such as an integral; with a period, in sums of waves.
    "linear": Variant((), (), 64),
}


def build(
    input_shape: tuple[int, ...],
    points: Sequence,
    num_outputs: int = 1,
    variant: str = "small",
    terms: int | None = None,
    period: float | None = None,
    harmonics: int = 4,
) -> keras.Model:
    """Builds a DeepONet that answers at given points.

    Weights do not depend on the points: a model with other points takes the same weights. Several
    outputs are several tasks: they share the trunk and the branch's hidden layers, and each has
    factors of its own in the sum.

    Args:
        input_shape: Shape of a function as the sensors see it, such as (sensors,), without the
            batch; it is laid out flat.
        points: Where the answer is wanted: n places on a line, or n places of d coordinates.
        num_outputs: Functions that come out.
        variant: A row of `VARIANTS`.
        terms: Terms of the sum; the variant's own by default.
        period: Of the coordinates, where answers are periodic: then the trunk gets cosines and
            sines of them, and every answer is as periodic.
        harmonics: How many of each, at 1, 2, … waves a period.

    Returns:
        A model from functions (B, sensors) to float32 values (B, points, num_outputs). Its layers
        ``branch`` and ``trunk`` are models of their own, from functions to (B, num_outputs, terms)
        and from (B, points, coordinates) to (B, points, terms).

    Raises:
        ValueError: The variant is unknown, the points are no places, or a number is out of range.
    """
    row = checks.variant("deeponet", VARIANTS, variant)
    input_shape = checks.shape("input_shape", input_shape)
    points = _places(points)
    num_outputs = checks.whole("num_outputs", num_outputs)
    terms = checks.whole("terms", row.terms if terms is None else terms)
    harmonics = checks.whole("harmonics", harmonics)

    function = keras.Input(input_shape, name="function")
    x = layers.Flatten(name="flatten")(function)
    x = _dense(x, row.branch, "branch")
    x = layers.Dense(num_outputs * terms, name="branch_factors")(x)
    x = layers.Reshape((num_outputs, terms), name="branch_outputs")(x)  # (B, K, terms)
    branch = keras.Model(function, x, name="branch")

    place = keras.Input((len(points), len(points[0])), name="place")
    x = place
    if period is not None:
        x = Waves(period, harmonics, dtype="float32", name="waves")(x)
    x = _dense(x, row.trunk, "trunk")
    x = layers.Dense(terms, name="trunk_factors")(x)  # (B, n, terms)
    trunk = keras.Model(place, x, name="trunk")

    inputs = keras.Input(input_shape, name="sensors")
    # (1, n, d): one set of places for the whole batch.
    places = Places(points, dtype="float32", name="places")(inputs)
    outputs = Product(dtype="float32", name="outputs")([branch(inputs), trunk(places)])
    return keras.Model(inputs, outputs, name=f"deeponet_{variant}")


def _dense(x, units: Sequence[int], name: str):
    for i, number in enumerate(units, 1):  # smooth, as in `mlp`
        x = layers.Dense(number, "gelu", kernel_initializer="he_normal", name=f"{name}_{i}")(x)
    return x


def _places(points) -> list[list[float]]:
    """Returns n places of d coordinates."""
    try:
        places = np.asarray(points, "float64")
    except (TypeError, ValueError):
        places = np.empty(0)
    if places.ndim == 1:
        places = places[:, None]
    if places.ndim != 2 or not places.size or not np.isfinite(places).all():
        raise ValueError(
            "points: expected finite numbers, n places on a line or n places of as many "
            f"coordinates each; received {points!r}"
        )
    return places.tolist()


@keras.saving.register_keras_serializable("tfsci")
class Places(layers.Layer):
    """Gives the same places whatever comes in: (B, …) → (1, n, d).

    Args:
        points: n places of d coordinates.
        **kwargs: Of every Keras layer.
    """

    def __init__(self, points: Sequence[Sequence[float]], **kwargs):
        super().__init__(**kwargs)
        self.points = [list(map(float, point)) for point in points]

    def call(self, x):
        """Returns them."""
        return ops.convert_to_tensor([self.points], self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Returns (1, n, d)."""
        return (1, len(self.points), len(self.points[0]))

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "points": self.points}


@keras.saving.register_keras_serializable("tfsci")
class Waves(layers.Layer):
    """Makes waves of coordinates: (B, n, d) → (B, n, 2·d·harmonics).

    cos(2π m y / period) and sin(2π m y / period) for m = 1 … harmonics: all that a network makes of
    them is periodic (Lu et al. 2022, arXiv:2111.05512, section 3.1.2).

    Args:
        period: Of every coordinate, above 0.
        harmonics: Largest m.
        **kwargs: Of every Keras layer.

    Raises:
        ValueError: The period is not above 0.
    """

    def __init__(self, period: float, harmonics: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.period, self.harmonics = checks.not_negative("period", period), harmonics
        if not self.period:
            raise ValueError("period 0: expected a number above 0, or None")

    def call(self, y):
        """Computes them."""
        angle = 2 * math.pi / self.period * y
        waves = [wave(m * angle) for m in range(1, self.harmonics + 1) for wave in _WAVES]
        return ops.concatenate(waves, axis=-1)

    def compute_output_shape(self, input_shape):
        """Returns the shape with the waves of each coordinate."""
        return (*input_shape[:-1], 2 * self.harmonics * input_shape[-1])

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "period": self.period, "harmonics": self.harmonics}


_WAVES = (ops.cos, ops.sin)


@keras.saving.register_keras_serializable("tfsci")
class Product(layers.Layer):
    """Multiplies branch and trunk, (B, K, terms) and (1, n, terms) → (B, n, K); adds a bias."""

    def build(self, input_shape):
        """Makes the bias, a number for each output."""
        self.bias = self.add_weight((input_shape[0][1],), "zeros", name="bias")

    def call(self, factors):
        """Sums over the terms."""
        branch, trunk = factors
        summed = ops.matmul(trunk, ops.transpose(branch, (0, 2, 1)))
        return summed / math.sqrt(trunk.shape[-1]) + self.bias

    def compute_output_shape(self, input_shape):
        """Returns (B, n, K)."""
        (batch, outputs, _), (_, points, _) = input_shape
        return (batch, points, outputs)
