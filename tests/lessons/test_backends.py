import importlib.util

import keras
import numpy as np
import pytest

from tfsci import models
from tfsci.lessons import backends


@pytest.fixture
def without(monkeypatch):
    """Hides packages."""

    def hide(*names):
        real = importlib.util.find_spec
        monkeypatch.setattr(
            backends, "find_spec", lambda name: None if name in names else real(name)
        )

    return hide


def test_what_is_missing_is_told_with_the_remedy(without):
    without("torch", "jax")
    assert backends.installed() == ["tensorflow"]
    assert backends.formats() == ["SavedModel", "LiteRT"]
    assert backends.hint() == (
        "Left out, for it is not installed: jax and torch; to have it: "
        "pip install -c constraints.txt jax torch"
    )
    without()
    assert "tensorflow" not in backends.hint()


def test_the_best_of_many_calls_is_told():
    calls = []
    assert 0 <= backends._best(calls.append, np.zeros(1)) < 1
    assert len(calls) > 10


def handed_over(folder):
    keras.utils.set_random_seed(0)
    model = models.build("cnn", input_shape=(8, 8, 1), num_classes=3, dropout=0.0)
    generator = np.random.default_rng(0)
    x, batches = generator.random((5, 8, 8, 1), "float32"), generator.random((4, 6, 8, 8, 1))
    labels = generator.integers(0, 3, (4, 6))
    backends.hand_over(folder, model, x, batches.astype("float32"), labels)
    return model, x, batches.astype("float32"), labels


def test_a_process_that_fails_says_why(tmp_path):
    handed_over(tmp_path)
    with pytest.raises(RuntimeError, match=r"Sketch: exit code 1\n(.|\n)*KeyError: 'Sketch'"):
        backends.ask(tmp_path, ["Sketch"])


@pytest.mark.slow
def test_every_backend_and_format_gives_what_the_model_does(tmp_path):
    model, x, batches, labels = handed_over(tmp_path)
    expected = np.asarray(model(x))
    for name in backends.installed():
        found = backends.ask(tmp_path, [name])[name]
        np.testing.assert_allclose(found["outputs"], expected, atol=1e-5)
        # The loss before a step of plain gradient descent, step after step.
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        copy.compile(keras.optimizers.SGD(0.05), loss, jit_compile=False)
        for k, (given, wanted) in enumerate(zip(batches, labels, strict=True)):
            logits = np.asarray(copy(given), "float64")
            log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            nats = -log_p[np.arange(6), wanted].mean()
            assert found["losses"][k] == pytest.approx(nats, abs=1e-4)
            copy.train_on_batch(given, wanted)
    for name, found in backends.ask(tmp_path, backends.formats()).items():
        np.testing.assert_allclose(found["outputs"], expected, atol=1e-5)
        assert found["bytes"] > 4 * model.count_params() and not found["code"], name
