"""What to change where it is not the pipeline that holds the training back."""

from tfsci.profile.changes import Change
from tfsci.profile.reading import Host

# Steps that are run in one call, and so share what it costs.
_TOGETHER = 10
# Operations that a step starts from Python; a function, its input and its results are fewer.
_EAGER = 30
# Keras and a plain loop take less time for a step than this; what is longer is the user's.
_OWN_PYTHON = 5e-3
# Where more of the exchange gathers, what is gathered may be factors of dense gradients, which
# neither an accumulated nor a compressed gradient has (`tfsci.distributed.averaging`).
_GATHERS = 0.1
# Between what two ways to exchange half as often gain; less is not worth telling them apart.
_ALIKE = 0.05


def remedies(verdict: str, host: Host) -> tuple[Change, ...]:
    """Returns what to change by the verdict, the largest gain first; each gain is for itself."""
    rules = {
        "dispatch-bound": _dispatch,
        "compile-bound": _compile,
        "communication-bound": _communication,
        "copy-bound": _copy,
    }
    if verdict not in rules:
        return ()
    step = host.step_seconds
    found = [
        Change(what, where, step / after, "the model's step", "at most" * bound)
        for what, where, after, bound in rules[verdict](host)
        if after < step
    ]
    return tuple(sorted(found, key=lambda change: -change.predicted_speedup))


def _dispatch(host: Host):
    parts, step = host.breakdown.parts, host.step_seconds
    if parts["python"] > max(_OWN_PYTHON, parts["dispatch"]):
        yield (
            "do what Python does between the steps less often (callbacks, logging, work on the "
            "batch), or in the pipeline",
            "if step % 100 == 0: ..., or dataset.map(...)",
            step - parts["python"],
            True,
        )
    starting, started = parts["python"] + parts["dispatch"], host.breakdown.started
    keras = "on_iterator" in host.marker
    if started > _EAGER:
        yield (
            f"compute a step as one function, instead of starting {started:.0f} operations from "
            "Python",
            "@tf.function around the step, or model.compile(..., run_eagerly=False)",
            step - (1 - 1 / started) * starting,
            True,
        )
    else:  # the operations themselves are started one by one all the same
        yield (
            f"run {_TOGETHER} steps in a call",
            f"model.compile(..., steps_per_execution={_TOGETHER})"
            if keras
            else "a loop over batches within the @tf.function",
            step - (1 - 1 / _TOGETHER) * starting,
            True,
        )
    compute = parts["compute"]
    yield (
        "give each step twice the work: in examples per second",
        ".batch(2 * batch_size)",
        (step + compute) / 2,
        False,
    )


def _compile(host: Host):
    what = "give the function inputs of one shape and type"
    name, known = next(iter(host.compiled.items()), ("", ()))
    if known:
        what += f"; {name} was traced for " + " · ".join(known)
    yield (
        what,
        "dataset.batch(batch_size, drop_remainder=True), tensors instead of Python numbers",
        host.step_seconds - host.breakdown.parts["compile"],
        False,
    )


def _communication(host: Host):
    step, shown = host.step_seconds, host.breakdown.parts["communication"]
    total, gathered = host.breakdown.communication_total, host.breakdown.gathered
    # What is gathered grows with the batch.
    larger = step - (1 - gathered) * shown / 2
    # An accumulated gradient is whole when back-propagation has ended: nothing hides its exchange.
    accumulated = step - shown + total / 2
    what, where = "exchange gradients half as often, in examples per second: twice the batch", ""
    if gathered < _GATHERS and accumulated - larger < _ALIKE * step:
        what, where = f"{what}, or two batches for an update", ", or --accumulate 2"
    if gathered < 1 - _GATHERS:
        yield what, f".batch(2 * batch_size){where}", larger, False
    if gathered < _GATHERS:
        yield (
            # Measured over Gloo: beyond that, adding up in software takes longer than it saves.
            "send gradients in 16 bits"
            + ", over a link of less than 100 MB/s" * (not host.devices),
            "hvd.DistributedOptimizer(..., compression=hvd.Compression.fp16), or --compression "
            "fp16",
            # What is hidden now is half as long then, and hides as much.
            step - min(shown, total / 2),
            True,
        )


def _copy(host: Host):
    yield (
        "copy the next batch to the device while it computes",
        'dataset.apply(tf.data.experimental.prefetch_to_device("/GPU:0"))',
        host.step_seconds - host.breakdown.parts["copy"],
        True,
    )
