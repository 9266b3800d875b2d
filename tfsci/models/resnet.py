"""Residual networks for images (He et al. 2016, arXiv:1512.03385).

The stride of a bottleneck is in its 3×3 convolution and padding is symmetric, as in torchvision
("v1.5"), so that published parameter counts and accuracies hold.
"""

from dataclasses import dataclass

import keras
from keras import layers

from tfsci.models import checks


@dataclass(frozen=True)
class Variant:
    """A row of the table: blocks of each stage, and whether a block is a bottleneck."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool


VARIANTS = {  # parameters that are trained, at 1000 classes
    "18": Variant((2, 2, 2, 2), bottleneck=False),  # 11,689,512
    "34": Variant((3, 4, 6, 3), bottleneck=False),  # 21,797,672
    "50": Variant((3, 4, 6, 3), bottleneck=True),  # 25,557,032
    "101": Variant((3, 4, 23, 3), bottleneck=True),  # 44,549,160
    "152": Variant((3, 8, 36, 3), bottleneck=True),  # 60,192,808
}

# The stem of ImageNet halves an image twice; below this edge nothing would be left of it.
_SMALL = 64
_STEMS = ("auto", "3x3", "7x7")


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    variant: str = "18",
    stem: str = "auto",
    width: int = 64,
    shortcuts: bool = True,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a residual network.

    The scale of the last batch norm beside a shortcut starts at 0, so that a block starts as the
    identity (Goyal et al. 2017, arXiv:1706.02677). For label smoothing see `tfsci.training.losses`.

    Args:
        input_shape: Height, width and channels of an image, without the batch.
        num_classes: Number of classes, at least 2.
        variant: A row of `VARIANTS`.
        stem: How an image comes in: ``"7x7"``, of stride 2 and max-pooled, as for ImageNet;
            ``"3x3"``, of stride 1, as for CIFAR; ``"auto"`` takes the second below 64 pixels.
        width: Channels of the stem and of the first stage; each next stage has twice as many.
        shortcuts: Whether blocks have them; without, it is the plain network that He et al.
            compare with.
        dropout: Fraction of features dropped before the logits.

    Returns:
        A model from images (B, H, W, C) to float32 logits (B, num_classes).

    Raises:
        ValueError: The variant is unknown, the image is too small for the depth, or a number is
            out of range.
    """
    row = checks.variant("resnet", VARIANTS, variant)
    input_shape = checks.image("resnet", input_shape)
    num_classes = checks.whole("num_classes", num_classes, least=2)
    width = checks.whole("width", width)
    shortcuts = checks.flag("shortcuts", shortcuts)
    rate = checks.fraction("dropout", dropout)
    if checks.one_of("stem", stem, _STEMS) == "auto":
        stem = "3x3" if min(input_shape[:2]) < _SMALL else "7x7"
    smallest = 8 if stem == "3x3" else 32
    if min(input_shape[:2]) < smallest:
        raise ValueError(
            f"input_shape {input_shape}: too small for stem {stem}; "
            f"expected at least {smallest}×{smallest} pixels"
        )

    inputs = keras.Input(input_shape, name="image")
    if stem == "3x3":
        x = _convolution(inputs, width, 3, 1, "stem")
        x = layers.Activation("relu", name="stem_relu")(x)
    else:
        x = _convolution(inputs, width, 7, 2, "stem")  # (B, H, W, C) → (B, H/2, W/2, width)
        x = layers.Activation("relu", name="stem_relu")(x)
        # Zeros around, no minus infinities: after a ReLU that is the same.
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)

    block = _bottleneck if row.bottleneck else _basic
    for stage, blocks in enumerate(row.blocks, 1):
        for i in range(1, blocks + 1):
            stride = 2 if stage > 1 and i == 1 else 1
            name = f"stage_{stage}_block_{i}"
            y = block(x, width * 2 ** (stage - 1), stride, name, "zeros" if shortcuts else "ones")
            if shortcuts:
                y = _add(x, y, stride, name)
            x = layers.Activation("relu", name=f"{name}_relu")(y)

    x = layers.GlobalAveragePooling2D(name="average")(x)
    if rate:
        x = layers.Dropout(rate, name="dropout")(x)
    outputs = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs, name=f"resnet_{variant}")


def _basic(x, channels: int, stride: int, name: str, gamma: str):
    """Two 3×3 convolutions."""
    y = _convolution(x, channels, 3, stride, f"{name}_1")
    y = layers.Activation("relu", name=f"{name}_1_relu")(y)
    return _convolution(y, channels, 3, 1, f"{name}_2", gamma)


def _bottleneck(x, channels: int, stride: int, name: str, gamma: str):
    """1×1, 3×3 and 1×1 convolutions, the last to four times the channels."""
    y = _convolution(x, channels, 1, 1, f"{name}_1")
    y = layers.Activation("relu", name=f"{name}_1_relu")(y)
    y = _convolution(y, channels, 3, stride, f"{name}_2")
    y = layers.Activation("relu", name=f"{name}_2_relu")(y)
    return _convolution(y, 4 * channels, 1, 1, f"{name}_3", gamma)


def _add(x, y, stride: int, name: str):
    """The sum of shortcut and branch; a shortcut to another shape is a 1×1 convolution.

    It doesn't stride itself: the gradient of a strided 1×1 kernel over fewer than 16 channels
    writes beyond its memory on CPUs with AVX-512 (TensorFlow 2.21's oneDNN).
    """
    if x.shape != y.shape:
        if stride > 1:
            x = layers.AveragePooling2D(1, stride, name=f"{name}_shortcut_stride")(x)
        x = _convolution(x, y.shape[-1], 1, 1, f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([x, y])


def _convolution(x, channels: int, kernel: int, stride: int, name: str, gamma: str = "ones"):
    """A convolution and batch norm, which makes a bias superfluous."""
    padding = "same"
    if stride > 1 and kernel > 1:  # "same" pads unevenly where it strides
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.Conv2D(
        channels,
        kernel,
        stride,
        padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_norm"
    )(x)
