import math

import keras
import numpy as np
import pytest
from test_builders import randomized, sample

from tfsci import models
from tfsci.models import cost

PLANE = ((0.0, 0.3), (-1.0, 0.5), (0.25, -0.75), (0.9, 0.9))


def gelu(x):
    """x times the chance that a standard normal number is below it, as Keras computes it."""
    return x * np.vectorize(lambda z: 0.5 * (1 + math.erf(z / math.sqrt(2))))(x)


def dense(x, part, name, activation=lambda x: x):
    kernel, bias = part.get_layer(name).get_weights()
    return activation(x @ kernel + bias)


def test_branch_times_trunk_by_hand():
    options = {"input_shape": (7, 2), "points": PLANE, "num_outputs": 3, "terms": 6}
    model = randomized(models.build("deeponet", **options))
    u = sample(model, batch=5)
    part = model.get_layer("branch")
    b = dense(u.reshape(5, 14).astype("float64"), part, "branch_1", gelu)
    b = dense(dense(b, part, "branch_2", gelu), part, "branch_factors").reshape(5, 3, 6)
    part = model.get_layer("trunk")
    t = dense(np.array(PLANE), part, "trunk_1", gelu)
    t = dense(dense(t, part, "trunk_2", gelu), part, "trunk_factors")
    (bias,) = model.get_layer("outputs").get_weights()
    by_hand = np.zeros((5, 4, 3))
    for sampled in range(5):
        for place in range(4):
            for output in range(3):
                products = b[sampled, output] * t[place]
                by_hand[sampled, place, output] = products.sum() / math.sqrt(6) + bias[output]
    np.testing.assert_allclose(model(u), by_hand, rtol=1e-4, atol=1e-3 * np.abs(by_hand).max())


def test_parameters_by_hand():
    """Branch 128 → 128 → 128 → 64, trunk of 4 cosines and 4 sines → 128 → 128 → 64, one bias."""
    branch = 129 * 128 + 129 * 128 + 129 * 64
    trunk = 9 * 128 + 129 * 128 + 129 * 64
    points = tuple(np.linspace(-1, 1, 5))
    options = {"input_shape": (128,), "period": 2.0}
    for count in (1, 5):
        found = cost.sketch("deeponet", points=points[:count], **options)
        assert found.parameters == branch + trunk + 1
    # Another output has 64 more factors of the branch and a bias; the trunk is shared.
    found = cost.sketch("deeponet", points=points, num_outputs=2, **options)
    assert found.parameters == branch + trunk + 1 + 129 * 64 + 1


def test_operations_by_hand():
    """A matrix for the function, one for each of 5 places, and 2 × 5 sums of 3 products."""
    found = cost.sketch("deeponet", variant="linear", input_shape=(7,), num_outputs=2, terms=3,
                        points=(0.0, 0.1, 0.2, 0.3, 0.4))  # fmt: skip
    assert found.flops == 2 * (7 * 2 * 3 + 5 * 1 * 3 + 2 * 5 * 3)


def test_the_same_weights_answer_elsewhere():
    options = {"input_shape": (6,), "terms": 4}
    model = randomized(models.build("deeponet", points=(0.0, 0.5, 1.0), **options))
    other = models.build("deeponet", points=(0.5, 0.25), **options)
    other.set_weights(model.get_weights())
    u = sample(model)
    np.testing.assert_allclose(other(u)[:, 0], model(u)[:, 1], rtol=1e-5, atol=1e-6)


def test_waves_make_the_answer_periodic():
    options = {"input_shape": (6,), "terms": 4, "harmonics": 3}
    places = np.array(PLANE)
    model = randomized(models.build("deeponet", points=places, period=2.5, **options))
    waves = model.get_layer("trunk").get_layer("waves")
    angle = 2 * np.pi / 2.5 * places
    by_hand = np.concatenate([f(m * angle) for m in (1, 2, 3) for f in (np.cos, np.sin)], axis=1)
    np.testing.assert_allclose(waves(places), by_hand, atol=1e-6)
    moved = models.build("deeponet", points=places + np.array([5.0, -2.5]), period=2.5, **options)
    moved.set_weights(model.get_weights())
    u = sample(model)
    np.testing.assert_allclose(moved(u), model(u), rtol=1e-4, atol=1e-4)


def test_answers_have_no_more_dimensions_than_terms():
    """40 functions, answered at 40 places, are mixtures of 5 and a constant."""
    model = randomized(
        models.build("deeponet", input_shape=(6,), points=np.linspace(-1, 1, 40), terms=5)
    )
    (answers,) = np.moveaxis(np.asarray(model(sample(model, batch=40)), "float64"), -1, 0)
    size = np.linalg.svd(answers, compute_uv=False)
    assert size[5] > 1e-6 * size[0] and size[6] < 1e-6 * size[0]


def test_a_part_that_is_frozen_stays():
    keras.utils.set_random_seed(0)
    model = models.build("deeponet", input_shape=(6,), points=(0.0, 1.0), terms=4)
    model.get_layer("trunk").trainable = False
    model.compile("adam", "mse")
    before = model.get_layer("trunk").get_weights()
    model.fit(sample(model, 8), np.ones((8, 2, 1)), epochs=1, verbose=0)
    for old, new in zip(before, model.get_layer("trunk").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("variant", ["base", "linear"])
def test_variants(variant):
    model = models.build("deeponet", input_shape=(8, 1), points=PLANE, variant=variant)
    assert model.output_shape == (None, 4, 1)
    hidden = {"base": 3, "linear": 0}[variant]
    assert len(model.trainable_weights) == 2 * 2 * (hidden + 1) + 1
