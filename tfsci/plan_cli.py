"""`tfsci plan`: what a training needs and how it will scale, before a node-hour is spent."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tfsci import plan_options
from tfsci.training.run_folder import replacing


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci plan`."""
    return plan_options.parser(_COMMANDS).run(argv)


def _answer(
    arguments: argparse.Namespace, value: Callable[[], object], text: Callable[[], str]
) -> None:
    """Prints the answer, or writes it as JSON."""
    from tfsci.plan.report import plain

    if not arguments.json:
        print(text())
        return
    content = json.dumps(value(), indent=2, default=plain, allow_nan=False)
    if arguments.json == "-":
        print(content)
    else:
        _write(Path(arguments.json), lambda path: path.write_text(content + "\n", encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file whole or not at all."""
    if not path.parent.is_dir():
        raise FileNotFoundError(2, "no such folder", str(path.parent))
    with replacing(path) as temporary:
        write(temporary)


def _show(arguments: argparse.Namespace) -> None:
    from tfsci.plan import request, simulator, text

    plan = request.plan(arguments)
    training = plan.training(arguments.tokens) if arguments.tokens else None
    played = None
    if plan.layout.pipeline > 1 and (arguments.picture or not arguments.json):
        played = simulator.simulate(plan.model, plan.machine, plan.layout)
    _answer(
        arguments,
        lambda: plan.json() | ({"training": training} if training else {}),
        lambda: text.show(plan, played, training),
    )
    _draw(arguments, plan, played)


def _draw(arguments: argparse.Namespace, plan, played) -> None:
    """Draws a plan where a picture is asked for."""
    if not arguments.picture:
        return
    from tfsci import plots
    from tfsci.plan.search import NAMES

    title = f"{plan.name} on {plan.layout.devices:,} × {plan.machine.device.name}"
    parts = {NAMES[name]: float(value) for name, value in plan.step.parts.items()}
    memory = {name: float(value) / 1e9 for name, value in plan.memory.parts.items()}
    usable = plan.machine.device.usable / 1e9
    _write(
        arguments.picture,
        lambda path: plots.save_plan(path, title, parts, memory, usable, played),
    )


def _search(arguments: argparse.Namespace) -> None:
    from tfsci.plan import machines, report, request, search, text
    from tfsci.plan.network import Network

    model, machine = request.model(arguments), machines.find(arguments.machine)
    if isinstance(model, Network):
        raise ValueError(
            f"{model.name} is trained data-parallel: there is one layout; see tfsci plan show"
        )
    if not arguments.devices:
        raise ValueError("--devices: on how many?")
    request.room(machine, arguments.devices)
    batch, flash = request.batch(arguments, model), arguments.flash_attention
    found = search.search(
        model, machine, arguments.devices, batch, flash, **request.fixed(arguments)
    )
    title = (
        f"{model.name or 'the model'}, {batch:,} samples a step, on {arguments.devices:,} × "
        f"{machine.device.name}, {machine.title}"
    )
    _answer(
        arguments,
        lambda: report.search_json(model, machine, found, arguments.number),
        lambda: f"{title}\n{text.search(found, arguments.number)}",
    )
    if arguments.picture:
        from tfsci import plots

        rows = {}
        for place, index in enumerate(found.best(arguments.number), 1):
            row = found.layouts.at(index)
            label = f"{place}.  t{row.tensor} p{row.pipeline} d{row.data} b{row.micro_batch}"
            label += f" v{row.chunks}" if row.chunks > 1 else ""
            rows[label] = {search.NAMES[k]: float(v[index]) for k, v in found.parts.items()}
        _write(arguments.picture, lambda path: plots.save_search(path, title, rows))


def _scaling(arguments: argparse.Namespace) -> None:
    from tfsci.plan import machines, report, request, text
    from tfsci.plan.scaling import scaling

    model, machine = request.model(arguments), machines.find(arguments.machine)
    request.room(machine, arguments.devices)
    batch = request.batch(arguments, model) or arguments.batch_per_device * arguments.devices
    curves = {}
    for name, size, weak in (("strong", batch, False), ("weak", arguments.batch_per_device, True)):
        curves[name] = scaling(
            model, machine, arguments.devices, size, weak, arguments.flash_attention
        )
    title = f"{model.name or 'the model'} on {machine.title}"
    _answer(
        arguments,
        lambda: {name: report.scaling_json(points) for name, points in curves.items()},
        lambda: "\n\n".join(
            [title, *(text.scaling(points, name == "weak") for name, points in curves.items())]
        ),
    )
    if arguments.picture:
        from tfsci import plots

        _write(arguments.picture, lambda path: plots.save_plan_scaling(path, title, curves))


def _simulate(arguments: argparse.Namespace) -> None:
    from tfsci.plan import failures, request, simulator, text
    from tfsci.plan.network import Network

    plan = request.plan(arguments)
    if isinstance(plan.model, Network):
        raise ValueError(f"{plan.model.name} has no pipeline to play; see tfsci plan show")
    played = simulator.simulate(plan.model, plan.machine, plan.layout)
    shared = played.seconds  # where a stage fills its nodes there is nothing to share
    if plan.layout.tensor * plan.layout.data < plan.machine.devices_per_node:
        shared = simulator.simulate(plan.model, plan.machine, plan.layout, shared=True).seconds
    hours = arguments.device_mtbf_hours or failures.DEVICE_MTBF_HOURS
    job = failures.Failures(
        3600 * hours / plan.layout.devices, arguments.checkpoint_seconds, arguments.restart_seconds
    )
    best = job.daly()
    runs = []
    named = {job.young(): "Young", best: "Daly"}
    for interval in sorted([*named, best / 4, best / 2, 2 * best, 4 * best]):
        work = 200 * interval
        mean = work / float(job.simulate(work, interval, 500).mean())
        runs.append((named.get(interval, ""), interval, job.goodput(interval), mean))
    rows = [
        dict(zip(("name", "interval_seconds", "goodput", "simulated"), run, strict=True))
        for run in runs
    ]
    _answer(
        arguments,
        lambda: {
            "step_seconds": played.seconds,
            "formula_seconds": float(plan.step.seconds),
            "shared_links_seconds": shared,
            "bubble_fraction": played.bubble,
            "slots": sum(1 for span in played.spans if span.slot),
            "mtbf_seconds": job.mtbf,
            "young_seconds": job.young(),
            "daly_seconds": job.daly(),
            "intervals": rows,
        },
        lambda: text.simulated(plan, played, shared, job, runs),
    )
    _draw(arguments, plan, played)


def _check(arguments: argparse.Namespace) -> None:
    from tfsci.plan import report, text
    from tfsci.plan.check import check

    if not arguments.files and arguments.json and Path(arguments.json).is_file():
        arguments.files, arguments.json = [Path(arguments.json)], "-"  # check --json FILE
    if not arguments.files:
        raise ValueError("name a launch script (see tfsci plan check --help)")
    found = check(arguments.files, arguments.machine)
    _answer(
        arguments,
        lambda: (
            [report.check_json(each) for each in found]
            if len(found) > 1
            else report.check_json(found[0])
        ),
        lambda: "\n\n".join(text.check(each) for each in found),
    )


def _tokens(arguments: argparse.Namespace) -> None:
    from tfsci.plan import machines, tokens
    from tfsci.plan.text import quantity

    if bool(arguments.flops) == bool(arguments.device_hours):
        raise ValueError("give either --flops or --device-hours")
    flops = arguments.flops
    if not flops:
        if arguments.utilisation > 1:
            raise ValueError(
                f"--utilisation: expected a share above 0, up to 1; got {arguments.utilisation:g}"
            )
        device = machines.find(arguments.machine).device
        flops = arguments.device_hours * 3600 * device.peak * arguments.utilisation
    sizes = {
        "20 tokens a parameter": tokens.optimal(flops),
        "least loss by equation 10": tokens.optimal_by_loss(flops),
    }
    rows = [
        {"by": name, "parameters": size.parameters, "tokens": size.tokens, "loss": size.loss}
        for name, size in sizes.items()
    ]
    lines = [f"{flops:.3g} operations train (Hoffmann 2022):"] + [
        f"  {quantity(row['parameters']):>8} parameters on {quantity(row['tokens']):>8} tokens, "
        f"loss {row['loss']:.3f} nats  ({row['by']})"
        for row in rows
    ]
    _answer(arguments, lambda: {"flops": flops, "sizes": rows}, lambda: "\n".join(lines))


def _machines(arguments: argparse.Namespace) -> None:
    import dataclasses

    from tfsci.plan import machines, text
    from tfsci.plan.machine_table import MACHINES

    rows = [machines.find(name) for name in arguments.names] or list(MACHINES.values())
    _answer(
        arguments, lambda: [dataclasses.asdict(row) for row in rows], lambda: text.machines(rows)
    )


def _published(arguments: argparse.Namespace) -> None:
    from tfsci.plan import published

    rows = published.rows()
    _answer(arguments, lambda: [vars(row) for row in rows], lambda: published.table(rows))


_COMMANDS = {
    "show": _show,
    "search": _search,
    "scaling": _scaling,
    "simulate": _simulate,
    "check": _check,
    "tokens": _tokens,
    "machines": _machines,
    "published": _published,
}
