"""A whole training: data, model and strategy in, a run folder out."""

import contextlib
import dataclasses
import math
import statistics
import time
from pathlib import Path

from tfsci import models
from tfsci.data import augment, catalog, pipeline
from tfsci.data.source import Source
from tfsci.data.stream import Streamed
from tfsci.distributed import facts, preflight
from tfsci.distributed.launch import Launch, detect
from tfsci.distributed.membership import RanksChange
from tfsci.distributed.missing import set_bounds
from tfsci.distributed.strategy import Strategy, choose
from tfsci.distributed.watch import Watch
from tfsci.training import checkpoint
from tfsci.training.checkpoint import Position
from tfsci.training.elastic import Elastic
from tfsci.training.fit import evaluate, fit
from tfsci.training.interrupts import Interrupted, Interrupts
from tfsci.training.jit import choose_jit
from tfsci.training.options import Options
from tfsci.training.run_folder import RunFolder
from tfsci.training.schedules import scaled, schedule


def run(options: Options, model: str, **model_options: object) -> RunFolder | None:
    """Trains a classifier and leaves a run folder.

    Every process of a job calls it alike.

    Args:
        options: How to train.
        model: A name that `tfsci.models.build` knows.
        **model_options: Passed to the builder, besides the shape of the data.

    Returns:
        The run folder on the chief, None elsewhere.

    Raises:
        ValueError: Options that do not fit the data, the launch, or the run folder.
        FloatingPointError: The loss is not finite.
        Interrupted: It was asked to stop, and has saved.
    """
    elastic = Elastic(options.batch_size, options.scale_lr) if options.elastic else None

    def train():
        with contextlib.ExitStack() as stack:
            return _run(stack, options, model, model_options, elastic)

    return elastic.run(train) if elastic else train()


def _run(
    stack: contextlib.ExitStack,
    options: Options,
    model: str,
    model_options: dict,
    elastic: Elastic | None,
) -> RunFolder | None:
    began = elastic.began if elastic else time.monotonic()
    launch = detect()
    changes = augment.parse(options.augment) if options.augment else None
    pipeline.check_batch_size(options.batch_size, max(launch.world_size, options.replicas or 1))
    source = _labelled(options)
    steps_per_epoch = pipeline.steps_per_epoch(source.train.num_samples, options.batch_size)
    total_steps = options.epochs * steps_per_epoch

    set_bounds()
    strategy = elastic and elastic.strategy
    strategy = strategy or choose(
        options.strategy,
        launch,
        options.replicas,
        compression=options.compression,
        reduction=options.reduction,
        timeline=options.horovod_timeline,
    )
    deliberate = (Interrupted, RanksChange)
    watch = stack.enter_context(Watch(strategy, None, deliberate, bool(elastic)))
    output = _output(options, model)
    if elastic:
        output = Path(elastic.begin(strategy, str(output)))
    else:
        pipeline.check_batch_size(options.batch_size, strategy.world_size)
    rate = options.learning_rate or (0.1 if source.name == "digits" else 0.02)
    peak = scaled(rate, options.scale_lr, strategy.world_size)
    learning_rate = schedule(
        peak,
        total_steps,
        round(options.warmup_epochs * steps_per_epoch),
        options.schedule,
    )
    preflight.check_devices(strategy, launch)
    network = _compiled(options, rate, source, strategy, model, model_options)
    if options.sync_batch_norm and not strategy.synchronize_batch_norm(network):
        raise ValueError(
            f"--sync-batch-norm: {network.name} has no batch normalisation; leave the option out"
        )
    wanted = dataclasses.asdict(options) | model_options
    preflight.check_setup(strategy, wanted, source, steps_per_epoch, network)
    folder, resume = None, options.resume or bool(elastic and elastic.commits)
    if strategy.is_chief:
        settings = _settings(options, launch, strategy)
        settings["options"]["peak_learning_rate"] = peak
        settings["options"]["model"] = {"name": model, **model_options}
        folder = RunFolder(output, settings, resume)
        watch.keep_in(folder.path)
        if options.horovod_timeline:
            _start_timeline(strategy, folder)

    position = elastic.restore(network, folder) if elastic else None
    if position is None:
        position = _resume(network, folder, strategy) if options.resume else Position()
    first_step = position.step
    shard = (strategy.rank, strategy.num_shards)
    validation = pipeline.evaluation(source.validation, options.batch_size, *shard)
    test = pipeline.evaluation(source.test, options.batch_size, *shard)
    train = pipeline.training(
        source.train, options.batch_size, options.seed, *shard, first_step, changes
    )
    if folder and not options.quiet:
        print(_headline(source, network, strategy, options, first_step), flush=True)
    interrupts = Interrupts(
        strategy, options.time_limit, 60 * options.checkpoint_minutes, start=began
    )
    callbacks = _callbacks(options, folder, train, position, strategy, interrupts)
    callbacks = [*_members(watch, elastic, train, position, strategy), *callbacks]
    with interrupts:
        rows = fit(
            network,
            train,
            options.epochs,
            validation,
            strategy,
            learning_rate,
            first_step,
            position.metrics,
            callbacks,
        )
    watch.doing = "the test"
    results = evaluate(network, test, strategy)
    if not folder:
        return None
    folder.write_model(network)
    metrics = {
        "test_loss": results["loss"],
        "test_accuracy": results["accuracy"],
        "known_answer": source.known_answer,
        "examples_per_second": (
            statistics.median(row["examples_per_second"] for row in rows) if rows else None
        ),
        "world_size": strategy.world_size,
        "strategy": strategy.name,
        "parameters": network.count_params(),
        "epochs": options.epochs,
        "steps": total_steps,
        "seconds": time.monotonic() - began,
        "resumed_from_step": first_step or None,
    }
    folder.write_json("metrics.json", {k: _finite(v) for k, v in metrics.items()})
    return folder


def _labelled(options: Options) -> Source:
    """Returns the source; one without classes is refused, before it is prepared where possible."""
    if catalog.parse(options.data)[0] not in catalog.UNLABELLED:
        source = catalog.load(options.data, options.limit, options.data_dir)
        if source.measure == "accuracy" and source.num_classes:
            return source
    raise ValueError(
        f"--data {options.data}: has no classes to tell apart, and this script trains a "
        "classifier; expected a labelled set: digits, diffraction, damage, galaxies, ising, "
        "npz:DIR, folder:DIR or tfds:NAME"
    )


def _compiled(
    options: Options, rate: float, source: Source, strategy: Strategy, name: str, model_options
):
    import keras

    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.precision)
    with strategy.scope():
        network = models.build(
            name, input_shape=source.input_shape, num_classes=source.num_classes, **model_options
        )
        network.compile(
            keras.optimizers.SGD(rate, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=_jit(options, network, strategy),
        )
        network.optimizer.build(network.trainable_variables)
    return network


def _jit(options: Options, network, strategy: Strategy) -> bool:
    if options.jit == "on" and not strategy.compiles:
        raise ValueError(
            f"--jit on: {strategy.name}'s exchange of gradients can't be inside a step that XLA "
            "compiles; use --jit auto"
        )
    if options.jit == "auto":
        return strategy.compiles and choose_jit(network)
    return options.jit == "on"


def _members(watch, elastic, train, position, strategy) -> list:
    """The callbacks that have to do with ranks that come and go."""
    from tfsci.training.commits import Commits
    from tfsci.training.watching import Watching

    commits = [Commits(elastic, train.steps, position, strategy)] if elastic else []
    return [Watching(watch, train.steps, position.step), *commits]


def _callbacks(
    options: Options,
    folder: RunFolder | None,
    train: pipeline.Batches,
    position: Position,
    strategy: Strategy,
    interrupts: Interrupts,
) -> list:
    from tfsci.training.callbacks import History, Progress
    from tfsci.training.saving import Checkpoints

    saving = (train.steps, options.epochs, position.step, strategy, interrupts)
    if folder is None:
        return [Checkpoints(*saving)]
    history = History(folder, position.history)
    callbacks = [history]
    if options.profile:
        from tfsci.training.trace import TraceSteps

        callbacks.append(TraceSteps(folder.path / "profile", options.profile))
    if not options.quiet:
        callbacks.append(Progress(options.epochs, train.steps, train.batch_size, position.step))
    writer = checkpoint.Writer(folder.checkpoints, options.keep_checkpoints)
    return [*callbacks, Checkpoints(*saving, history, writer)]


def _start_timeline(strategy: Strategy, folder: RunFolder) -> None:
    if strategy.name != "horovod":
        raise ValueError(f"--horovod-timeline: is for --strategy horovod, not {strategy.name}")
    strategy.start_timeline(folder.path / "timeline.json")


def _resume(network, folder: RunFolder | None, strategy: Strategy) -> Position:
    """Loads the newest checkpoint on the chief; returns how far it is, on every process."""
    position = checkpoint.restore_latest(folder.checkpoints, network) if folder else None
    if folder and position is None:
        print(f"no whole checkpoint in {folder.checkpoints}: the training starts anew", flush=True)
    return Position(**strategy.broadcast_value(vars(position or Position())))


def _output(options: Options, model: str) -> Path:
    if options.output is not None:
        return Path(options.output)
    if options.resume:
        raise ValueError("--resume: name the run folder to go on with, by --output DIR")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{options.data.replace(':', '-').replace('/', '-')}-{model}-{stamp}"


def _settings(options: Options, launch: Launch, strategy: Strategy) -> dict:
    return {
        "options": dataclasses.asdict(options),
        "versions": facts.versions(),
        "world_size": strategy.world_size,
        "strategy": strategy.name,
        "launcher": launch.launcher,
    }


def _headline(source: Source, network, strategy: Strategy, options: Options, first_step) -> str:
    sizes = "/".join(str(s.num_samples) for s in (source.train, source.validation, source.test))
    parts = [
        f"{source.name}, {sizes} samples to train/validate/test",
        f"{network.name}, {network.count_params():,} parameters",
        strategy.describe(),
        f"XLA {'on' if network.jit_compile else 'off'}",
    ]
    if isinstance(source.train, Streamed):
        parts.append("streamed: which samples share a batch depends on the number of ranks")
    if options.precision != "float32":
        parts.append(options.precision)
    if first_step:
        parts.append(f"goes on from step {first_step}")
    return " · ".join(parts)


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value
