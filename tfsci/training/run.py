"""A whole training: a task, a model and a strategy in, a run folder out."""

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tfsci.data import augment, pipeline
from tfsci.data.source import Source
from tfsci.distributed import preflight
from tfsci.distributed.launch import Launch, detect
from tfsci.distributed.membership import RanksChange
from tfsci.distributed.missing import set_bounds
from tfsci.distributed.strategy import Strategy, choose
from tfsci.distributed.watch import Watch
from tfsci.training import chain, checkpoint, network, optimizers, record
from tfsci.training.checkpoint import Position
from tfsci.training.elastic import Elastic
from tfsci.training.fit import evaluate, fit
from tfsci.training.interrupts import Interrupted, Interrupts
from tfsci.training.options import Options
from tfsci.training.run_folder import RunFolder
from tfsci.training.schedules import scaled, schedule
from tfsci.training.tasks import Classification, Task


def run(
    options: Options,
    model: str,
    task: Task | None = None,
    tracing: Callable[[str, int], object] | None = None,
    **model_options: object,
) -> RunFolder | None:
    """Trains a model and leaves a run folder.

    Every process of a job calls it alike.

    Args:
        options: How to train.
        model: A name that `tfsci.models.build` knows.
        task: What to train for; `Classification` by default.
        tracing: Makes the callback that traces so many steps into a folder, for ``--profile``.
        **model_options: Passed to the builder, besides what follows from the data.

    Returns:
        The run folder on the chief, None elsewhere.

    Raises:
        ValueError: Options that do not fit the data, the launch, or the run folder.
        FloatingPointError: The loss is not finite.
        Interrupted: It was asked to stop, and has saved.
    """
    elastic = Elastic(options.batch_size, options.scale_lr) if options.elastic else None
    task = task or Classification()

    def train():
        with contextlib.ExitStack() as stack:
            return _run(stack, options, task, model, tracing, model_options, elastic)

    return elastic.run(train) if elastic else train()


def _run(
    stack: contextlib.ExitStack,
    options: Options,
    task: Task,
    model: str,
    tracing: Callable[[str, int], object] | None,
    model_options: dict,
    elastic: Elastic | None,
) -> RunFolder | None:
    began = elastic.began if elastic else time.monotonic()
    launch = detect()
    changes = augment.parse(options.augment) if options.augment else None
    pipeline.check_batch_size(options.batch_size, max(launch.world_size, options.replicas or 1))
    if options.deterministic:
        _repeat_to_the_bit(options)
    source = task.load(options)
    _steps(options, source)

    strategy = elastic and elastic.strategy
    strategy = strategy or _start(options, launch)
    deliberate = (Interrupted, RanksChange)
    watch = stack.enter_context(Watch(strategy, None, deliberate, bool(elastic)))
    output = record.output(options, model)
    if elastic:
        output = Path(elastic.begin(strategy, str(output)))
    else:
        pipeline.check_batch_size(options.batch_size, strategy.world_size)
    preflight.check_devices(strategy, launch)
    source = task.prepare(source, options, strategy)
    steps_per_epoch, steps = _steps(options, source)
    rate = optimizers.default_rate(options, source)
    peak = scaled(rate, options.scale_lr, strategy.world_size)
    net = network.compiled(options, task, source, strategy, model, model_options)
    wanted = dataclasses.asdict(options) | task.settings | model_options
    preflight.check_setup(strategy, wanted, source, steps_per_epoch, net)
    folder, resume = None, options.resume or bool(elastic and elastic.commits)
    if strategy.is_chief:
        settings = record.settings(options, launch, strategy)
        settings["options"]["peak_learning_rate"] = peak
        settings["options"]["model"] = {"name": model, **model_options}
        settings["options"]["task"] = {"name": task.name, **task.settings}
        folder = RunFolder(output, settings, resume)
        watch.keep_in(folder.path)
        task.begin(source, folder)
        if options.horovod_timeline:
            _start_timeline(strategy, folder)

    position = elastic.restore(net, folder) if elastic else None
    if position is None:
        position = _resume(net, folder, strategy) if options.resume else Position()
    first_step = position.step
    shard = (strategy.rank, strategy.num_shards)
    validation = pipeline.evaluation(source.validation, options.batch_size, *shard)
    test = pipeline.evaluation(source.test, options.batch_size, *shard)
    update_size = options.batch_size * options.accumulate
    train = pipeline.training(source.train, update_size, options.seed, *shard, first_step, changes)
    if folder and not options.quiet:
        print(record.headline(source, net, strategy, options, first_step), flush=True)
    interrupts = Interrupts(
        strategy, options.time_limit, 60 * options.checkpoint_minutes, start=began
    )
    callbacks = chain.members(watch, elastic, train, position, strategy)
    if options.profile and tracing:  # on every process, into one folder
        place = strategy.broadcast_value(str(folder.path / "profile") if folder else "")
        callbacks.append(tracing(place, options.profile))
    callbacks += chain.savers(options, folder, train, position, strategy, interrupts)
    with interrupts:
        rows = fit(
            net,
            train,
            options.epochs,
            validation,
            strategy,
            schedule(peak, *steps, options.schedule),
            first_step,
            position.metrics,
            callbacks,
        )
    watch.doing = "the test"
    results = evaluate(net, test, strategy)
    if not folder:
        return None
    folder.write_model(net)
    speed = statistics.median(row["examples_per_second"] for row in rows) if rows else None
    metrics = task.results(source, results) | {
        "examples_per_second": speed,
        "flops_per_second": record.flops(net) * speed if speed else None,
        "world_size": strategy.world_size,
        "strategy": strategy.name,
        "parameters": net.count_params(),
        "epochs": options.epochs,
        "steps": steps[0],
        "seconds": time.monotonic() - began,
        "resumed_from_step": first_step or None,
    }
    folder.write_json("metrics.json", {k: _finite(v) for k, v in metrics.items()})
    more = task.finish(net, source, options, folder)
    if more and not options.quiet:
        print(more, flush=True)
    return folder


def _repeat_to_the_bit(options: Options) -> None:
    """Has TensorFlow refuse, or replace, what adds up in an order that changes from run to run."""
    from tfsci import startup

    if options.jit == "on":
        raise ValueError(
            "--jit on: XLA's operations are not among those that --deterministic can make repeat "
            "to the bit; leave one of them out"
        )
    startup.import_tensorflow().config.experimental.enable_op_determinism()


def _start(options: Options, launch: Launch) -> Strategy:
    set_bounds()
    grows = options.elastic and options.strategy == "auto"  # though it may start with one rank
    return choose(
        "horovod" if grows else options.strategy,
        launch,
        options.replicas,
        compression=options.compression,
        reduction=options.reduction,
        timeline=options.horovod_timeline,
    )


def _steps(options: Options, source: Source) -> tuple[int, tuple[int, int]]:
    """Returns the updates of an epoch; and of the training, and of its warm-up."""
    samples, size = source.train.num_samples, options.batch_size * options.accumulate
    pipeline.steps_per_epoch(samples, options.batch_size)
    if size > samples:
        raise ValueError(
            f"--accumulate {options.accumulate}: an update takes so many batches of "
            f"{options.batch_size}, and there are {samples} training samples; use at most "
            f"{samples // options.batch_size}"
        )
    per_epoch = samples // size
    steps = options.epochs * per_epoch, round(options.warmup_epochs * per_epoch)
    schedule(1.0, *steps, options.schedule)
    return per_epoch, steps


def _start_timeline(strategy: Strategy, folder: RunFolder) -> None:
    if strategy.name != "horovod":
        raise ValueError(f"--horovod-timeline: is for --strategy horovod, not {strategy.name}")
    strategy.start_timeline(folder.path / "timeline.json")


def _resume(net, folder: RunFolder | None, strategy: Strategy) -> Position:
    """Loads the newest checkpoint on the chief; returns how far it is, on every process."""
    position = checkpoint.restore_latest(folder.checkpoints, net) if folder else None
    if folder and position is None:
        print(f"no whole checkpoint in {folder.checkpoints}: the training starts anew", flush=True)
    return Position(**strategy.broadcast_value(vars(position or Position())))


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value
