"""How many examples a second a training really takes: until the device is done.

A step may return before the device has computed it. A timer that stops there counts how fast work
is handed over, not how fast it is done.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

# A dispatch-only timer that is off by more than this is worth a warning.
_DISAGREES = 0.1


@dataclass(frozen=True)
class Throughput:
    """What a loop of steps took.

    Attributes:
        steps: Steps that were timed.
        examples: In all of them.
        seconds: Wall clock from the first to the last result, input included.
        dispatch_seconds: The same until the last step had returned, done or not.
    """

    steps: int
    examples: int
    seconds: float
    dispatch_seconds: float

    @property
    def examples_per_second(self) -> float:
        """By the wall clock, to the last result."""
        return self.examples / self.seconds

    @property
    def dispatched_per_second(self) -> float:
        """What a timer would say that does not wait for the device."""
        return self.examples / self.dispatch_seconds

    @property
    def warning(self) -> str:
        """Says that such a timer would be wrong, and by how much; empty where it would not."""
        times = self.seconds / self.dispatch_seconds
        if times <= 1 + _DISAGREES:
            return ""
        return (
            f"a timer that stops when the last step has returned would claim "
            f"{self.dispatched_per_second:,.0f} examples/s; the device did "
            f"{self.examples_per_second:,.0f}: {times:.1f} times too many. Wait for the result "
            "before the clock is read"
        )


def measure(
    step: Callable[[object], object],
    batches: Iterable,
    batch_size: int | None = None,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> Throughput:
    """Times a loop of steps.

    Args:
        step: Takes a batch; what it returns is waited for at the ends of the loop. The last result
            must come after all else, as in a training, whose steps need the weights of the last.
        batches: Batches, finite: tensors or arrays, nested in any way.
        batch_size: Examples of each; what their first axis says by default.
        warm_up: Steps before the clock starts, which trace and compile.
        clock: Seconds, for tests.

    Raises:
        ValueError: There are not more batches than the warm-up takes, or their size is not known.

    Example:
        >>> measure(model.train_on_batch, batches).examples_per_second  # doctest: +SKIP
        212.3
    """
    if warm_up < 1:
        raise ValueError(f"warm_up {warm_up}: expected at least 1, the step that compiles")
    start, examples, steps, result = None, 0, 0, None
    for number, batch in enumerate(batches, 1):
        result = step(batch)
        if number > warm_up:
            examples += batch_size or _size(batch)
            steps += 1
        elif number == warm_up:  # before the next batch is asked for: its wait counts
            wait(result)
            start = clock()
    returned = clock()
    wait(result)
    end = clock()
    if not steps:
        raise ValueError(f"expected more batches than the {warm_up} of the warm-up")
    tiny = 1e-9
    return Throughput(steps, examples, max(end - start, tiny), max(returned - start, tiny))


def best(
    step: Callable[[object], object],
    batches: Iterable,
    steps: int,
    times: int = 3,
    batch_size: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Throughput:
    """Times a loop of steps several times in a row, and returns the fastest.

    Whatever else a machine does makes a loop slower, never faster.

    Args:
        step: As for `measure`.
        batches: Enough of them: one more than `steps` for each time.
        steps: To be timed each time.
        times: How often.
        batch_size: As for `measure`.
        clock: Same.

    Raises:
        ValueError: The batches end too early, or their size is not known.
    """
    batches = iter(batches)
    parts = (itertools.islice(batches, 1 + steps) for _ in range(times))
    found = [measure(step, part, batch_size, 1, clock) for part in parts]
    return max(found, key=lambda each: each.examples_per_second)


def wait(result: object) -> None:
    """Waits until the device has computed what a step returned: arrays or tensors, nested."""
    devices = False
    for leaf in _leaves(result):
        if hasattr(leaf, "block_until_ready"):  # JAX
            leaf.block_until_ready()
        devices |= type(leaf).__module__.startswith("tensorflow")
    if devices:
        import tensorflow as tf

        tf.test.experimental.sync_devices()


def _leaves(nested: object):
    nested = getattr(nested, "value", nested) if "keras" in type(nested).__module__ else nested
    if isinstance(nested, Mapping):
        nested = nested.values()
    elif not isinstance(nested, list | tuple):
        yield nested
        return
    for each in nested:
        yield from _leaves(each)


def _size(batch: object) -> int:
    for leaf in _leaves(batch):
        shape = getattr(leaf, "shape", None)
        if shape is not None and len(shape):
            return int(shape[0])
    raise ValueError("batch_size: needed, since the batches have no first axis to count along")
