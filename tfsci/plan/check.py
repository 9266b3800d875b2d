"""What is wrong with a launch script, what that costs, and what to change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfsci.plan import findings as findings_of
from tfsci.plan import launch as launches
from tfsci.plan import machines
from tfsci.plan.findings import KINDS, WORTH, Finding
from tfsci.plan.launch import Launch
from tfsci.plan.layout import Layout, validate
from tfsci.plan.machines import Machine
from tfsci.plan.memory import memory
from tfsci.plan.search import improve, smallest
from tfsci.plan.step import Step, step
from tfsci.plan.transformer import Transformer


@dataclass(frozen=True)
class Checked:
    """A script that was checked.

    Attributes:
        path: Where it is.
        launch: What it asks for.
        machine: What it was checked for.
        model: None where the script does not say.
        layout: None where the script does not say, or where it does not divide.
        step: Of it, as predicted; likewise.
        findings: Worst first.
    """

    path: Path
    launch: Launch
    machine: Machine
    model: Transformer | None
    layout: Layout | None
    step: Step | None
    findings: tuple[Finding, ...]

    @property
    def bubble(self) -> float | None:
        """Share of a step in which devices wait for the pipeline, by the closed form."""
        return float(self.layout.bubble) if self.layout else None

    @property
    def helps_most(self) -> Finding | None:
        """The finding whose change gains most speed."""
        gaining = [finding for finding in self.findings if finding.gain]
        return max(gaining, key=lambda finding: finding.gain, default=None)


def check(paths: Sequence[Path], machine: str | None = None) -> list[Checked]:
    """Checks launch scripts.

    Args:
        paths: Where they are; those that write to one place are told so.
        machine: For which; by default what each looks like, or Selene.
    """
    checked = [_check(path, machine) for path in paths]
    saves: dict[str, Checked] = {}
    for index, each in enumerate(checked):
        save = each.launch.options.get("save", "")
        other = saves.setdefault(save, each) if save else each
        if other is not each and other.model != each.model:
            text = f"{other.path.name} writes another model's checkpoints to {save}, too"
            finding = Finding("error", "checkpoints", text, "give each model a folder of its own")
            checked[index] = replace(each, findings=_ordered([*each.findings, finding]))
    return checked


def _check(path: Path, name: str | None) -> Checked:
    launch = launches.read(path)
    machine = machines.find(name or launch.machine or "selene")
    findings = [Finding("note", "script", note) for note in launch.notes]
    if not (name or launch.machine):
        text = f"nothing in it tells the machine; taken for {machine.title}"
        findings.append(Finding("note", "machine", text, "say --machine"))
    devices, more = _devices(launch, machine, known=bool(name or launch.machine))
    findings += more
    try:
        model = launch.model()
    except ValueError as error:
        model = None
        findings.append(Finding("error", "model", str(error)))
    layout = took = None
    if launch.ours:
        findings += findings_of.ours(launch, devices)
    elif model is None:
        text = "layers, hidden size and heads are not all given: memory and time are not known"
        findings.append(Finding("note", "model", text))
    try:
        if not launch.ours:
            layout = launch.layout(devices)
            share = layout.data * layout.micro_batch
            if layout.global_batch % share == 0:
                findings += _bubble(model, machine, layout)
            if model:
                validate(model, layout)
                took = step(model, machine, layout)
                findings += _memory(model, machine, layout)
                findings += findings_of.time(launch, took)
    except ValueError as error:
        findings.append(_refused(error, model, machine, layout))
        layout = layout if layout and layout.micro_batches >= 1 else None
    findings += (
        findings_of.batches(launch, layout)
        + findings_of.schedule(launch)
        + findings_of.checkpoints(launch, model)
    )
    return Checked(path, launch, machine, model, layout, took, _ordered(findings))


def _ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda f: (KINDS.index(f.kind), -f.lost)))


def _devices(launch: Launch, machine: Machine, known: bool) -> tuple[int, list[Finding]]:
    """Returns how many devices the training uses, and what is wrong with that."""
    product = (launch.number("tensor_model_parallel_size") or 1) * (
        launch.number("pipeline_model_parallel_size") or 1
    )
    per_node = launch.devices_per_node or machine.devices_per_node
    there = launch.nodes * per_node if launch.nodes else None
    ranks = launch.ranks or there or product
    if not (launch.ranks or there):
        text = f"neither nodes nor ranks are given; taken as tensor × pipeline = {product}"
        return ranks, [Finding("note", "ranks", text)]
    if there and ranks > there:
        text = f"{ranks} ranks on {launch.nodes} nodes × {per_node} devices = {there}"
        needed = -(-ranks // per_node)
        return ranks, [Finding("error", "ranks", text, f"ask for {needed} nodes")]
    whole = machine.devices_per_node * launch.nodes if known and launch.nodes else 0
    idle = max(there or 0, whole) - ranks
    if idle > 0:
        all_devices = ranks + idle
        text = f"{idle} of {all_devices} devices idle: {ranks} ranks on {launch.nodes} nodes"
        gain, lost = all_devices / ranks, idle / all_devices
        change = f"start {all_devices} ranks"
        finding = Finding("warning", "idle", text, change, gain, lost)
        return ranks, [finding]
    return ranks, []


def _bubble(model: Transformer | None, machine: Machine, layout: Layout) -> list[Finding]:
    """Says how much of the step is bubble, and what is better."""
    share = float(layout.bubble)
    if layout.pipeline == 1 or share < WORTH:
        return []
    text = (
        f"{share:.0%} of each pipeline is bubble: {layout.pipeline} stages, "
        f"{layout.micro_batches} micro-batches a step"
    )
    # Enough micro-batches for a tenth of bubble: 9 (p - 1)/v, a multiple of p.
    p = layout.pipeline
    enough = -(-9 * (p - 1) // layout.chunks)
    batch = -(-enough // p) * p * layout.data * layout.micro_batch
    larger = replace(layout, global_batch=batch)
    gain = (1 - float(larger.bubble)) / (1 - share)
    findings = []
    if batch > layout.global_batch:
        change = f"a global batch of {batch} has {float(larger.bubble):.0%} of bubble"
        findings.append(Finding("warning", "bubble", text, change, gain, share))
    else:
        findings.append(Finding("warning", "bubble", text, lost=share))
    if model:
        try:
            now = step(model, machine, layout)
            better, took = improve(model, machine, layout)
        except ValueError:
            return findings
        faster = float(now.seconds / took.seconds)
        if faster > 1 + WORTH:
            text = f"for this batch of {layout.global_batch} another layout is better"
            findings.append(Finding("warning", "layout", text, str(better), faster, 1 - 1 / faster))
    return findings


def _memory(model: Transformer, machine: Machine, layout: Layout) -> list[Finding]:
    """Says what does not fit, or hardly, and what does."""
    device, needs = machine.device, float(memory(model, layout).total)
    if needs <= device.usable:
        return []
    kind, there = "error", f"{device.memory:.0f} GB of {device.name}"
    if needs <= device.memory * 1e9:
        kind, there = "warning", f"{there}, where a tenth goes to buffers and gaps"
    text = f"needs {needs / 1e9:.0f} of the {there}"
    return [Finding(kind, "memory", text, _less(model, machine, layout), lost=WORTH)]


def _less(model: Transformer, machine: Machine, layout: Layout) -> str:
    """Returns what needs less memory than a layout."""
    flags = {"selective": "--recompute-activations", "full": "--checkpoint-activations"}
    for how, flag in flags.items() if layout.recompute == "none" else ():
        less = float(memory(model, replace(layout, recompute=how)).total)
        if less <= machine.device.usable:
            return f"{flag} needs {less / 1e9:.0f} GB"
    try:
        return f"on as many devices fits {improve(model, machine, layout)[0]}"
    except ValueError:
        enough = smallest(model, machine, layout.global_batch)
        return f"the smallest number of devices that fits is {enough}" if enough else ""


def _refused(error: ValueError, model, machine: Machine, layout: Layout | None) -> Finding:
    """Returns an error of what does not divide, with a layout that does where there is one."""
    if model and layout:
        try:
            better, _ = improve(model, machine, layout)
            return Finding("error", "layout", str(error), f"on as many devices works {better}")
        except ValueError:
            pass
    return Finding("error", "layout", str(error))
