import dataclasses
import math
from dataclasses import dataclass

import keras
import numpy as np
import pytest

from tfsci.data import pipeline
from tfsci.data.source import Source, Split
from tfsci.distributed.strategy import Strategy
from tfsci.training import evaluate, synthetic, tasks
from tfsci.training.fit import fit
from tfsci.training.language import LanguageModelling
from tfsci.training.network import compiled
from tfsci.training.options import Options
from tfsci.training.tasks import Classification, Task


@dataclass(frozen=True)
class Regression(Task):
    """Fields to fields, to see that a task that is neither of ours fits."""

    name = "regression"

    def shape(self, source):
        return {"input_shape": source.input_shape, "num_outputs": 2}

    def loss(self):
        return keras.losses.MeanSquaredError()


class TestAnotherTask:
    def test_trains_and_is_evaluated_to_the_mean_over_all_samples(self):
        generator = np.random.default_rng(0)
        x = generator.normal(size=(10, 16, 1)).astype("float32")
        split = Split(x, np.concatenate([x, -x], -1))
        source = Source("fields", split, split, split, None, measure="error")
        options = Options(batch_size=4, learning_rate=1e-3, jit="off")
        net = compiled(options, Regression(), source, Strategy(), "unet", {"variant": "small"})
        fit(net, pipeline.training(split, 4), 1)
        results = evaluate(net, pipeline.evaluation(split, 4))
        known = np.mean((net.predict(x, verbose=0) - split.y) ** 2)
        assert results == {"loss": pytest.approx(known, rel=1e-5)}
        told = Regression().results(source, results)
        assert (told["test_accuracy"], told["measure"]) == (None, "error")


def test_every_token_of_the_last_partial_batch_counts_once():
    """Of five windows in batches of four: the mean over 5 × 3 tokens, worked out in NumPy."""
    generator = np.random.default_rng(0)
    y = generator.integers(4, size=(5, 3)).astype("int32")
    x = generator.normal(size=(5, 3, 4)).astype("float32")
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Activation("linear")])
    task = LanguageModelling()
    model.compile(loss=task.loss(), weighted_metrics=task.metrics())
    results = evaluate(model, pipeline.evaluation(Split(x, y), 4))
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    nats = -np.log(np.take_along_axis(p, y[..., None], -1)).mean()
    assert results["loss"] == pytest.approx(nats, rel=1e-6)
    assert results["accuracy"] == pytest.approx((x.argmax(-1) == y).mean(), rel=1e-6)


class TestClassification:
    @pytest.mark.parametrize("spec", ["sequences", "burgers", "text:/no/such"])
    def test_data_without_classes_are_refused(self, spec):
        with pytest.raises(ValueError, match=f"--data {spec}: has no classes to tell apart"):
            Classification().load(Options(data=spec))

    @pytest.mark.parametrize("known", [None, 0.9532])
    def test_the_last_line(self, known):
        metrics = {"test_accuracy": 0.91, "known_answer": known, "measure": "accuracy"}
        best = " (best possible 0.9532)" if known else ""
        assert Classification().summary(metrics) == f"test accuracy 0.9100{best}"

    def test_smoothing_is_a_setting_and_in_the_loss(self):
        task = Classification(0.5)
        assert task.settings == {"label_smoothing": 0.5}
        # Of two classes at p = 1/2 each loss is ln 2; at logits (0, ln 3) the label 1 has
        # −0.75 ln 0.75 − 0.25 ln 0.25.
        losses = task.loss()(np.array([1]), np.array([[0, math.log(3)]], "float32"))
        assert float(losses) == pytest.approx(0.562335, abs=1e-6)


class TestLanguage:
    @pytest.mark.parametrize(
        ("given", "spec", "tokens"),
        [
            (None, "sequences:samples=20", 128),
            (9, "sequences:samples=20", 9),
            (9, "sequences:samples=20,length=9", 9),
        ],
    )
    def test_the_context_is_the_datas(self, given, spec, tokens):
        source = LanguageModelling(given).load(Options(data=spec))
        assert source.input_shape == (tokens,)
        shape = {"vocabulary_size": 20, "context_length": tokens}
        assert LanguageModelling(given).shape(source) == shape

    def test_the_last_line(self):
        metrics = {"test_loss": 2.1, "known_answer": 2.0, "perplexity": math.exp(2.1)}
        assert LanguageModelling().summary(metrics) == (
            "test loss 2.1000 nats a token (best possible 2.0000, 5.0% above) · perplexity 8.17"
        )

    def test_a_loss_without_bound_has_a_perplexity(self):
        assert tasks.perplexity(1e9) == math.inf
        assert tasks.perplexity(0) == 1


class TestSynthetic:
    def test_is_one_batch_again_and_again(self):
        source = Classification().load(
            Options(data="synthetic:size=4,classes=3,steps=5", batch_size=2, accumulate=2)
        )
        assert source.train.num_samples == 20
        assert (source.input_shape, source.num_classes) == ((4, 4, 3), 3)
        batches = pipeline.training(source.train, 4)
        first, *others = batches.dataset.take(6).as_numpy_iterator()
        for x, y in others:
            np.testing.assert_array_equal(x, first[0])
            np.testing.assert_array_equal(y, first[1])
        assert first[0].shape == (4, 4, 4, 3)

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("synthetic:edge=4", "no option 'edge'; expected size, classes, channels, steps"),
            ("synthetic:size=0", "size=0: expected a whole number above 0"),
            ("synthetic:4", "no option '4'"),
        ],
    )
    def test_a_bad_spec_is_refused(self, spec, words):
        with pytest.raises(ValueError, match=words):
            synthetic.source(spec, 8)

    def test_a_limit_is_refused(self):
        with pytest.raises(ValueError, match="--limit 5: synthetic is one batch"):
            Classification().load(Options(data="synthetic", limit=5))

    def test_a_test_of_it_says_nothing(self):
        source = synthetic.source("synthetic:size=4", 2)
        told = Classification().results(source, {"loss": 1.0, "accuracy": 0.5})
        assert (told["test_loss"], told["test_accuracy"], told["measure"]) == (None, None, "speed")
        speed = {**told, "examples_per_second": 12.5, "flops_per_second": 3.25e9}
        assert Classification().summary(speed) == "12.5 images/s · 3.2 GFLOP/s"
        resumed = {**told, "examples_per_second": None, "flops_per_second": None}
        assert Classification().summary(resumed) == "no step was left to time"


def test_tasks_are_plain_settings():
    for task in (Classification(), LanguageModelling()):
        assert task.settings == dataclasses.asdict(task)
