"""From options to what is asked: a model, a batch, a layout."""

import dataclasses
from argparse import Namespace

from tfsci.plan import machines, presets, search
from tfsci.plan.layout import LARGEST, Layout, validate
from tfsci.plan.machines import Machine
from tfsci.plan.network import Network
from tfsci.plan.report import Plan
from tfsci.plan.transformer import Transformer


def model(arguments: Namespace) -> Transformer | Network:
    """Returns the model that the options name or describe."""
    sizes = {name: getattr(arguments, name) for name in ("layers", "hidden", "heads")}
    others = {name: getattr(arguments, name) for name in ("vocabulary", "sequence")}
    changed = {name: value for name, value in (sizes | others).items() if value}
    if arguments.parameters or arguments.flops:
        if not (arguments.parameters and arguments.flops) or arguments.model or changed:
            raise ValueError(
                "a model of your own needs --parameters and --flops, and no --model or sizes"
            )
        return Network("the model", arguments.parameters, arguments.flops, arguments.activations)
    if arguments.model:
        known = presets.find(arguments.model)
        if changed and isinstance(known, Network):
            raise ValueError(f"--{next(iter(changed))}: {known.name} has no such size")
        return dataclasses.replace(known, name="", **changed) if changed else known
    missing = [f"--{name}" for name, value in sizes.items() if not value]
    if missing:
        raise ValueError(f"name a --model, or give {' '.join(missing)}, too")
    return Transformer(**changed)


def batch(arguments: Namespace, model: Transformer | Network) -> int | None:
    """Returns the samples of a step: about two million tokens, a power of two, by default."""
    sequence = getattr(model, "sequence", None)
    default = 2 ** max(0, (2**21 // sequence).bit_length() - 1) if sequence else None
    given = arguments.global_batch or default
    if given and given > LARGEST:
        raise ValueError(f"--global-batch: expected up to 10⁷, got {given}")
    return given


def plan(arguments: Namespace) -> Plan:
    """Returns the plan that the options describe; the best where they leave the layout open."""
    trained, machine = model(arguments), machines.find(arguments.machine)
    tensor, pipeline = arguments.tensor or 1, arguments.pipeline or 1
    devices, samples = arguments.devices or tensor * pipeline, batch(arguments, trained)
    room(machine, devices)
    if isinstance(trained, Network):
        if tensor * pipeline > 1:
            raise ValueError(f"{trained.name} is trained data-parallel: no --tensor or --pipeline")
        each = arguments.micro_batch or (samples // devices if samples else 64)
        samples = samples or each * devices
        if not each or samples % (each * devices):
            raise ValueError(
                f"global batch {samples} is not a multiple of {devices} devices × "
                f"micro-batch {each or 1}"
            )
        return Plan.of(
            trained,
            machine,
            Layout(data=devices, micro_batch=each, global_batch=samples, recompute="none"),
        )
    if not (arguments.tensor or arguments.pipeline):
        found = search.search(
            trained, machine, devices, samples, arguments.flash_attention, **fixed(arguments)
        )
        return Plan.of(trained, machine, found.layouts.at(found.ranking[0]))
    if devices % (tensor * pipeline):
        below = devices // (tensor * pipeline) * tensor * pipeline
        raise ValueError(
            f"{devices} devices are not a multiple of tensor {tensor} × pipeline {pipeline}; "
            f"{f'{below} or ' if below else ''}{below + tensor * pipeline} are"
        )
    layout = Layout(
        tensor=tensor,
        pipeline=pipeline,
        data=devices // tensor // pipeline,
        micro_batch=arguments.micro_batch or 1,
        global_batch=samples,
        chunks=_chunks(arguments, trained, pipeline),
        schedule="gpipe" if arguments.schedule == "gpipe" else "1f1b",
        recompute=arguments.recompute or "full",
        sequence_parallel=arguments.sequence_parallel,
        flash=arguments.flash_attention,
        zero=arguments.zero or 0,
    )
    validate(trained, layout)
    return Plan.of(trained, machine, layout)


def _chunks(arguments: Namespace, model: Transformer, pipeline: int) -> int:
    """Returns the chunks of a stage."""
    each = arguments.layers_per_virtual_stage
    if not each:
        if arguments.schedule == "interleaved":
            raise ValueError("--schedule interleaved needs --layers-per-virtual-stage")
        return 1
    if model.layers % pipeline:
        return 1  # what is told of the pipeline then is what matters
    if (model.layers // pipeline) % each:
        raise ValueError(
            f"--layers-per-virtual-stage {each} does not divide the {model.layers // pipeline} "
            "layers of a stage"
        )
    return model.layers // pipeline // each


def fixed(arguments: Namespace) -> dict:
    """Returns what the options fix of the layouts to search."""
    names = ("tensor", "pipeline", "micro_batch", "recompute", "zero")
    given = {
        name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None
    }
    if arguments.sequence_parallel:
        given["sequence_parallel"] = True
    return given


def room(machine: Machine, devices: int) -> None:
    """Refuses more devices than a machine has."""
    most = machine.nodes * machine.devices_per_node if machine.nodes else LARGEST
    if devices > most:
        raise ValueError(f"{machine.title} has {most:,} devices, not {devices:,}")
