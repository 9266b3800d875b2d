"""What is wrong with a launch script in itself: batches, schedule, checkpoints, time."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from tfsci.plan.launch import Launch
from tfsci.plan.layout import Layout
from tfsci.plan.step import Step
from tfsci.plan.transformer import Transformer

KINDS = ("error", "warning", "note")

# A bubble or a loss below this is not worth a line.
WORTH = 0.05


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        kind: ``"error"``: it won't run; ``"warning"``: it wastes or loses something; ``"note"``.
        about: What it is about, in a word.
        text: What was found.
        change: What helps; empty where nothing has to change.
        gain: How many times faster that is; None where it is not about speed.
        lost: Share of the devices' time that is lost, by which warnings are ordered.
    """

    kind: str
    about: str
    text: str
    change: str = ""
    gain: float | None = None
    lost: float = 0.0

    def __str__(self):
        gain = f" ({self.gain:.1f}× as fast)" if self.gain else ""
        change = f"; {self.change}{gain}" if self.change else ""
        return f"{self.kind}: {self.text}{change}"


def batches(launch: Launch, layout: Layout | None) -> list[Finding]:
    """Says where the script and DeepSpeed's configuration differ, and what a ramp-up costs."""
    findings = []
    own, configured = (
        launch.number("micro_batch_size"),
        launch.configured("train_micro_batch_size_per_gpu"),
    )
    if own and configured and own != configured:
        text = f"micro-batch {own} in the script, {configured} in DeepSpeed's configuration"
        findings.append(Finding("error", "batch", text, f"make both {own}"))
    own, configured = launch.number("global_batch_size"), launch.configured("train_batch_size")
    if own and configured and own != configured:
        text = f"global batch {own} in the script, {configured} in DeepSpeed's configuration"
        findings.append(Finding("error", "batch", text, f"make both {own}"))
    ramp = re.findall(r"\d+", launch.options.get("rampup_batch_size", ""))
    if len(ramp) == 3 and layout and layout.pipeline > 1:
        first = replace(layout, global_batch=int(ramp[0]), chunks=1)
        if first.micro_batches >= 1 and float(first.bubble) > float(layout.bubble) + WORTH:
            text = (
                f"--rampup-batch-size starts with {ramp[0]} samples, where "
                f"{float(first.bubble):.0%} is bubble"
            )
            findings.append(Finding("warning", "ramp-up", text, "start with more", lost=0.01))
        elif first.micro_batches < 1:
            text = f"--rampup-batch-size starts with {ramp[0]} samples for {layout.data} replicas"
            findings.append(
                Finding("error", "ramp-up", text, f"start with {layout.data * layout.micro_batch}")
            )
    return findings


def schedule(launch: Launch) -> list[Finding]:
    """Says where the learning rate's schedule does not fit the training."""
    for unit in ("samples", "iters"):
        total = launch.number(f"train_{unit}")
        if unit == "iters" and not total:
            total = launch.steps
        if not total:
            continue
        decay = launch.number(f"lr_decay_{unit}")
        warm = launch.number(f"lr_warmup_{unit}") or 0
        if decay and decay < 0.9 * total:
            text = (
                f"the learning rate is at its minimum after {decay:,} of {total:,} {unit}: for "
                f"{1 - decay / total:.0%} of the training"
            )
            return [Finding("warning", "schedule", text, f"--lr-decay-{unit} {total}")]
        if decay and decay > 1.1 * total:
            text = f"when training ends the learning rate is {total / decay:.0%} of its way down"
            return [Finding("warning", "schedule", text, f"--lr-decay-{unit} {total}")]
        if warm > (decay or total):
            text = f"the warm-up of {warm:,} {unit} is longer than the decay of {decay or total:,}"
            return [Finding("error", "schedule", text, f"--lr-warmup-{unit} below it")]
    return []


_SIZE = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*([mbt])(?![a-z0-9])", re.IGNORECASE)


def checkpoints(launch: Launch, model: Transformer | None) -> list[Finding]:
    """Says where checkpoints overwrite those of another model, or are never written."""
    findings = []
    save = launch.options.get("save", "").split(" ")[0]
    if save and model and (named := _SIZE.search(Path(save).name)):
        size = float(named[1]) * {"m": 1e6, "b": 1e9, "t": 1e12}[named[2].lower()]
        if not 0.7 < size / model.parameters < 1.4:
            text = (
                f"checkpoints of {model.parameters / 1e9:,.1f} B parameters go to {save}, named "
                f"for {named[0]}: they overwrite another model's"
            )
            findings.append(
                Finding("warning", "checkpoints", text, "name the folder for this model")
            )
    interval, steps = launch.number("save_interval"), launch.steps
    if save and interval and steps and interval > steps:
        text = f"--save-interval {interval} is more than the {steps} steps: saved at the end alone"
        findings.append(
            Finding("warning", "checkpoints", text, f"--save-interval {max(1, steps // 4)}")
        )
    return findings


def time(launch: Launch, took: Step) -> list[Finding]:
    """Says where the training takes longer than the job."""
    if not (launch.steps and launch.seconds):
        return []
    needed = launch.steps * float(took.seconds)
    if needed <= launch.seconds:
        return []
    hours = needed / 3600, launch.seconds / 3600
    text = f"{launch.steps:,} steps take about {hours[0]:,.1f} h, the job {hours[1]:.1f} h"
    change = "checkpoint and go on in further jobs"
    every = launch.number("save_interval")
    if every and every * float(took.seconds) > launch.seconds:
        fit = max(1, int(launch.seconds / 4 / float(took.seconds)))
        text += f", and no checkpoint comes before its end (--save-interval {every})"
        return [Finding("warning", "time", text, f"--save-interval {fit}", lost=1.0)]
    return [Finding("note", "time", text, change)]


def ours(launch: Launch, devices: int) -> list[Finding]:
    """Checks a job script of this package: the batch is global, and cut over the ranks."""
    batch = launch.number("batch_size")
    if batch and batch % devices:
        below = batch // devices * devices
        nearest = f"{below} or {below + devices}" if below else str(devices)
        text = f"--batch-size {batch} is not a multiple of {devices} ranks"
        return [Finding("error", "batch", text, f"{nearest} is")]
    if batch and launch.options.get("strategy") == "single" and devices > 1:
        text = f"--strategy single uses one of {devices} devices"
        return [
            Finding("warning", "idle", text, "--strategy auto", float(devices), 1 - 1 / devices)
        ]
    return []
