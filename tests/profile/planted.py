"""Pipelines whose bottleneck is known, and loops over them."""

import dataclasses
import functools
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

    The slow stage takes `cost` seconds a step: it sleeps, computes in Python or, without its lock,
    in NumPy, or sorts in TensorFlow. The model sleeps, as if a device computed, or `computes` on
    all cores.
    """

    kind: str
    position: int
    cost: float
    model: float = 0.01
    calls: int | None = None
    threads: int | None = None
    prefetch: bool = True
    second: tuple[int, float] | None = None
    computes: bool = False

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
            result = tf.reduce_sum(tf.cast(x, tf.float32))
            return result + tf.reduce_sum(_products(products)) if self.computes else result

        products = max(1, round(self.model / _seconds_of_a_product())) if self.computes else 0
        ends, batches = [], iter(self.dataset())
        for _ in range(steps + 6):
            if tracer:
                tracer.begin_step()
            loss = train_step(next(batches))
            if self.computes:
                float(loss)
            else:
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
    if kind == "numpy":
        return _sort_in_numpy
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


def _products(number):
    square = tf.ones((512, 512))
    return tf.while_loop(
        lambda i, _: i < number, lambda i, x: (i + 1, tf.matmul(x, square) / 512), (0, square),
        parallel_iterations=1,
    )[1]  # fmt: skip


_VALUES = np.random.default_rng(0).random(40_000, np.float32)


def _sort_in_numpy(seconds):
    for _ in range(max(1, round(seconds / _seconds_of_a_sort_in_numpy()))):
        np.sort(_VALUES, kind="heapsort")


def _timed(function, number):
    """Returns the seconds of one of so many things that a function does, after a first few."""
    function(2)
    start = time.perf_counter()
    function(number)
    return (time.perf_counter() - start) / number


@functools.cache
def _seconds_of_a_sort():
    sorts = tf.function(_sorts)
    values = tf.reverse(tf.range(40_000.0), [0])
    return _timed(lambda number: sorts(values, tf.constant(number)), 20)


@functools.cache
def _seconds_of_a_sort_in_numpy():
    return _timed(lambda number: [np.sort(_VALUES, kind="heapsort") for _ in range(number)], 40)


@functools.cache
def _seconds_of_a_product():
    products = tf.function(_products)
    return _timed(lambda number: products(tf.constant(number)), 40)
