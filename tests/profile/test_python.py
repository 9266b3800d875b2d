"""What Python functions do with their time, of threads whose work is known."""

import threading
import time

import pytest
import tensorflow as tf

from tfsci.profile.python import PythonWatch


def watched(work, seconds=0.6):
    """Runs work as a function of a pipeline, and returns what was seen of it."""

    def function(x):
        work(seconds)
        return x

    dataset = tf.data.Dataset.range(2).map(lambda x: tf.numpy_function(function, [x], tf.int64))
    watch = PythonWatch()
    watch.start()
    thread = threading.Thread(target=lambda: list(dataset))
    thread.start()
    thread.join()
    return watch.use()


def compute(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_python_that_computes_holds_the_lock():
    uses = (watched(compute) for _ in range(3))  # other work on the machine may hide it once
    assert any(use.lock_share > 0.5 and use.cpu_share > 0.5 for use in uses)


def test_python_that_waits_neither_holds_it_nor_computes():
    use = watched(time.sleep)
    assert use.lock_share < 0.3
    assert use.cpu_share < 0.1


def test_where_there_is_no_python_nothing_is_said_of_it():
    watch = PythonWatch()
    watch.start()
    time.sleep(0.2)
    use = watch.use()
    assert use.cpu_share is None
    assert use.lock_share == pytest.approx(0, abs=0.3)
