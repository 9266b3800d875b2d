import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from test_builders import randomized, sample

from tfsci import models
from tfsci.models import cost


@settings(max_examples=8)
@given(
    edges=st.lists(st.integers(1, 6), min_size=1, max_size=2),
    channels=st.integers(1, 3),
    boundary=st.sampled_from(["zero", "periodic"]),
)
def test_keeps_the_size(edges, channels, boundary):
    shape = (*(4 * edge for edge in edges), channels)
    model = models.build("unet", input_shape=shape, num_outputs=2, boundary=boundary)
    assert model.output_shape == (None, *shape[:-1], 2)
    assert model(sample(model)).shape == (2, *shape[:-1], 2)


def test_three_dimensions():
    model = models.build("unet", input_shape=(4, 8, 4, 1), boundary="periodic")
    assert model(sample(model)).shape == (2, 4, 8, 4, 1)


def test_parameters_of_the_papers_depth_and_width():
    """31,031,685 of the usual Keras translation without its last layers, and norms.

    A convolution of c channels to d: (9 c + 1) d, doubling: (4 c + 1) d, norm: 2 d.
    """
    channels = (64, 128, 256, 512, 1024)

    def twice(before, after):
        return (9 * before + 1) * after + (9 * after + 1) * after + 4 * after

    down = sum(twice(c, d) for c, d in zip((1, *channels), channels, strict=False))
    up = sum((4 * 2 * c + 1) * c + twice(2 * c, c) for c in channels[:-1])
    found = cost.sketch("unet", variant="large", input_shape=(64, 64, 1))
    assert found.parameters == down + up + 64 + 1


def test_a_periodic_field_that_is_shifted_gives_the_shifted_field():
    """By 4, the points that the lowest level sees as one, in each direction."""
    model = randomized(models.build("unet", input_shape=(16, 24, 1), boundary="periodic"))
    x = sample(model)
    shifted = model(np.roll(x, (4, -8), axis=(1, 2)))
    expected = np.roll(model(x), (4, -8), axis=(1, 2))
    np.testing.assert_allclose(shifted, expected, rtol=1e-4, atol=1e-4)


def test_beyond_the_edge_are_zeros_otherwise():
    model = randomized(models.build("unet", input_shape=(16, 1)))
    x = sample(model)
    assert np.abs(model(np.roll(x, 4, axis=1)) - np.roll(model(x), 4, axis=1)).max() > 1e-2
