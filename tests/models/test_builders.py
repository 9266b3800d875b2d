"""What holds for every model."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsci import models

IMAGE = {"input_shape": (8, 8, 3), "num_classes": 3}
SMALL = {
    "mlp": IMAGE,
    "resnet": IMAGE,
    "rnn": {"input_shape": (6, 4), "num_classes": 3, "units": (5, 4), "variant": "bidirectional"},
    "vit": {**IMAGE, "patch_size": 4},
    "gpt": {"num_layers": 2, "width": 16, "num_heads": 2, "vocabulary_size": 11,
            "context_length": 8, "positions": "rotary", "dropout": 0.1},
    "autoencoder": {"input_shape": (8, 12, 1), "latent_size": 3},
    "vae": {"input_shape": (8, 12, 1), "latent_size": 3},
    "unet": {"input_shape": (8, 12, 2), "num_outputs": 3, "boundary": "periodic"},
    "deeponet": {"input_shape": (6,), "points": (-0.5, 0.0, 0.7), "num_outputs": 2, "terms": 5,
                 "period": 2.0, "harmonics": 2},
}  # fmt: skip


def randomized(model, seed=0):
    """Gives every weight, biases too, a random number; variances one above 0."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.dtype != "float32":
            continue
        value = generator.normal(0, 0.3, weight.shape)
        weight.assign(1 + np.abs(value) if "variance" in weight.path else value)
    return model


def sample(model, batch=2):
    generator = np.random.default_rng(1)
    shape = (batch, *model.input_shape[1:])
    if model.inputs[0].dtype == "int32":
        return generator.integers(0, 11, shape, "int32")
    return generator.random(shape, "float32")


@pytest.fixture(params=SMALL)
def model(request):
    return randomized(models.build(request.param, **SMALL[request.param]))


def test_saved_loaded_and_made_from_the_config(model, tmp_path):
    expected = model(sample(model), training=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(sample(model), training=False), expected)
    assert json.dumps(loaded.get_config()) == json.dumps(model.get_config())
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(sample(model), training=False), expected)


@pytest.mark.parametrize("name", SMALL)
def test_mixed_precision_gives_finite_float32_and_float32_weights(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.build(name, **SMALL[name])
    finally:
        keras.config.set_dtype_policy(before)
    outputs = model(sample(model), training=True)
    assert (model.output.dtype, outputs.dtype.name) == ("float32", "float32")
    assert outputs.shape[1:] == model.output_shape[1:] and np.isfinite(outputs).all()
    assert {w.dtype for w in model.trainable_weights} == {"float32"}
    compute = {layer.compute_dtype for layer in model._flatten_layers() if layer.weights}
    assert "bfloat16" in compute


@pytest.mark.parametrize("name", ["vae", "gpt", "mlp"])
def test_a_seed_gives_weights_and_masks(name):
    def outputs():
        keras.utils.set_random_seed(3)
        model = models.build(name, **SMALL[name])
        return np.asarray(model(sample(model), training=True))

    np.testing.assert_array_equal(outputs(), outputs())


IN_JAX = """
import json, sys
import numpy as np
from tfsci import models
from tfsci.models import cost, generation
given, folder = json.loads(sys.argv[1]), sys.argv[2]
for name, options in given.items():
    model = models.build(name, **options)
    with np.load(f"{folder}/{name}.npz") as data:
        model.set_weights([data[f"w{i}"] for i in range(len(model.weights))])
        y = model.predict_on_batch(data["x"])
        np.testing.assert_allclose(y, data["y"], 1e-4, 1e-4)
        assert cost.measure(model).flops == data["flops"]
        if name == "gpt":
            written = generation.generate(model, data["x"][:, :3], 5, top_k=4, seed=0)
            np.testing.assert_array_equal(written, data["written"])
    print(name)
"""


@pytest.mark.slow
def test_jax_builds_each_and_computes_the_same(python, tmp_path):
    from tfsci.models import cost, generation

    for name, options in SMALL.items():
        model = randomized(models.build(name, **options))
        x = sample(model)
        more = {"flops": cost.measure(model).flops}
        if name == "gpt":
            more["written"] = generation.generate(model, x[:, :3], 5, top_k=4, seed=0)
        weights = {f"w{i}": w for i, w in enumerate(model.get_weights())}
        y = model(x, training=False)
        np.savez(tmp_path / f"{name}.npz", x=x, y=y, **weights, **more)
    done = python(IN_JAX, json.dumps(SMALL), str(tmp_path), KERAS_BACKEND="jax")
    assert done.stdout.split() == list(SMALL), done.stderr


def test_a_step_is_the_same_with_activations_computed_again():
    """Dropout too: what is recomputed must not be drawn anew."""
    x = tf.constant(np.random.default_rng(0).integers(0, 11, (2, 8)))

    def gradients(recompute):
        keras.utils.set_random_seed(0)
        model = models.build("gpt", **{**SMALL["gpt"], "recompute": recompute, "dropout": 0.3})
        variables = [v.value for v in model.trainable_variables]

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model(x, training=True) ** 2)
            return [loss, *tape.gradient(loss, variables)]

        return [np.asarray(tf.convert_to_tensor(value)) for value in step()]

    for plain, again in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-4, atol=1e-7)


def error(name, **options):
    with pytest.raises(ValueError) as raised:
        models.build(name, **options)
    return str(raised.value)


GPT = SMALL["gpt"]


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("mlp", {**IMAGE, "width": 3},
         "mlp has no option 'width'; expected input_shape, num_classes, variant, units, dropout, "
         "activation"),
        ("mlp", {"num_classes": 2},
         "mlp needs input_shape; expected at least input_shape, num_classes"),
        ("mlp", {**IMAGE, "units": (3, 0)},
         "units (3, 0): expected one or more whole numbers above 0"),
        ("mlp", {**IMAGE, "activation": "step"},
         "activation 'step': expected gelu or relu or leaky_relu or elu or tanh or sigmoid"),
        ("mlp", {**IMAGE, "num_classes": "3"},
         "num_classes '3': expected a whole number, at least 2"),
        ("mlp", {**IMAGE, "input_shape": (3, -1)},
         "input_shape (3, -1): expected the shape of one sample, whole numbers above 0"),
        ("resnet", {**IMAGE, "variant": "51"},
         "unknown variant '51' of resnet; expected 18 or 34 or 50 or 101 or 152"),
        ("resnet", {**IMAGE, "input_shape": (7, 9, 1)},
         "input_shape (7, 9, 1): too small for stem 3x3; expected at least 8×8 pixels"),
        ("resnet", {**IMAGE, "stem": "7x7"},
         "input_shape (8, 8, 3): too small for stem 7x7; expected at least 32×32 pixels"),
        ("resnet", {**IMAGE, "stem": "5x5"}, "stem '5x5': expected auto or 3x3 or 7x7"),
        ("rnn", {"input_shape": (6,), "num_classes": 3},
         "input_shape (6,): rnn takes sequences, expected (steps, features), or vocabulary_size"),
        ("rnn", {"input_shape": (6, 4), "num_classes": 3, "vocabulary_size": 5},
         "input_shape (6, 4): rnn takes sequences, expected (steps,) of tokens"),
        ("rnn", {"input_shape": (6, 4)}, "num_classes None: expected a whole number, at least 2"),
        ("rnn", {"input_shape": (6, 4), "task": "next", "num_classes": 3},
         "num_classes 3: task 'next' has none; leave it out"),
        ("rnn", {"input_shape": (6, 4), "task": "next", "variant": "bidirectional"},
         "task 'next': variant 'bidirectional' reads what is to come; take another"),
        ("vit", {**IMAGE, "variant": "tiny"},
         "input_shape (8, 8, 3): patches of 16×16 pixels do not fill it; expected a patch_size "
         "that divides height and width"),
        ("gpt", {**GPT, "num_heads": 3}, "num_heads 3: does not divide width 16"),
        ("gpt", {**GPT, "num_heads": 16},
         "num_heads 16: 1 channels a head; rotary positions turn pairs, expected an even number"),
        ("gpt", {**GPT, "positions": "none"}, "positions 'none': expected learned or rotary"),
        ("gpt", {**GPT, "vocabulary_size": 1}, "vocabulary_size 1: expected at least 2"),
        ("gpt", {**GPT, "num_layers": 0}, "num_layers 0: expected at least 1"),
        ("gpt", {**GPT, "dropout": 1}, "dropout 1: expected 0 ≤ dropout < 1"),
        ("gpt", {**GPT, "recompute": "yes"}, "recompute 'yes': expected True or False"),
        ("autoencoder", {"input_shape": (10, 8, 1)},
         "input_shape 10×8: autoencoder halves it 2 times; expected multiples of 4, the nearest "
         "are 8 or 12 × 8"),
        ("vae", {"input_shape": (8, 8, 1), "latent_size": -1},
         "latent_size -1: expected at least 1"),
        ("vae", {"input_shape": (8, 8, 1), "kl_weight": -1},
         "kl_weight -1: expected a number from 0 up"),
        ("unet", {"input_shape": (2, 1)},
         "input_shape 2: unet halves it 2 times; expected multiples of 4, the nearest are 4"),
        ("unet", {"input_shape": (8,)},
         "input_shape (8,): unet takes fields in one to three dimensions, expected (points, "
         "channels), (height, width, channels) or (depth, height, width, channels)"),
        ("unet", {"input_shape": (8, 1), "boundary": "open"},
         "boundary 'open': expected zero or periodic"),
        ("deeponet", {"input_shape": (8,), "points": ((0, 1), (2,))},
         "points: expected finite numbers, n places on a line or n places of as many coordinates "
         "each; received ((0, 1), (2,))"),
        ("deeponet", {"input_shape": (8,), "points": ()},
         "points: expected finite numbers, n places on a line or n places of as many coordinates "
         "each; received ()"),
        ("deeponet", {"input_shape": (8,), "points": (0.5,), "terms": 0},
         "terms 0: expected at least 1"),
        ("deeponet", {"input_shape": (8,), "points": (0.5,), "period": 0},
         "period 0: expected a number above 0, or None"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(name, options, text):
    assert error(name, **options) == text
