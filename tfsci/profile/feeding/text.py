"""What a pipeline delivers, in words for a terminal."""

import os

from tfsci.profile.feeding.measuring import Feeding, Stage
from tfsci.profile.text import clean, duration

_BAR = 20
# A shuffle that fills for less than this is not spoken of.
_FILLS = 0.05
# Below so many busy cores a pipeline waits, for files or a network.
_WAITS = 0.25
# A pipeline this much faster than the model is fast enough, whatever else the machine does.
_ENOUGH = 1.1


def write(found: Feeding) -> str:
    """Returns the stages, and the verdict with a next step."""
    whole = found.stages[-1].seconds
    what, rate = "an example at a time", "elements/s"
    if found.batch_size > 1:
        what, rate = f"a batch of {found.batch_size:.4g} examples", "batches/s"
    lines = [f"The pipeline alone, {what}:", ""]
    lines.append(f"  {'':40}{'examples/s':>11} {rate:>10} {'adds':>10}")
    for stage in found.stages:
        name = f"{stage.name} {stage.where}".strip()
        name = f"{'  ' if stage.index == 1 else '→ '}{stage.index} {clean(name)}"
        share = stage.cost / whole
        mark = "  ◀ costs most" if stage is found.slowest else ""
        cost = duration(stage.cost) if share >= 0.0005 else "–"
        bar = "█" * round(_BAR * share)
        lines.append(
            f"  {name[:40]:40}{_number(stage.examples_per_second):>11} "
            f"{_number(1 / stage.seconds):>10} {cost:>10} {share:5.0%}  {bar}{mark}".rstrip()
        )
        if note := _note(stage):
            lines.append(f"      {note}")
    return "\n".join([*lines, "", verdict(found), f"Next: {next_step(found)}"])


def _note(stage: Stage) -> str:
    if stage.name == "cache" and not stage.fills:
        return "is not full: measured as in the first pass"
    if stage.fills < _FILLS:
        return ""
    what = "is filled in the first pass" if stage.name == "cache" else "fills its buffer"
    return f"{what} for {duration(stage.fills)}"


def verdict(found: Feeding) -> str:
    """Returns the stage that costs most, and whether the pipeline is fast enough."""
    slow = found.slowest
    costs = (
        f"{clean(slow.name)}, stage {slow.index} of {len(found.stages)}, costs most: "
        f"{duration(slow.cost)} of the {duration(found.stages[-1].seconds)} of "
        + ("a batch" if found.batch_size > 1 else "an example")
    )
    rate = f"{_number(found.examples_per_second)} examples/s"
    if found.margin is None:
        return f"{rate}; {costs}"
    needs = f"the {_number(found.needs)} that the model needs"
    if found.margin >= _ENOUGH:
        return f"Fast enough: {rate}, {found.margin:.3g} times {needs}; {costs}"
    if found.margin >= 1:
        return f"Just fast enough: {rate}, {found.margin:.2f} times {needs}; {costs}"
    return (
        f"Too slow: {rate}, {found.margin:.2f} times {needs}, so a step would wait for input for "
        f"{100 - 100 * found.margin:.0f} % of its time; {costs}"
    )


def next_step(found: Feeding) -> str:
    """Returns what to do about it."""
    if found.margin is not None and found.margin >= _ENOUGH:
        if not found.works_ahead:
            return (
                "end the pipeline with .prefetch(2): as it is, the model waits for "
                f"{duration(found.stages[-1].seconds)} in every step"
            )
        return "leave the pipeline as it is; tfsci profile report DIR says what a step's time is"
    advice = _advice(found, found.slowest)
    if found.margin is None:
        return f"--needs or --trace says whether that is enough; where it is not, {advice}"
    return advice


def _advice(found: Feeding, stage: Stage) -> str:
    function = stage.name.partition("(")[2].rstrip(")") or "it"
    method = stage.name.partition("(")[0]
    python = stage.function == "python"
    keep = "keep its result: .cache() after it, or files written once"
    waits = found.busy * len(os.sched_getaffinity(0)) < _WAITS
    if method == "map" and waits and not stage.works_ahead:
        return (
            f".map({function}, num_parallel_calls=8), and options.threading."
            "private_threadpool_size = 8: it waits more than it computes"
        )
    if python and method == "from_generator":
        return "write the samples to files once (TFRecord) and read these: a generator is Python"
    if python:
        return (
            f"write {function} in TensorFlow's operations, since Python runs one at a time, or "
            f"{keep}"
        )
    if method == "map" and not stage.works_ahead:
        return f".map({function}, num_parallel_calls=tf.data.AUTOTUNE)"
    if method == "map":
        why = "all cores are busy" if found.busy > 0.8 else "it runs in parallel already"
        return f"{why}: make {function} cheaper, or {keep}"
    if method == "shuffle":
        return "shuffle file names or indices before what is large is read"
    if method == "batch" and not stage.works_ahead:
        return ".batch(..., num_parallel_calls=tf.data.AUTOTUNE)"
    if method in ("interleave", "flat_map", "TFRecordDataset", "TextLineDataset"):
        return "read several files at once: .interleave(..., num_parallel_calls=tf.data.AUTOTUNE)"
    if method == "cache":
        return "the elements come from memory: make them smaller (uint8 instead of float32)"
    return f"make fewer and larger elements before {stage.name}, or {keep}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
