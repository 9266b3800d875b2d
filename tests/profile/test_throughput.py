import numpy as np
import pytest

from tfsci.profile import throughput
from tfsci.profile.throughput import Throughput

# Each step hands over a product that takes far longer than handing it over.
JAX = """
import json, time
import jax, jax.numpy as jnp
from tfsci.profile import throughput

x = jnp.ones((700, 700))
step = jax.jit(lambda state: state @ x / 700)
state = x
def train(batch):
    global state
    state = step(state)
    return {"loss": [state, None]}
found = throughput.measure(train, [x] * 12, batch_size=32)
start = time.perf_counter()
for _ in range(10):
    train(x)["loss"][0].block_until_ready()
print(json.dumps([found.examples, found.seconds, time.perf_counter() - start, found.warning]))
"""


class Device:
    """Works on what it is given, one after the other, for a second each."""

    def __init__(self):
        self.now = self.free = 0.0

    def step(self, batch):
        self.now += 0.125
        self.free = max(self.free, self.now) + 1.0
        return (self,)

    def block_until_ready(self):
        self.now = max(self.now, self.free)

    def clock(self):
        return self.now


def test_the_clock_stops_when_the_device_is_done():
    device = Device()
    found = throughput.measure(device.step, [np.zeros((4, 2))] * 10, clock=device.clock)
    # The first step starts an eighth of a second after the clock; the device works for 8 s.
    assert found == Throughput(8, 32, 8.125, 1.0)
    assert found.examples_per_second == pytest.approx(32 / 8.125)
    assert found.dispatched_per_second == 32
    assert "would claim 32 examples/s; the device did 4: 8.1 times too many" in found.warning


def test_the_wait_for_every_batch_counts():
    device = Device()

    def batches():
        for _ in range(5):
            device.now += 2.0
            yield np.zeros((4, 2))

    found = throughput.measure(device.step, batches(), clock=device.clock)
    # Each of three steps: 2 s for its batch, which the device spends on the step before for 1 s,
    # and an eighth to hand it over; then the last step is waited for.
    assert found == Throughput(3, 12, 3 * 2.125 + 1.0, 3 * 2.125)


def test_the_best_of_several_loops():
    device, pauses = Device(), iter([0, 0, 9, 0, 0, 1, 0, 0, 5])

    def batches():
        for pause in pauses:
            device.now += pause
            yield np.zeros((4, 2))

    found = throughput.best(device.step, batches(), steps=2, times=3, clock=device.clock)
    # The loops' batches wait 0 + 9, 0 + 1 and 0 + 5 s, beside 2 s of the device's work.
    assert found == Throughput(2, 8, 0.125 + 1 + 0.125 + 1, 0.125 + 1 + 0.125)
    with pytest.raises(ValueError, match="more batches"):
        throughput.best(device.step, [np.zeros(3)] * 3, steps=2, times=2)


def test_a_published_claim_is_named():
    """ATPESC's walk-through: 1.05 million images/s claimed, 152,500 by its log's timestamps."""
    found = Throughput(100, 152_500, 1.0, 152_500 / 1.05e6)
    assert "would claim 1,050,000 examples/s; the device did 152,500: 6.9 times" in found.warning


def test_timers_that_agree_are_not_spoken_of():
    assert Throughput(10, 100, 1.09, 1.0).warning == ""
    assert Throughput(10, 100, 1.12, 1.0).warning


def test_tensorflow_tensors_are_waited_for():
    import tensorflow as tf

    weights = tf.Variable(tf.ones((300, 300)))
    step = tf.function(lambda batch: {"loss": weights.assign(weights @ weights / 300)})
    batches = tf.data.Dataset.from_tensors((tf.zeros((5, 1)), tf.zeros(5))).repeat(6)
    found = throughput.measure(lambda batch: step(batch[0]), batches)
    assert (found.steps, found.examples) == (4, 20)
    assert 0 < found.dispatch_seconds <= found.seconds


def test_jax_hands_over_before_it_is_done(python):
    pytest.importorskip("jax")
    import json

    done = python(JAX, JAX_PLATFORMS="cpu")
    assert done.returncode == 0, done.stderr
    examples, seconds, blocked, warning = json.loads(done.stdout)
    assert examples == 320
    assert seconds == pytest.approx(blocked, rel=1.0)  # the truth, by another route
    assert "times too many" in warning


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([np.zeros(3)] * 2,), "expected more batches than the 2 of the warm-up"),
        (([np.zeros(3)], None, 0), "warm_up 0: expected at least 1"),
        (([1.0] * 4,), "batch_size: needed"),
    ],
)
def test_what_can_not_be_timed_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        throughput.measure(lambda batch: batch, *arguments)


def test_our_own_training_reports_what_its_steps_take():
    import time

    import keras
    import tensorflow as tf

    from tfsci.data import pipeline
    from tfsci.data.source import Split
    from tfsci.training import fit

    def loss(y, values):
        def work(value):
            time.sleep(0.02)
            return value

        with tf.control_dependencies([tf.numpy_function(work, [values], tf.float32)]):
            return tf.square(values - y)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss, jit_compile=False)
    split = Split(np.zeros((32, 1), "float32"), np.zeros((32, 1), "float32"))
    (row,) = fit(model, pipeline.training(split, 4), 1)
    assert 0.5 * 4 / 0.02 < row["examples_per_second"] <= 4 / 0.02
