"""Changes to images that leave what they show as it was: flips, turns, crops and noise.

What happens to a sample follows from the seed and its place in the training alone, bit for bit,
whichever shard it is in and however large the batch. So random numbers are hashes of that place,
and functions of them (cos, the normal quantile) are looked up in tables: TensorFlow's vectorised
and scalar code differ in a function's last bit, and which of them a number meets depends on its
row. Sums, products and look-ups are safe.
"""

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

KNOWN = "flip, rotate, rotate=DEGREES, crop=FRACTION, noise=DEVIATION"

_DEFAULTS = {"flip": True, "rotate": True, "crop": 0.1, "noise": 0.02}
_HIGHEST = {"rotate": 180, "crop": 0.9, "noise": 1}
_TABLE = 2**16  # entries of a table: a draw is 16 bits
_GOLDEN = 0x9E3779B97F4A7C15  # what SplitMix64 adds to its state for each number


@dataclass(frozen=True)
class Augmentation:
    """What is done to each image, in the order of the attributes; see `parse`.

    Attributes:
        flip: Reverse rows and columns, each with probability 1/2.
        quarter_turns: Turn by 0°, 90°, 180° or 270°; square images only.
        rotate: Turn by a uniform angle of at most so many degrees either way, 0 … 180; beyond its
            edges the image is mirrored.
        crop: Cut a window of this much less height and width, 0 … 0.9, anywhere in the image, and
            blow it up to the image's size.
        noise: Standard deviation of the normal noise added to every value, 0 … 1; not clipped.
    """

    flip: bool = False
    quarter_turns: bool = False
    rotate: float = 0
    crop: float = 0
    noise: float = 0

    def apply(self, images: "tf.Tensor", positions: "tf.Tensor", seed: int) -> "tf.Tensor":
        """Returns the images as a training sees them at these places.

        Args:
            images: Shape (B, H, W, C), float32, about unit scale.
            positions: Place of each image in the whole training, epochs and shards together;
                shape (B,), int64.
            seed: Of all draws.

        Returns:
            Images of the same shape. Angles and crops share one bilinear resampling; flips and
            quarter turns only move pixels.

        Raises:
            ValueError: These are no images, or not square where quarter turns are asked for.
        """
        import tensorflow as tf

        shape = images.shape
        if shape.rank != 4 or None in shape[1:] or images.dtype != tf.float32:
            raise ValueError(
                f"--augment: expected images, float32 of shape (B, H, W, C), got "
                f"{images.dtype.name} of shape {shape}; leave --augment out for this data"
            )
        _, height, width, channels = shape
        if self.quarter_turns and height != width:
            raise ValueError(
                f"--augment rotate: quarter turns expect square images, got {height} × {width}; "
                "give an angle, for example rotate=15"
            )
        values = height * width * channels if self.noise else 0
        draws = _draws(seed, positions, 4 + values)
        if self.flip or self.quarter_turns:
            images = self._move(images, draws[:, 0])
        if self.rotate or self.crop:
            images = self._resample(images, draws[:, 1:4])
        if self.noise:
            noise = tf.gather(tf.constant(self.noise * _normal(), tf.float32), draws[:, 4:])
            images += tf.reshape(noise, (-1, height, width, channels))
        return images

    def _move(self, images: "tf.Tensor", draw: "tf.Tensor") -> "tf.Tensor":
        """Flips and turns by quarters: source pixel = start + row · down + column · across."""
        import tensorflow as tf

        def bit(number):
            return tf.bitwise.bitwise_and(tf.bitwise.right_shift(draw, number), 1)

        _, height, width, channels = images.shape
        turned = upward = leftward = tf.zeros_like(draw)
        if self.flip:
            upward, leftward = bit(0), bit(1)
        if self.quarter_turns:  # as np.rot90(image, k), k = turned + 2 half
            turned, half = bit(2), bit(3)
            upward, leftward = upward + turned + half, leftward + half
        down = tf.where(upward % 2 == 1, -1, 1) * tf.where(turned == 1, 1, width)
        across = tf.where(leftward % 2 == 1, -1, 1) * tf.where(turned == 1, width, 1)
        start = tf.range(tf.size(draw)) * (height * width)
        start -= tf.minimum(down, 0) * (height - 1) + tf.minimum(across, 0) * (width - 1)
        rows = start[:, None] + down[:, None] * tf.range(height)  # (B, H)
        columns = across[:, None] * tf.range(width)  # (B, W)
        pixels = rows[:, :, None] + columns[:, None, :]  # (B, H, W)
        return tf.gather(tf.reshape(images, (-1, channels)), pixels)

    def _resample(self, images: "tf.Tensor", draws: "tf.Tensor") -> "tf.Tensor":
        """Turns by an angle and crops; draws are of the angle and the window's place, (B, 3)."""
        import tensorflow as tf

        _, height, width, _ = images.shape
        turns = tf.constant(_turns(self.rotate, 1 - self.crop, height, width), tf.float32)
        cosine, sine, x, y = tf.unstack(tf.gather(turns, draws[:, 0]), axis=1)
        offsets = tf.constant(self.crop / 2 * _uniform(), tf.float32)
        offset = tf.gather(offsets, draws[:, 1:])  # share of the width and of the height, (B, 2)
        x += offset[:, 0] * width
        y += offset[:, 1] * height
        zero = tf.zeros_like(x)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([cosine, -sine, x, sine, cosine, y, zero, zero], axis=1),
            output_shape=[height, width],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="REFLECT",
        )


def parse(text: str) -> Augmentation:
    """Returns the augmentation that a text asks for.

    Args:
        text: Names with commas between, each at most once: ``flip``; ``rotate`` (quarter turns) or
            ``rotate=DEGREES``; ``crop`` or ``crop=FRACTION`` (default 0.1); ``noise`` or
            ``noise=DEVIATION`` (default 0.02). For example ``"flip,rotate,crop=0.2"``.

    Raises:
        ValueError: A name is unknown or comes twice, or its number is not one or out of range.
    """
    chosen = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if name not in _DEFAULTS:
            raise ValueError(f"--augment {text}: unknown '{name}'; known are {KNOWN}")
        if name in chosen:
            raise ValueError(f"--augment {text}: '{name}' comes twice; give each of {KNOWN} once")
        chosen[name] = _strength(name, number) if equals else _DEFAULTS[name]
    if chosen.get("rotate") is True:
        chosen["quarter_turns"] = chosen.pop("rotate")
    return Augmentation(**chosen)


def _strength(name: str, number: str) -> float:
    if name not in _HIGHEST:
        raise ValueError(f"--augment {name}={number}: expected {name} without a number")
    try:
        strength = float(number)
    except ValueError:
        strength = 0
    if not 0 < strength <= _HIGHEST[name]:
        raise ValueError(
            f"--augment {name}={number}: expected a number above 0 and at most {_HIGHEST[name]}"
        )
    return strength


def _draws(seed: int, positions: "tf.Tensor", number: int) -> "tf.Tensor":
    """Returns `number` draws for each position, 0 … 65535, shape (B, number), int32."""
    import tensorflow as tf

    start = _mix(_mix(tf.constant(seed % 2**64, tf.uint64)) + tf.cast(positions, tf.uint64))
    words = split_mix(start, -(-number // 4))
    draws = tf.reshape(tf.bitcast(words, tf.uint16), (-1, words.shape[1] * 4))
    return tf.cast(draws[:, :number], tf.int32)


def split_mix(start: "tf.Tensor", number: int) -> "tf.Tensor":
    """Returns the first numbers of the generator SplitMix64 at each start.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
    with the constants of Vigna, https://prng.di.unimi.it/splitmix64.c.

    Args:
        start: State of each generator, shape (B,), uint64.
        number: Numbers to draw of each.

    Returns:
        Shape (B, number), uint64.
    """
    import tensorflow as tf

    steps = tf.cast(tf.range(number), tf.uint64) * tf.constant(_GOLDEN, tf.uint64)
    return _mix(start[:, None] + steps)


def _mix(z: "tf.Tensor") -> "tf.Tensor":
    """Returns the number that SplitMix64 gives in the state z."""
    import tensorflow as tf

    def folded(z, shift):
        return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, tf.constant(shift, tf.uint64)))

    z += tf.constant(_GOLDEN, tf.uint64)
    z = folded(z, 30) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    z = folded(z, 27) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return folded(z, 31)


def _uniform() -> np.ndarray:
    """Returns the table of the uniform distribution on −1 … 1: the middles of equal intervals."""
    return (2 * np.arange(_TABLE) + 1) / _TABLE - 1


@cache
def _normal() -> np.ndarray:
    """Returns the table of the normal distribution of variance 1: its quantiles, ±4.3 at most."""
    quantile = NormalDist().inv_cdf
    upper = np.array([quantile((1 + share) / 2) for share in _uniform()[_TABLE // 2 :]])
    table = np.concatenate([-upper[::-1], upper])
    return table / table.std()


def _turns(degrees: float, scale: float, height: int, width: int) -> np.ndarray:
    """Returns the table of turns about the middle of an image.

    Args:
        degrees: Largest angle, either way.
        scale: Side of the window as a share of the image's.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        Rows a, b, x, y, shape (65536, 4): pixel (column, row) of the result is pixel
        (a · column − b · row + x, b · column + a · row + y) of the image.
    """
    angle = np.radians(degrees * _uniform())
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    column, row = (width - 1) / 2, (height - 1) / 2
    return np.stack([a, b, column - a * column + b * row, row - b * column - a * row], axis=1)
