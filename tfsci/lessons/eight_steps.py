"""The eight steps of data parallelism, each of which can be left out.

`train` is a data-parallel training as one reads it in a script, with the steps numbered. A
`Recipe` says which of them to forget. `tfsci.lessons.ranks` starts the ranks.
"""

import contextlib
import copy
import dataclasses
import math
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci import models
from tfsci.data import catalog, pipeline
from tfsci.distributed.strategy import Strategy
from tfsci.profile import timeline
from tfsci.training import evaluate, fit
from tfsci.training.run_folder import replacing
from tfsci.training.schedules import scaled, schedule
from tfsci.training.tasks import Classification

if TYPE_CHECKING:
    import keras

WRAPS = ("average", "sum", "nothing")
OPTIMIZERS = ("SGD", "Adam")
MODELS = {
    "small": ("mlp", {"variant": "small"}),
    "wide": ("mlp", {"units": (512, 512, 512, 512), "dropout": 0.0}),
    "convolutional": ("cnn", {"variant": "oak-ridge", "dropout": 0.0}),
}

# What reading a half-written archive of NumPy's raises.
_TORN = (zipfile.BadZipFile, EOFError, KeyError, OSError, ValueError)


@dataclass(frozen=True)
class Recipe:
    """How each rank trains a small network on `digits`; the first eight are the steps.

    Attributes:
        initialise: 1. Whether the ranks know of each other; else each is rank 0 of 1.
        pin: 2. Whether each computes on cores of its own; else all on the first rank's.
        scale: 3. Whether the learning rate grows with the number of ranks.
        wrap: 4. What becomes of the gradients before the optimizer uses them, out of `WRAPS`.
        broadcast: 5. Whether all start from the first rank's weights; else each from its own.
        chief_saves: 6. Whether the first rank saves, whole or not at all; else all, to one file.
        shard: 7. Whether each reads rows of its own; else all the first rank's.
        steps: 8. Steps of an epoch; by default the samples over the batch of all ranks.
        alone: Only the first rank trains, on its own cores, while the others wait.
        rate: The learning rate for one rank.
        batch_size: Samples of one rank's batch.
        epochs: Epochs.
        warmup_epochs: Over which the rate rises.
        model: One of `MODELS`.
        optimizer: One of `OPTIMIZERS`.
        validate: Whether to look at the validation set after each epoch.
        saves: How often to save and read back, after the training.
        timeline: Whether Horovod writes its timeline.
        bucket_bytes: Largest message of several gradients; 0 sends each alone, None is our choice.
        seed: Of the first rank's weights, and of the order of the samples.
    """

    initialise: bool = True
    pin: bool = True
    scale: bool = True
    wrap: str = "average"
    broadcast: bool = True
    chief_saves: bool = True
    shard: bool = True
    steps: int | None = None
    alone: bool = False
    rate: float = 0.1
    batch_size: int = 32
    epochs: int = 8
    warmup_epochs: float = 0
    model: str = "small"
    optimizer: str = "SGD"
    validate: bool = True
    saves: int = 0
    timeline: bool = False
    bucket_bytes: int | None = None
    seed: int = 0

    def __post_init__(self):
        for name, known in (("wrap", WRAPS), ("optimizer", OPTIMIZERS), ("model", MODELS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} {getattr(self, name)!r}: expected one of {', '.join(known)}"
                )


@dataclass(frozen=True)
class Result:
    """What a recipe's training came to.

    Attributes:
        losses: On the validation set, a row a rank: what its own model loses after each epoch.
        accuracies: Likewise.
        apart: How far the ranks' weights are from their mean, root mean square over the ranks,
            before the first rank's are sent to all, and after the training.
        samples: Samples that all ranks together compute an epoch on.
        steps: Steps of an epoch.
        step_seconds: Of the first rank, in its fastest epoch, which was disturbed the least.
        cores: Core seconds that all ranks together computed in a second of the training.
        parameters: Of the network.
        gradients: Tensors among them.
        unreadable: How many of the saved files a rank that reads them at once finds torn.
        timeline: What `tfsci.profile.timeline.digest` makes of Horovod's, as a dict.
    """

    losses: list[list[float]]
    accuracies: list[list[float]]
    apart: list[float]
    samples: int
    steps: int
    step_seconds: float
    cores: float
    parameters: int
    gradients: int
    unreadable: int = 0
    timeline: dict | None = None

    @property
    def loss(self) -> np.ndarray:
        """The first rank's losses."""
        return np.array(self.losses[0])

    @property
    def accuracy(self) -> np.ndarray:
        """The first rank's accuracies."""
        return np.array(self.accuracies[0])


def train(recipe: Recipe, ranks: Strategy) -> Result | None:
    """Trains on this rank; every rank calls it.

    Args:
        recipe: What to do, and what to forget.
        ranks: This rank's strategy: step 1 is done, `Horovod` has called ``hvd.init()``.

    Returns:
        The same on every rank.
    """
    data = catalog.load("digits")
    with _cores(recipe, ranks), _buckets(recipe), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "timeline.json")
        if recipe.timeline and ranks.is_chief:
            ranks.start_timeline(path)
        mine = None if recipe.alone and not ranks.is_chief else _train(recipe, ranks, data)
        if recipe.timeline and ranks.is_chief:
            ranks.stop_timeline()
            mine["timeline"] = dataclasses.asdict(timeline.digest(path))
    told = [each for each in ranks.gather(mine) if each]
    chief = told[0]
    return Result(
        losses=[each.pop("losses") for each in told],
        accuracies=[each.pop("accuracies") for each in told],
        samples=sum(each.pop("samples") for each in told),
        cores=sum(each.pop("cores") for each in told),
        unreadable=sum(each.pop("unreadable") for each in told),
        **chief,
    )


def _train(recipe: Recipe, ranks: Strategy, data) -> dict:
    import keras

    # 1. Initialise: who am I, and how many are we?
    strategy = ranks if recipe.initialise and not recipe.alone else Strategy()
    # 2. Pin: `Horovod` has bound this process to its cores, or to its GPU.
    # 3. Scale the learning rate by the number of ranks, as the batch of all grows by it.
    peak = scaled(recipe.rate, "linear" if recipe.scale else "none", strategy.world_size)
    # Each rank starts elsewhere, as it would without step 5.
    keras.utils.set_random_seed(recipe.seed + ranks.rank)
    with strategy.scope():
        network = _network(recipe, data, peak)
    # 4. Wrap the optimizer: it is to see the mean gradient of all ranks; `fit` does it.
    strategy = _wrapped(recipe.wrap, strategy)
    # 5. Broadcast the first rank's weights; `fit` does it, and this takes them back.
    start = network.get_weights()
    forget = keras.callbacks.LambdaCallback(on_train_begin=lambda _: network.set_weights(start))
    apart = [_apart(network, ranks, recipe.alone)]
    # 7. Shard: each rank reads its own rows of every batch.
    batches = pipeline.training(
        data.train,
        recipe.batch_size * strategy.world_size,
        recipe.seed,
        strategy.rank if recipe.shard else 0,
        strategy.num_shards,
    )
    # 8. Steps per epoch: the samples over the batch of all ranks.
    batches = dataclasses.replace(batches, steps=recipe.steps or batches.steps)
    tell = _Losses(data.validation, strategy)
    began = time.perf_counter(), time.process_time()
    rows = fit(
        network,
        batches,
        recipe.epochs,
        strategy=strategy,
        learning_rate=schedule(
            peak, recipe.epochs * batches.steps, round(recipe.warmup_epochs * batches.steps)
        ),
        callbacks=[tell.callback()] * recipe.validate + [forget] * (not recipe.broadcast),
    )
    wall, busy = time.perf_counter() - began[0], time.process_time() - began[1]
    apart.append(_apart(network, ranks, recipe.alone))
    rates = [row["examples_per_second"] for row in rows]
    return {
        "losses": tell.losses,
        "accuracies": tell.accuracies,
        "apart": apart,
        "samples": batches.steps * batches.batch_size // strategy.num_shards,
        "steps": batches.steps,
        "cores": busy / wall,
        "step_seconds": batches.batch_size / max(rates),
        "parameters": network.count_params(),
        "gradients": len(network.trainable_variables),
        # 6. The first rank saves.
        "unreadable": _save(network, recipe, ranks) if recipe.saves else 0,
    }


def _network(recipe: Recipe, data, peak: float) -> "keras.Model":
    import keras

    task = Classification()
    name, options = MODELS[recipe.model]
    network = models.build(name, **task.shape(data), **options)
    network.compile(
        getattr(keras.optimizers, recipe.optimizer)(peak),
        task.loss(),
        weighted_metrics=task.metrics(),
        jit_compile=False,
    )
    return network


def _wrapped(wrap: str, strategy: Strategy) -> Strategy:
    """Returns the strategy, or one that does something else with gradients than to average them."""
    if wrap == "average" or strategy.world_size == 1:
        return strategy
    other = copy.copy(strategy)
    factor = strategy.world_size

    def average(gradients):
        if wrap == "nothing":
            return gradients
        return [gradient * factor for gradient in strategy.average(gradients)]

    other.average = average
    return other


class _Losses:
    """What this rank's model loses on all of the validation set after each epoch."""

    def __init__(self, split, strategy: Strategy):
        # Under Horovod a rank's model is its own; replicas of tf.distribute share one.
        self._strategy = Strategy() if strategy.name == "horovod" else strategy
        shard = self._strategy.rank, self._strategy.num_shards
        self._batches = pipeline.evaluation(split, 120, *shard)
        self.losses, self.accuracies = [], []

    def callback(self) -> "keras.callbacks.Callback":
        import keras

        def evaluated(epoch, logs):
            found = evaluate(callback.model, self._batches, self._strategy)
            self.losses.append(found["loss"])
            self.accuracies.append(found["accuracy"])

        callback = keras.callbacks.LambdaCallback(on_epoch_end=evaluated)
        return callback


def _apart(network, ranks: Strategy, alone: bool) -> float:
    """Returns how far the ranks' weights are from their mean, root mean square over the ranks."""
    if alone:
        return 0.0
    weights = np.concatenate([each.ravel() for each in network.get_weights()]).astype("float64")
    away = weights - ranks.sum(weights) / ranks.num_shards
    return math.sqrt(ranks.sum(np.array([away @ away]))[0] / ranks.num_shards)


def _save(network, recipe: Recipe, ranks: Strategy) -> int:
    """Saves and reads back; returns how often this rank found what can't be read."""
    folder = Path(ranks.broadcast_value(tempfile.mkdtemp() if ranks.is_chief else None))
    path, weights, torn, took = folder / "weights.npz", network.get_weights(), 0, 0.0
    late = np.random.default_rng(ranks.rank)
    for _ in range(recipe.saves):
        ranks.gather(None)
        # They come to the end of an epoch at about the same time, some saves' length apart.
        time.sleep(3 * took * late.random())
        begin = time.perf_counter()
        if not recipe.chief_saves:
            np.savez(path, *weights)
        elif ranks.is_chief:
            with replacing(path) as temporary:
                np.savez(temporary, *weights)
        took = time.perf_counter() - begin
        if path.exists():
            try:
                with np.load(path) as archive:
                    torn += len([archive[name] for name in archive]) != len(weights)
            except _TORN:
                torn += 1
    ranks.gather(None)
    if ranks.is_chief:
        shutil.rmtree(folder)
    return torn


@contextlib.contextmanager
def _cores(recipe: Recipe, ranks: Strategy) -> Iterator[None]:
    """Moves all threads of this process to the first rank's cores, and back."""
    mine = sorted(os.sched_getaffinity(0))
    first = ranks.broadcast_value(mine)
    try:
        if not recipe.pin:
            _move(first)
        yield
    finally:
        if not recipe.pin:
            _move(mine)


def _move(cores: Sequence[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


@contextlib.contextmanager
def _buckets(recipe: Recipe) -> Iterator[None]:
    name = "HOROVOD_FUSION_THRESHOLD"
    before = os.environ.get(name)
    try:
        if recipe.bucket_bytes is not None:
            os.environ[name] = str(recipe.bucket_bytes)
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
