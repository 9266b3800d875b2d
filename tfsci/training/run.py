"""A whole training: data, model and strategy in, a run folder out."""

import dataclasses
import importlib.metadata
import math
import platform
import statistics
import time
from pathlib import Path

from tfsci import __version__, models, startup
from tfsci.data import augment, catalog, pipeline
from tfsci.data.source import Source
from tfsci.data.stream import Streamed
from tfsci.distributed.launch import Launch, detect
from tfsci.distributed.strategy import Strategy, choose
from tfsci.training import checkpoint
from tfsci.training.fit import evaluate, fit
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
    """
    start = time.perf_counter()
    launch = detect()
    changes = augment.parse(options.augment) if options.augment else None
    pipeline.check_batch_size(options.batch_size, max(launch.world_size, options.replicas or 1))
    source = _labelled(options)
    steps_per_epoch = pipeline.steps_per_epoch(source.train.num_samples, options.batch_size)
    total_steps = options.epochs * steps_per_epoch

    startup.import_tensorflow()
    strategy = choose(options.strategy, launch, options.replicas, compression=options.compression)
    pipeline.check_batch_size(options.batch_size, strategy.world_size)
    rate = options.learning_rate or (0.1 if source.name == "digits" else 0.02)
    peak = scaled(rate, options.scale_lr, strategy.world_size)
    learning_rate = schedule(
        peak,
        total_steps,
        round(options.warmup_epochs * steps_per_epoch),
        options.schedule,
    )
    network = _compiled(options, rate, source, strategy, model, model_options)
    folder = None
    if strategy.is_chief:
        settings = _settings(options, launch, strategy)
        settings["options"]["peak_learning_rate"] = peak
        settings["options"]["model"] = {"name": model, **model_options}
        folder = RunFolder(_output(options, model), settings, options.resume)

    shard = (strategy.rank, strategy.num_shards)
    validation = pipeline.evaluation(source.validation, options.batch_size, *shard)
    test = pipeline.evaluation(source.test, options.batch_size, *shard)
    first_step = _resume(network, folder, strategy) if options.resume else 0
    train = pipeline.training(
        source.train, options.batch_size, options.seed, *shard, first_step, changes
    )
    if folder and not options.quiet:
        print(_headline(source, network, strategy, options, first_step), flush=True)
    rows = fit(
        network,
        train,
        options.epochs,
        validation,
        strategy,
        learning_rate,
        first_step,
        _callbacks(options, folder, train),
    )
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
        "seconds": time.perf_counter() - start,
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


def _callbacks(options: Options, folder: RunFolder | None, train: pipeline.Batches) -> list:
    if folder is None:
        return []
    from tfsci.training.callbacks import Progress, WriteRunFolder

    callbacks = [WriteRunFolder(folder, train.steps)]
    if options.profile:
        from tfsci.training.trace import TraceSteps

        callbacks.append(TraceSteps(folder.path / "profile", options.profile))
    if not options.quiet:
        callbacks.append(Progress(options.epochs, train.steps, train.batch_size))
    return callbacks


def _resume(network, folder: RunFolder | None, strategy: Strategy) -> int:
    """Loads the newest checkpoint on the chief; returns the steps done, on every rank."""
    step = checkpoint.restore_latest(folder.checkpoints, network) if folder else None
    if folder and step is None:
        print(f"no whole checkpoint in {folder.checkpoints}: the training starts anew")
    return strategy.broadcast_value(step or 0)


def _output(options: Options, model: str) -> Path:
    if options.output is not None:
        return Path(options.output)
    if options.resume:
        raise ValueError("--resume: name the run folder to go on with, by --output DIR")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{options.data.replace(':', '-').replace('/', '-')}-{model}-{stamp}"


def _settings(options: Options, launch: Launch, strategy: Strategy) -> dict:
    packages = ("tensorflow", "keras", "numpy", "horovod")
    versions = {"tfsci": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "options": dataclasses.asdict(options),
        "versions": versions,
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
