import time

import numpy as np
import tensorflow as tf

from tfsci.data.example import Feature
from tfsci.lessons.played import Accelerator, Queue, Store

FEATURES = (Feature("data", "float32", (2,)), Feature("label", "int64", ()))


def test_an_accelerator_takes_its_time_and_notes_it():
    step = Accelerator(0.02)
    step(None)
    step(None)
    (first, long), (second, _) = step.spans
    assert long >= 0.02
    assert second >= first + long


def test_a_file_of_one_sample(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, data=np.array([1, 2], "float32"), label=np.array([5]))
    store = Store(0.02, 0.01, FEATURES)
    data, label = store.read(path)
    assert (data.tolist(), int(label)) == ([1, 2], 5)
    ((x, y),) = tf.data.Dataset.from_tensors(path).map(store.load)
    assert (x.shape, y.shape, x.numpy().tolist(), int(y)) == ((2,), (), [1, 2], 5)
    assert all(long >= 0.03 for _, long in store.spans) and len(store.spans) == 2


def test_opening_is_paid_once_a_file_and_each_record_for_itself(tmp_path):
    store = Store(0.03, 0.001, FEATURES)
    files = [str(tmp_path / f"{i}.npz") for i in range(5)]
    for i, path in enumerate(files):
        np.savez(path, data=np.full(2, i, "float32"), label=np.array([i]))
    names = store.pack(files, tmp_path / "packed", 3)
    found = store.slices(names).flat_map(store.records)
    labels = [int(y) for _, y in found.map(store.parse)]
    assert labels == [0, 1, 2, 3, 4]
    assert len(store.spans) == 2 + 5
    assert sum(long >= 0.03 for _, long in store.spans) >= 2


def test_a_queue_returns_before_it_is_done():
    queue = Queue(0.02)
    start = time.perf_counter()
    results = [queue(None) for _ in range(5)]
    handed_over = time.perf_counter() - start
    results[-1].block_until_ready()
    assert time.perf_counter() - start >= 0.1 > handed_over
    assert len(queue.spans) == 5
