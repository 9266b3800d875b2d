import io
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsci.data import pipeline
from tfsci.data.pipeline import Batches
from tfsci.data.source import Split
from tfsci.distributed.strategy import Strategy
from tfsci.training import callbacks, evaluate, fit
from tfsci.training.callbacks import EpochResults, Progress
from tfsci.training.schedules import schedule

FEATURES, CLASSES, BATCH = 5, 3, 8


def samples(number: int, seed: int = 0) -> Split:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(number, FEATURES)).astype("float32")
    return Split(x, generator.integers(CLASSES, size=number).astype("int32"))


def classifier(momentum: float = 0.0, penalty: float = 0.0, rate: float = 0.1) -> keras.Model:
    """Softmax regression with weights that are not zero."""
    regularizer = keras.regularizers.L2(penalty) if penalty else None
    layer = keras.layers.Dense(CLASSES, kernel_regularizer=regularizer)
    model = keras.Sequential([keras.Input((FEATURES,)), layer])
    generator = np.random.default_rng(7)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
    model.compile(
        keras.optimizers.SGD(rate, momentum=momentum),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def forward(x, y, kernel, bias):
    """Cross-entropy and hit of each sample, and probabilities, in float64."""
    logits = x.astype("float64") @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]), p.argmax(axis=1) == y, p


class NumPyTraining:
    """Softmax regression by stochastic gradient descent with momentum, written out."""

    def __init__(self, weights, momentum):
        self.weights = [w.astype("float64") for w in weights]
        self._speed = [np.zeros_like(w) for w in self.weights]
        self._momentum = momentum

    def step(self, x, y, rate):
        loss, hit, p = forward(x, y, *self.weights)
        error = (p - np.eye(CLASSES)[y]) / len(y)
        for i, gradient in enumerate((x.T @ error, error.sum(axis=0))):
            self._speed[i] = self._momentum * self._speed[i] - rate * gradient
            self.weights[i] += self._speed[i]
        return loss.mean(), hit.mean()


class TestFit:
    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    def test_equals_numpy(self, momentum):
        split, unseen, epochs = samples(37), samples(21, seed=1), 3
        model = classifier(momentum)
        reference = NumPyTraining(model.get_weights(), momentum)
        batches = pipeline.training(split, BATCH, seed=5)
        rate = schedule(0.1, epochs * batches.steps, warmup_steps=3, decay="cosine")

        expected = []
        drawn = batches.dataset.take(epochs * batches.steps).as_numpy_iterator()
        results = [reference.step(x, y, rate(k)) for k, (x, y) in enumerate(drawn)]
        assert (batches.steps, len(results)) == (4, 12)
        for epoch in range(epochs):
            expected.append(np.mean(results[4 * epoch : 4 * epoch + 4], axis=0))

        rows = fit(model, batches, epochs, pipeline.evaluation(unseen, BATCH), learning_rate=rate)
        got = [(row["loss"], row["accuracy"]) for row in rows]
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        for weight, known in zip(model.get_weights(), reference.weights, strict=True):
            np.testing.assert_allclose(weight, known, rtol=1e-5, atol=1e-5)
        loss, hit, _ = forward(*unseen, *reference.weights)
        assert rows[-1]["val_loss"] == pytest.approx(loss.mean(), rel=1e-5)
        assert rows[-1]["val_accuracy"] == pytest.approx(hit.mean(), rel=1e-6)

    def test_rows_hold_the_columns_of_the_history(self):
        batches = pipeline.training(samples(20), BATCH)
        rows = fit(classifier(), batches, 2, pipeline.evaluation(samples(5), BATCH))
        assert [row["epoch"] for row in rows] == [1, 2]
        for row in rows:
            assert sorted(row) == sorted(callbacks.HISTORY_COLUMNS)
            assert all(isinstance(value, (int, float)) for value in row.values())
            assert row["learning_rate"] == pytest.approx(0.1)
            assert 0 < row["examples_per_second"] < np.inf
        assert "val_loss" not in fit(classifier(), batches, 1)[0]

    def test_two_halves_are_the_whole(self):
        """Training on from a step is the training that was never interrupted."""
        split, rate = samples(20), schedule(0.1, 8, decay="cosine")
        whole, half = classifier(0.9), classifier(0.9)
        rows = fit(whole, pipeline.training(split, BATCH), 4, learning_rate=rate)
        first = fit(half, pipeline.training(split, BATCH), 2, learning_rate=rate)
        later = pipeline.training(split, BATCH, first_step=4)
        second = fit(half, later, 4, learning_rate=rate, first_step=4)
        assert [row["epoch"] for row in second] == [3, 4]
        assert [row["loss"] for row in first + second] == [row["loss"] for row in rows]
        np.testing.assert_array_equal(half.get_weights()[0], whole.get_weights()[0])


class TestLearningRate:
    """The loss is the weight itself: each step takes exactly its learning rate from it."""

    @pytest.mark.parametrize("first_step", [0, 4])
    def test_the_optimizer_sees_the_schedule(self, first_step):
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((1,)), layer])
        model.compile(keras.optimizers.SGD(123.0), loss=lambda y_true, y_pred: y_pred)
        weights = [0.0]

        class Record(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                weights.append(float(layer.kernel.numpy()[0, 0]))

        one = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.zeros(2))).repeat()
        rate = schedule(0.5, 12, warmup_steps=5, decay="cosine")
        batches = Batches(one, steps=4, batch_size=2, num_samples=8)
        rows = fit(
            model, batches, 3, learning_rate=rate, first_step=first_step, callbacks=[Record()]
        )
        expected = [rate(k) for k in range(first_step, 12)]
        np.testing.assert_allclose(-np.diff(weights), expected, atol=1e-6)
        last = [rate(k) for k in range(first_step + 3, 12, 4)]
        assert [row["learning_rate"] for row in rows] == pytest.approx(last)


class Shards(Strategy):
    """Shards that are evaluated one after the other; the last sees the sum of all."""

    name, world_size = "shards", 3

    def __init__(self):
        self._seen = []

    def sum(self, values):
        assert np.asarray(values).dtype == np.float64
        self._seen.append(values)
        return np.sum(self._seen, axis=0)


class TestEvaluate:
    @pytest.mark.parametrize("penalty", [0.0, 0.05])
    @pytest.mark.parametrize(("number", "batch_size"), [(20, 6), (6, 6), (1, 6), (31, 30)])
    @pytest.mark.parametrize("shards", [1, 3])
    def test_is_the_mean_over_all_samples(self, penalty, number, batch_size, shards):
        split, model, strategy = samples(number), classifier(penalty=penalty), Shards()
        for shard in range(shards):
            batches = pipeline.evaluation(split, batch_size, shard, shards)
            results = evaluate(model, batches, strategy if shards > 1 else None)
        kernel, bias = (w.astype("float64") for w in model.get_weights())
        loss, hit, _ = forward(*split, kernel, bias)
        expected = loss.mean() + penalty * np.sum(kernel**2)
        assert results == {
            "loss": pytest.approx(expected, rel=1e-6),
            "accuracy": pytest.approx(hit.mean(), rel=1e-6),
        }

    def test_leaves_the_weights_alone(self):
        model = classifier()
        before = model.get_weights()
        evaluate(model, pipeline.evaluation(samples(7), 4))
        for left, right in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(left, right)


class TestNonFinite:
    @staticmethod
    def model(kernel):
        layer = keras.layers.Dense(2, use_bias=False)
        model = keras.Sequential([keras.Input((1,)), layer])
        model.set_weights([np.array([kernel])])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(1e-6), loss)
        return model

    @staticmethod
    def overflowing_at(step):
        """Batches of four samples, four an epoch, whose input is huge at one step."""
        x = np.ones((8, 4, 1), "float32")
        x[step - 1] = 3e38
        dataset = tf.data.Dataset.from_tensor_slices((x, np.zeros((8, 4), "int32")))
        return Batches(dataset, steps=4, batch_size=4, num_samples=16)

    class Wait(keras.callbacks.Callback):
        """Makes Keras run the callbacks of a step before the next, not beside it."""

        def on_train_batch_end(self, batch, logs=None):
            pass

    @pytest.mark.parametrize("more", [[], [Wait]])
    @pytest.mark.parametrize(
        ("kernel", "loss"),
        [([2.0, -2.0], "nan"), ([0.0, 1.0], "inf")],  # ∞ − ∞; four times 3e38
    )
    @pytest.mark.parametrize(
        ("step", "first_step", "place"),
        [
            (1, 0, "step 1 (epoch 1, batch 1 of 4)"),
            (6, 0, "step 6 (epoch 2, batch 2 of 4)"),
            (8, 0, "step 8 (epoch 2, batch 4 of 4)"),
            (2, 4, "step 6 (epoch 2, batch 2 of 4)"),
        ],
    )
    def test_a_loss_stops_at_its_step(self, kernel, loss, step, first_step, place, more):
        model, batches = self.model(kernel), self.overflowing_at(step)
        with pytest.raises(FloatingPointError) as error:
            fit(model, batches, 2, first_step=first_step, callbacks=[each() for each in more])
        assert str(error.value) == (
            f"the loss is {loss} at {place}: lower --learning-rate or lengthen --warmup-epochs"
        )


class TestExamplesPerSecond:
    """By a clock of its own: the step that traces the model is left out."""

    @staticmethod
    def rate(monkeypatch, steps, times):
        clock = types.SimpleNamespace(perf_counter=iter(times).__next__)
        monkeypatch.setattr(callbacks, "time", clock)
        callback = EpochResults(8, None, Strategy())
        callback.set_model(classifier())
        callback.set_params({"steps": steps})
        callback.on_epoch_begin(0)
        for batch in range(steps):
            callback.on_train_batch_end(batch)
        callback.on_epoch_end(0, logs := {"loss": 0.5})
        assert logs["loss"] == 0.5
        return logs["examples_per_second"]

    def test_by_hand(self, monkeypatch):
        assert self.rate(monkeypatch, 4, [0, 100, 101, 102, 104]) == pytest.approx(3 * 8 / 4)
        assert self.rate(monkeypatch, 2, [0, 100, 100.5]) == pytest.approx(8 / 0.5)

    def test_a_wait_for_the_first_batch_of_a_later_epoch_counts(self, monkeypatch):
        clock = types.SimpleNamespace(perf_counter=iter([0, 100, 101, 200, 205, 206]).__next__)
        monkeypatch.setattr(callbacks, "time", clock)
        callback = EpochResults(8, None, Strategy())
        callback.set_model(classifier())
        callback.set_params({"steps": 2})
        rates = []
        for epoch in range(2):
            callback.on_epoch_begin(epoch)
            for batch in range(2):
                callback.on_train_batch_end(batch)
            callback.on_epoch_end(epoch, logs := {"loss": 0.5})
            rates.append(logs["examples_per_second"])
        assert rates == pytest.approx([8 / 1, 2 * 8 / 6])

    def test_of_a_single_step(self, monkeypatch):
        assert self.rate(monkeypatch, 1, [10, 12]) == pytest.approx(8 / 2)


class TestProgress:
    LOGS = {"loss": 0.51234, "accuracy": 0.25}  # noqa: RUF012
    END = {  # noqa: RUF012
        **LOGS,
        "val_loss": 1.5,
        "val_accuracy": 0.125,
        "learning_rate": 0.1,
        "examples_per_second": 12345.6,
    }
    LAST = "loss 0.5123  accuracy 0.2500  val_loss 1.5000  val_accuracy 0.1250  12,346 examples/s\n"

    def play(self, times, epoch=1, epochs=12):
        """Two of four steps of 4,000 samples, and the end of the epoch."""
        progress = Progress(epochs, 4, 4000, seconds=30, clock=iter(times).__next__)
        progress.on_epoch_begin(epoch - 1)
        progress.on_train_batch_end(0, self.LOGS)
        progress.on_train_batch_end(1, self.LOGS)
        progress.on_epoch_end(epoch - 1, self.END)

    def test_on_a_pipe_a_short_epoch_is_one_line(self, capsys):
        self.play([0, 10, 20])
        assert capsys.readouterr().out == f"epoch  1/12  {self.LAST}"

    def test_on_a_pipe_a_long_epoch_says_where_it_is(self, capsys):
        self.play([5, 15, 45], epoch=12)
        assert capsys.readouterr().out == (
            "epoch 12/12  loss 0.5123  accuracy 0.2500  200 examples/s  50% of the epoch\n"
            f"epoch 12/12  {self.LAST}"
        )

    def test_on_a_terminal_one_line_changes(self, monkeypatch):
        screen = io.StringIO()
        screen.isatty = lambda: True
        monkeypatch.setattr("sys.stdout", screen)
        monkeypatch.setenv("COLUMNS", "80")
        self.play([0, 0.05, 40], epochs=3)
        head = "epoch 1/3"
        bar = f"{head}  loss 0.5123  accuracy 0.2500  200 examples/s  {'█' * 10}{'░' * 10}  50%"
        assert len(bar) > 79
        assert screen.getvalue() == f"\r\x1b[K{bar[:79]}\r\x1b[K{head}  {self.LAST}"

    def test_through_fit(self, capsys):
        batches = pipeline.training(samples(20), BATCH)
        progress = Progress(2, batches.steps, BATCH, clock=lambda: 0.0)
        fit(classifier(), batches, 2, callbacks=[progress])
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith("epoch 1/2  loss ")
        assert second.startswith("epoch 2/2  loss ")
        assert "val_loss" not in second
