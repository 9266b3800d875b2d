"""What the process uses of its cores."""

import threading
import time

from tfsci.profile.usage import Usage, core_wait


def test_waits_for_a_core_are_of_the_threads_that_are_left():
    before = {1: (1.0, 1.0), 2: (50.0, 90.0), 3: (5.0, 5.0)}
    after = {1: (3.0, 2.0), 3: (6.0, 7.0), 4: (1.0, 1.0)}  # 2 has ended, 4 is new
    assert core_wait(before, after) == (1 + 2 + 1) / (2 + 1 + 1)
    assert core_wait({}, {}) is None


def test_what_a_thread_computes_is_counted_though_it_has_ended():
    def compute():
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    usage = Usage()
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    used = usage.since()
    assert used["worker_seconds"] >= 0.2  # TensorFlow's idle threads may use some, too
    assert used["wall_seconds"] >= 0.2
