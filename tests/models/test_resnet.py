import keras
import numpy as np
import pytest

from tfsci import models
from tfsci.models import cost


@pytest.mark.parametrize(
    ("variant", "parameters", "multiplications"),
    [  # torchvision's, of parameters and of multiplications, 10⁹
        ("18", 11_689_512, 1.814),
        ("34", 21_797_672, 3.664),
        ("50", 25_557_032, 4.089),
        ("101", 44_549_160, 7.801),
        ("152", 60_192_808, 11.514),
    ],
)
def test_published(variant, parameters, multiplications):
    found = cost.sketch("resnet", variant=variant, input_shape=(224, 224, 3), num_classes=1000)
    assert found.parameters == parameters
    assert found.flops / 2e9 == pytest.approx(multiplications, abs=5e-4)


def test_small_images_have_the_stem_of_cifar():
    found = cost.sketch("resnet", variant="18", input_shape=(32, 32, 3), num_classes=10)
    assert found.parameters == 11_173_962


@pytest.mark.parametrize(
    ("shape", "stem", "last"),
    [
        ((8, 8, 1), "3x3", (1, 1)),
        ((33, 50, 3), "3x3", (5, 7)),
        ((64, 64, 3), "7x7", (2, 2)),
        ((65, 97, 3), "7x7", (3, 4)),
    ],
)
def test_any_size(shape, stem, last):
    """Symmetric padding halves n points to ⌈n/2⌉."""
    model = models.build("resnet", input_shape=shape, num_classes=2)
    assert model.get_layer("stage_4_block_2_relu").output.shape[1:3] == last
    assert model.get_layer("stem_conv").kernel_size[0] == int(stem[0])


@pytest.mark.parametrize("variant", ["18", "50"])
def test_a_block_starts_as_the_identity(variant):
    """γ is 0 in the last batch norm of a branch, so only what is on the shortcut comes through."""
    keras.utils.set_random_seed(0)
    model = models.build("resnet", variant=variant, input_shape=(16, 16, 3), num_classes=2)
    names = ("stage_1_block_1_relu", "stage_1_block_2_relu")
    both = keras.Model(model.input, [model.get_layer(name).output for name in names])
    first, second = both(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), training=True)
    assert np.abs(first).max() > 0.1
    np.testing.assert_array_equal(first, second)


def test_strided_convolutions_are_centred():
    """An odd image and its mirror image give the same average, so padding has no side."""
    model = models.build("resnet", input_shape=(65, 65, 1), num_classes=2)
    stem = keras.Model(model.input, model.get_layer("stem_conv").output)
    kernel = np.random.default_rng(0).normal(size=(7, 7, 1, 64)).astype("float32")
    x = np.random.default_rng(1).normal(size=(1, 65, 65, 1)).astype("float32")
    stem.set_weights([kernel])
    y = np.asarray(stem(x))
    stem.set_weights([kernel[:, ::-1]])
    np.testing.assert_allclose(stem(x[:, :, ::-1])[:, :, ::-1], y, atol=1e-4)


@pytest.mark.parametrize("size", [16, 17])
def test_a_shortcut_takes_every_second_pixel(size):
    model = models.build("resnet", width=4, input_shape=(size, size, 1), num_classes=2)
    layer = model.get_layer("stage_2_block_1_shortcut_stride")
    both = keras.Model(model.input, [layer.input, layer.output])
    before, after = both(np.random.default_rng(0).normal(size=(2, size, size, 1)))
    np.testing.assert_array_equal(after, before[:, ::2, ::2])


@pytest.mark.parametrize("variant", ["18", "50"])
def test_no_kernel_of_one_pixel_strides(variant):
    """With few channels its gradient ends the process, where TensorFlow uses oneDNN."""
    model = models.build("resnet", variant=variant, input_shape=(64, 64, 3), num_classes=2)
    convolutions = [each for each in model.layers if isinstance(each, keras.layers.Conv2D)]
    assert {each.strides for each in convolutions if each.kernel_size == (1, 1)} == {(1, 1)}


def test_width():
    """A twice narrower convolution has a quarter of the weights; shortcuts and norms, by hand."""
    model = models.build("resnet", width=2, input_shape=(8, 8, 1), num_classes=3)
    convolutions = 9 * (1 * 2 + 4 * 4) + sum(
        9 * (n * n // 2 + 3 * n * n) + n * n // 2 for n in (4, 8, 16)
    )
    norms = 2 * (5 * 2 + 5 * (4 + 8 + 16))
    assert (
        sum(w.numpy().size for w in model.trainable_variables) == convolutions + norms + 16 * 3 + 3
    )


@pytest.mark.parametrize("variant", ["18", "50"])
def test_without_shortcuts_it_is_a_chain(variant):
    options = {"variant": variant, "width": 4, "input_shape": (8, 8, 1), "num_classes": 2}
    plain, residual = (models.build("resnet", **options, shortcuts=on) for on in (False, True))
    kinds = {type(layer).__name__ for layer in plain.layers}
    assert "Add" not in kinds and not any("shortcut" in layer.name for layer in plain.layers)
    own = [
        layer.name for layer in residual.layers if "add" in layer.name or "shortcut" in layer.name
    ]
    assert len(plain.layers) == len(residual.layers) - len(own)
    assert all(np.all(w == 1) for w in plain.weights if w.path.endswith("gamma"))
