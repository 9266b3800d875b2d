"""Measures the rates of `roofline`: of this machine, and of a model's training step on it."""

import itertools
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfsci.models import build, cost, sizes
from tfsci.models.cost import Cost
from tfsci.profile import throughput
from tfsci.profile.roofline import Machine, Step, step_bytes, step_flops
from tfsci.progress import Progress

_PRODUCT = 2048  # edge of the matrices
_LEAST_BYTES, _MOST_BYTES = 64 << 20, 1 << 30  # of an array that is too large for any cache
_TURNS = 8
# What a step takes in memory over its weights, gradients, averages and activations: gradients of
# these, and what operations need for themselves. Seen on CPUs: 1.3 to 1.8, small models more.
_WORKING = 2.0


def measure(
    specs: Sequence[str],
    batch_size: int,
    precision: str = "float32",
    free: float = float("inf"),
    **own: object,
) -> tuple[Machine, list[Step]]:
    """Measures the machine, and a training step of each model.

    Args:
        specs: Models, ``MODEL`` or ``MODEL:VARIANT``.
        batch_size: Samples of a step.
        precision: Keras' dtype policy.
        free: Bytes of memory; on a GPU it is its own that counts.
        **own: Options of the builders instead of the listed ones, see `tfsci.models.sizes`.

    Raises:
        ValueError: There is no such model, or it does not fit into the memory.
    """
    import tensorflow as tf

    models = [sizes.options(spec, **own) for spec in specs]
    costs = [cost.sketch(name, precision, **options) for name, options in models]
    if not tf.config.get_visible_devices("GPU"):
        for spec, needs in zip(specs, costs, strict=True):
            check_memory(spec, needs, batch_size, free)
    progress = Progress("Measuring", len(specs) + 1)
    found, steps = machine(precision), []
    for spec, (name, options), needs in zip(specs, models, costs, strict=True):
        progress.update(len(steps) + 1)
        steps.append(step(name, options, needs, batch_size, precision, spec))
        # Other work comes and goes: the roofs are the best of what was seen all along.
        found = _best_of(found, machine(precision))
    progress.close()
    return found, steps


def machine(precision: str = "float32") -> Machine:
    """Measures matrix products and the memory's bandwidth, the best of some.

    Args:
        precision: Keras' dtype policy, whose compute type the matrices have.
    """
    import tensorflow as tf

    gpu = bool(tf.config.get_visible_devices("GPU"))
    bandwidth = _device_bandwidth() if gpu else memory_bandwidth()
    kind = precision.removeprefix("mixed_")
    return Machine(_matrix_rate(kind), bandwidth, precision, _threads(), "GPU" if gpu else "CPU")


def _best_of(one: Machine, other: Machine) -> Machine:
    flops = max(one.matrix_flops_per_second, other.matrix_flops_per_second)
    moved = max(one.memory_bytes_per_second, other.memory_bytes_per_second)
    return replace(one, matrix_flops_per_second=flops, memory_bytes_per_second=moved)


def _matrix_rate(kind: str) -> float:
    import tensorflow as tf

    a = tf.cast(tf.random.normal((_PRODUCT, _PRODUCT)), kind)
    product = tf.function(lambda: tf.matmul(a, a))
    return 2 * _PRODUCT**3 / _best(lambda: throughput.wait(product()))


def memory_bandwidth(size: int | None = None) -> float:
    """Returns bytes/s of STREAM's addition a = b + c, by all threads, in main memory.

    NumPy adds in place and without the interpreter's lock; as in STREAM, 12 bytes count for each
    element of float32, and the cache line that is read before it is written does not.

    Args:
        size: Bytes of an array; by default four times the last level of cache.
    """
    size = size or min(max(_LEAST_BYTES, 4 * _cache_bytes()), _MOST_BYTES)
    number, threads = size // 4, _threads()
    a, b, c = np.zeros(number, "f4"), np.ones(number, "f4"), np.ones(number, "f4")
    ends = [number * i // threads for i in range(threads + 1)]
    parts = [slice(*pair) for pair in itertools.pairwise(ends)]
    with ThreadPoolExecutor(threads) as pool:
        add = lambda part: np.add(b[part], c[part], out=a[part])  # noqa: E731
        return 3 * 4 * number / _best(lambda: list(pool.map(add, parts)))


def _device_bandwidth() -> float:
    import tensorflow as tf

    b, c = tf.ones(_MOST_BYTES // 16), tf.ones(_MOST_BYTES // 16)
    return 3 * 4 * len(b) / _best(lambda: throughput.wait(b + c))


def _best(work: Callable[[], object]) -> float:
    """Returns the seconds of the fastest turn; the first, which touches all memory, is left out."""
    seconds = []
    for _ in range(_TURNS + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _threads() -> int:
    """Returns how many threads TensorFlow computes an operation with."""
    import tensorflow as tf

    asked = tf.config.threading.get_intra_op_parallelism_threads()
    return asked or len(os.sched_getaffinity(0))


def _cache_bytes(root: Path = Path("/")) -> int:
    """Returns the bytes of the last level of cache of all cores, 0 where Linux does not say."""
    levels: dict[int, dict[str, int]] = {}
    for folder in root.glob("sys/devices/system/cpu/cpu[0-9]*/cache/index*"):
        try:
            texts = [(folder / n).read_text() for n in ("level", "size", "shared_cpu_list")]
            size = re.fullmatch(r"(\d+)([KMG])", texts[1].strip())
            scale = {"K": 2**10, "M": 2**20, "G": 2**30}[size[2]]
            levels.setdefault(int(texts[0]), {})[texts[2]] = int(size[1]) * scale
        except (OSError, TypeError, ValueError):
            continue
    return sum(levels[max(levels)].values()) if levels else 0


def check_memory(name: str, needs: Cost, batch_size: int, free: float) -> None:
    """Raises a ValueError where a model does not fit, with a batch that does.

    Args:
        name: What the user calls it.
        needs: What it costs.
        batch_size: Samples of a step.
        free: Bytes.
    """
    takes = _WORKING * batch_size * needs.memory(batch_size)
    if takes <= free:
        return
    each = _WORKING * needs.activations
    fits = int((free - _WORKING * 16 * needs.parameters) / each) if each else 0
    do = f"use --batch-size {fits} or less" if fits > 0 else "take a smaller variant"
    raise ValueError(
        f"{name} at a batch of {batch_size}: training needs about {takes / 2**30:.1f} GiB, and "
        f"{free / 2**30:.1f} GiB are free; {do}"
    )


def step(
    name: str, options: dict, needs: Cost, batch_size: int, precision: str, title: str = ""
) -> Step:
    """Measures the training step of a model, compiled as `tfsci.training` compiles it, with Adam.

    Args:
        name: Of `tfsci.models.MODELS`.
        options: Of its builder.
        needs: What the model costs.
        batch_size: Samples of a step, of noise.
        precision: Keras' dtype policy.
        title: What to call it.
    """
    import keras
    import tensorflow as tf

    from tfsci.training.fused import fuse_batch_norm
    from tfsci.training.jit import choose_jit

    keras.config.set_dtype_policy(precision)
    model = build(name, **options)
    jit = choose_jit(model)
    has_classes = name == "gpt" or "num_classes" in options
    loss = (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if has_classes
        else keras.losses.MeanSquaredError()
    )
    model.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=jit)
    model.optimizer.build(model.trainable_variables)
    if not jit:
        fuse_batch_norm(model)
    generator = np.random.default_rng(0)
    given, put_out = ((batch_size, *shape[1:]) for shape in (model.input_shape, model.output_shape))
    if model.inputs[0].dtype.startswith("int"):
        x = generator.integers(0, put_out[-1], given).astype("int32")
    else:
        x = generator.standard_normal(given, "float32")
    if has_classes:
        y = generator.integers(0, put_out[-1], put_out[:-1]).astype("int32")
    else:
        y = generator.standard_normal(put_out, "float32")
    batch = tf.constant(x), tf.constant(y)
    train = tf.function(model.train_step, jit_compile=jit)

    def seconds(number: int) -> float:
        found = throughput.measure(train, itertools.repeat(batch, number + 1), batch_size, 1)
        return found.seconds / found.steps

    try:
        number = max(1, min(50, int(1 / seconds(1))))
        best = min(seconds(number) for _ in range(3))
    except tf.errors.ResourceExhaustedError as error:
        raise ValueError(
            f"{title or name} at a batch of {batch_size}: the device's memory is too small; use "
            "a smaller --batch-size"
        ) from error
    return Step(
        title or name,
        batch_size,
        step_flops(needs, batch_size),
        step_bytes(needs, batch_size),
        best,
    )
