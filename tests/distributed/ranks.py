"""What tests/distributed/test_horovod.py runs on every rank."""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from tfsci import command, startup
from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.distributed import preflight
from tfsci.distributed.strategy import choose
from tfsci.training import fit

STEPS, BATCH, CLASSES = 20, 16, 4


def data(kind: str) -> Split:
    """320 samples with classes that a line tells apart."""
    generator = np.random.default_rng(0)
    if kind == "embedding":
        x = generator.integers(0, 30, (320, 5)).astype("float32")
        return Split(x, (x.sum(1) % CLASSES).astype("int32"))
    x = generator.normal(size=(320, 12)).astype("float32")
    return Split(x, (x @ generator.normal(size=(12, CLASSES))).argmax(1).astype("int32"))


def network(kind: str, inputs: int):
    """A small dense network; smooth, so that rounding stays rounding."""
    import keras
    from keras import layers

    dense = {"activation": "tanh"}
    if kind == "regularised":
        dense["kernel_regularizer"] = keras.regularizers.L2(0.01)
    first = [layers.Dense(16, **dense)]
    if kind == "embedding":
        first = [layers.Embedding(30, 8), layers.Flatten()]
    if kind == "wide_dense":
        first = [layers.Dense(400, **dense), layers.Dense(300, **dense)]
    if kind == "masks":
        first = [layers.Dropout(0.5)]
    if kind.startswith("unused"):  # a variable that has no gradient
        first[0].add_weight(shape=(3,), name="unused")
    return keras.Sequential(
        [keras.Input((inputs,)), *first, layers.Dense(CLASSES, dtype="float32")]
    )


def optimizer(kind: str):
    """The optimizer of a kind of training."""
    from keras import optimizers

    sgd = {"learning_rate": 0.1, "momentum": 0.9}
    return {
        "adam": lambda: optimizers.Adam(0.01),
        "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
        "lion": lambda: optimizers.Lion(0.001),
        "muon": lambda: optimizers.Muon(0.01),
        "clipnorm": lambda: optimizers.SGD(**sgd, clipnorm=0.05),
        "global_clipnorm": lambda: optimizers.SGD(**sgd, global_clipnorm=0.05),
        "clipvalue": lambda: optimizers.SGD(**sgd, clipvalue=0.01),
        "accumulation": lambda: optimizers.SGD(**sgd, gradient_accumulation_steps=4),
        "accumulation_clipped": lambda: optimizers.AdamW(
            0.01, gradient_accumulation_steps=4, global_clipnorm=0.05
        ),
        "unused_accumulation": lambda: optimizers.SGD(**sgd, gradient_accumulation_steps=4),
        "ema": lambda: optimizers.SGD(**sgd, use_ema=True, ema_momentum=0.8),
        # Scaled so high that the first gradients overflow, not on every rank at the same step.
        "float16_overflow": lambda: optimizers.LossScaleOptimizer(
            optimizers.SGD(**sgd), initial_scale=2.0**25
        ),
        "float16_accumulation": lambda: optimizers.SGD(**sgd, gradient_accumulation_steps=4),
    }.get(kind, lambda: optimizers.SGD(**sgd))()


def train(kind: str, strategy, wrong: str = ""):
    """Trains 20 steps; returns the weights and the rows of the history."""
    import keras

    keras.utils.set_random_seed(strategy.rank if wrong in ("starts", "broadcast") else 0)
    precision = "mixed_float16" if kind.startswith("float16") else "float32"
    keras.config.set_dtype_policy(precision)
    split = data(kind)
    model = network(kind, split.x.shape[1])
    model.compile(
        optimizer(kind),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    rank = 0 if wrong == "overlap" else strategy.rank
    batches = pipeline.training(split, BATCH, 0, rank, strategy.num_shards)
    # 310 samples: the last batch of the evaluation is not full.
    validation = pipeline.evaluation(
        Split(split.x[:310], split.y[:310]), BATCH, strategy.rank, strategy.num_shards
    )
    if wrong == "sum":
        average = strategy.average
        strategy.average = lambda gradients: [g * strategy.world_size for g in average(gradients)]
    unchecked = contextlib.nullcontext()
    if wrong == "starts":
        strategy.broadcast = lambda model: None
        unchecked = mock.patch.object(preflight, "check_weights")  # which would find it
    with unchecked:
        rows = fit(model, batches, 1, validation, strategy)
    for name in ("average", "broadcast"):
        strategy.__dict__.pop(name, None)
    assert batches.steps == STEPS
    return np.concatenate([v.numpy().ravel() for v in model.trainable_variables]), rows


def train_all(path: str, strategy) -> None:
    """Every kind of training; the chief writes the weights."""
    kinds = "sgd adam adamw lion muon clipnorm global_clipnorm clipvalue accumulation"
    kinds += " accumulation_clipped ema float16 float16_overflow float16_accumulation"
    results = {}
    for kind in (kinds + " embedding wide_dense unused unused_accumulation regularised").split():
        results[kind], rows = train(kind, strategy)
        if kind == "regularised":
            names = ("loss", "accuracy", "val_loss", "val_accuracy")
            results["history"] = np.array([[row[name] for name in names] for row in rows])
    if strategy.world_size > 1:
        wrongs = {"summed": "sum", "overlapping": "overlap", "different_starts": "starts"}
        for name, wrong in {**wrongs, "broadcast": "broadcast"}.items():
            results[name], _ = train("sgd", strategy, wrong)
        strategy._compression = strategy._hvd.Compression.fp16
        results["compressed"], _ = train("sgd", strategy)
    if strategy.is_chief:
        np.savez(path, **results)


def masks(folder: str, strategy) -> None:
    """Writes which inputs a dropout layer kept."""
    import keras

    keras.utils.set_random_seed(0)
    model = network("masks", 12)
    model.compile(optimizer("sgd"), "mse")
    strategy.broadcast(model)
    kept = (np.asarray(model.layers[0](np.ones((4, 12)), training=True)) > 0).tolist()
    number = 0 if strategy.name == "single" else strategy.world_size
    Path(folder, f"{number}-{strategy.rank}.json").write_text(json.dumps(kept))


def save(path: str, strategy) -> None:
    """Trains and saves a model."""
    import keras

    split = data("sgd")
    model = network("sgd", 12)
    model.compile(
        optimizer("sgd"),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    batches = pipeline.training(split, BATCH, 0, strategy.rank, strategy.num_shards)
    fit(model, batches, 1, strategy=strategy)
    if strategy.is_chief:
        model.save(path)


def fail(how: str, strategy) -> None:
    """Rank 1 fails in training while rank 0 waits for its gradient."""
    import keras

    def planted(batch, logs):
        if strategy.rank == 1 and batch == 3:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"error": ValueError, "fault": ZeroDivisionError}[how]("planted")

    split = data("sgd")
    model = network("sgd", 12)
    model.compile(optimizer("sgd"), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = pipeline.training(split, BATCH, 0, strategy.rank, strategy.num_shards)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=planted)
    fit(model, batches, 50, strategy=strategy, callbacks=[callback])


def main() -> None:
    """Runs what the command line names."""
    startup.import_tensorflow()
    what, argument = sys.argv[1:]
    {"train": train_all, "masks": masks, "save": save, "fail": fail}[what](argument, choose())


if __name__ == "__main__":
    command.run(main)
