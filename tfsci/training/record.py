"""What a run tells about itself: where, with which settings, at what size."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tfsci.data.direct import Files
from tfsci.data.source import Source
from tfsci.data.stream import Streamed
from tfsci.distributed import facts
from tfsci.distributed.launch import Launch
from tfsci.distributed.strategy import Strategy
from tfsci.training.options import Options

if TYPE_CHECKING:
    import keras


def output(options: Options, model: str) -> Path:
    """Returns the run folder; by default one named after data, model and time.

    Raises:
        ValueError: A run is to go on, and no folder is named.
    """
    if options.output is not None:
        return Path(options.output)
    if options.resume:
        raise ValueError("--resume: name the run folder to go on with, by --output DIR")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{options.data.replace(':', '-').replace('/', '-')}-{model}-{stamp}"


def settings(options: Options, launch: Launch, strategy: Strategy) -> dict[str, object]:
    """Returns what ``config.json`` holds."""
    return {
        "options": dataclasses.asdict(options),
        "versions": facts.versions(),
        "world_size": strategy.world_size,
        "strategy": strategy.name,
        "launcher": launch.launcher,
    }


def headline(
    source: Source, network: "keras.Model", strategy: Strategy, options: Options, first_step: int
) -> str:
    """Returns the first line of a run."""
    sizes = "/".join(str(s.num_samples) for s in (source.train, source.validation, source.test))
    parts = [
        f"{source.name}, {sizes} samples to train/validate/test",
        f"{network.name}, {network.count_params():,} parameters",
        strategy.describe(),
        f"XLA {'on' if network.jit_compile else 'off'}",
    ]
    if isinstance(source.train, Streamed):
        parts.append("streamed: which samples share a batch depends on the number of ranks")
    if isinstance(source.train, Files):
        parts.append(f"files decoded in every epoch; to do so once: {source.train.kept_by}")
    if options.accumulate > 1:
        parts.append(f"updates of {options.accumulate} × {options.batch_size} samples")
    if options.precision != "float32":
        parts.append(options.precision)
    if options.deterministic:
        parts.append("deterministic")
    if first_step:
        parts.append(f"goes on from step {first_step}")
    return " · ".join(parts)


def flops(network: "keras.Model") -> int:
    """Returns the operations of a training step on one sample, three forward passes."""
    from tfsci.models import cost

    return 3 * cost.measure(network).flops
