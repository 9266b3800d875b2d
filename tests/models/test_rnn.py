import numpy as np
import pytest
from test_builders import randomized, sample

from tfsci import models


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, kernel, recurrent, bias):
    """Hidden states (B, T, units); gates in the order input, forget, cell, output."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    states = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1)


def gru(x, kernel, recurrent, bias):
    """Hidden states; gates in the order update, reset, candidate, reset after the product."""
    h = np.zeros((len(x), recurrent.shape[0]))
    states = []
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias[0], 3, axis=-1)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3, axis=-1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
        states.append(h)
    return np.stack(states, axis=1)


@pytest.mark.parametrize(("variant", "cell"), [("lstm", lstm), ("gru", gru)])
@pytest.mark.parametrize("task", ["class", "next"])
def test_equals_numpy(variant, cell, task):
    options = {"num_classes": 3} if task == "class" else {}
    model = randomized(
        models.build("rnn", input_shape=(5, 4), variant=variant, units=(6, 3), task=task, **options)
    )
    x, weights = sample(model), model.get_weights()
    y = cell(cell(x, *weights[:3]), *weights[3:6])
    y = (y[:, -1] if task == "class" else y) @ weights[6] + weights[7]
    assert y.shape == ((2, 3) if task == "class" else (2, 5, 4))
    np.testing.assert_allclose(model(x), y, rtol=1e-5, atol=1e-5)


def test_both_ways_is_the_states_from_both_ends():
    model = randomized(
        models.build("rnn", input_shape=(5, 4), variant="bidirectional", units=(6,), num_classes=3)
    )
    x, weights = sample(model), model.get_weights()
    ends = lstm(x, *weights[:3])[:, -1], lstm(x[:, ::-1], *weights[3:6])[:, -1]
    expected = np.concatenate(ends, axis=-1) @ weights[6] + weights[7]
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)


def test_the_next_token_from_those_before():
    model = randomized(models.build("rnn", input_shape=(6,), vocabulary_size=9, task="next"))
    assert model.output_shape == (None, 6, 9)
    x = np.random.default_rng(0).integers(0, 9, (2, 6))
    changed = x.copy()
    changed[:, 3] = (x[:, 3] + 1) % 9
    before, after = np.asarray(model(x)), np.asarray(model(changed))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (np.abs(before - after)[:, 3:].max(axis=-1) > 0).all()
