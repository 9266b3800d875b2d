"""Pipelines whose bottleneck is known, and loops over them."""

import dataclasses
import re
import time

import numpy as np
import tensorflow as tf

from tfsci import profile

BATCH = 4
POSITIONS = ("source", "first map", "second map", "map of batches", "last map")


@dataclasses.dataclass(frozen=True)
class Plan:
    """One slow stage, or two, before a model that takes `model` seconds for a step.

    The slow stage takes `cost` seconds a step: it sleeps, computes in Python, or sorts in
    TensorFlow.
    """

    kind: str
    position: int
    cost: float
    model: float = 0.01
    calls: int | None = None
    threads: int | None = None
    prefetch: bool = True
    second: tuple[int, float] | None = None

    def applied(self, change):
        """Returns the plan with a change as a reader of the advice would make it."""
        calls = re.search(r"num_parallel_calls=(\d+)", change.where)
        threads = re.search(r"private_threadpool_size = (\d+)", change.where)
        return dataclasses.replace(
            self,
            calls=int(calls[1]) if calls else self.calls,
            threads=int(threads[1]) if threads else self.threads,
            prefetch=self.prefetch or ".prefetch" in change.where,
        )

    def dataset(self):
        costs = {self.position: self.cost} | (dict([self.second]) if self.second else {})
        each = {i: cost / (BATCH if i < 3 else 1) for i, cost in costs.items()}
        dataset = _source(self.kind, each[0]) if 0 in each else tf.data.Dataset.range(10**9)
        for position in (1, 2, 3, 4):
            if position == 3:
                dataset = dataset.batch(BATCH)
            if position not in each:
                dataset = dataset.map(lambda x: x + 1)
                continue
            calls = self.calls if position == self.position else None
            dataset = dataset.map(_slow(self.kind, each[position], position), calls)
        if self.prefetch:
            dataset = dataset.prefetch(2)
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = self.prefetch
        if self.threads:
            options.threading.private_threadpool_size = self.threads
        return dataset.with_options(options)

    def seconds(self, steps=30, tracer=None):
        """Trains, and returns the mean time of a step after the warm-up."""

        @tf.function
        def train_step(x):
            return tf.reduce_sum(tf.cast(x, tf.float32))

        ends, batches = [], iter(self.dataset())
        for _ in range(steps + 6):
            if tracer:
                tracer.begin_step()
            train_step(next(batches))
            time.sleep(self.model)  # as a device that computes
            if tracer:
                tracer.end_step()
            ends.append(time.perf_counter())
        return float(np.diff(ends[5:]).mean())

    def report(self, folder):
        with profile.trace(folder, steps=25) as tracer:
            self.seconds(28, tracer)
        return profile.report(folder)


def _work(kind, seconds):
    if kind != "python":
        return time.sleep

    def compute(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    return compute


def _source(kind, seconds):
    work = _work(kind, seconds)

    def generate():
        for i in range(10**9):
            work(seconds)
            yield i

    return tf.data.Dataset.from_generator(
        generate, output_signature=tf.TensorSpec((), tf.int64), name="slow"
    )


def _slow(kind, seconds, position):
    """Returns a function that takes so long, named after its position."""
    if kind == "cpu":
        number = max(1, round(seconds / _seconds_of_a_sort()))

        def function(x):
            shift = tf.cast(tf.reduce_sum(x) * 0, tf.float32)
            values = _sorts(tf.reverse(tf.range(40_000.0), [0]) + shift, number)
            return x + tf.cast(values[0] * 0, x.dtype)
    else:
        work = _work(kind, seconds)

        def wait(x):
            work(seconds)
            return x

        def function(x):
            y = tf.numpy_function(wait, [x], x.dtype)
            y.set_shape(x.shape)
            return y

    function.__name__ = f"slow_{position}"
    return function


def _sorts(values, number):
    return tf.while_loop(
        lambda i, _: i < number, lambda i, x: (i + 1, tf.reverse(tf.sort(x), [0])), (0, values),
        parallel_iterations=1,
    )[1]  # fmt: skip


_sort = []


def _seconds_of_a_sort():
    if not _sort:
        timed = tf.function(_sorts)
        values = tf.reverse(tf.range(40_000.0), [0])
        timed(values, tf.constant(1))
        start = time.perf_counter()
        timed(values, tf.constant(20))
        _sort.append((time.perf_counter() - start) / 20)
    return _sort[0]
