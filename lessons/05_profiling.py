# %% [markdown]
# # 5 · Profiling deep learning
#
# **You will learn** to measure how fast a training is, and not be fooled by your own timer; to ask
# the profiler what holds it back; and to change one thing at a time, eight times, each because the
# profiler says so, and keep what the clock confirms.
#
# **Takes** at most 5 minutes on two cores. **Needs** nothing but `tfsci`; no download. Lesson
# `03_data_pipelines.py` explains the pipeline.
#
# The network and its training are real. The store of the images is played by pauses, so that it is
# as slow on every machine. What XLA and fewer bits gain differs from machine to machine: measure.

# %%
from tfsci import lessons

lesson = lessons.start("05")

import itertools
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfsci import models, profile
from tfsci.data.example import Feature
from tfsci.data.export import export
from tfsci.lessons.played import Queue, Store
from tfsci.plots import steps as pictures
from tfsci.profile import throughput

BATCH, LARGE, AT_ONCE = 8, 128, 16  # samples, samples, requests
OPENING = lesson.choose(0.06, quick=0.03)  # seconds

# %% [markdown]
# ## Stop the timer when the work is done, not when it is handed over
#
# An accelerator takes a step's work and returns at once: the work waits in its queue. A timer that
# is read then has timed the handing over. A published walk-through claims a rate by such a timer;
# the times of day in its own log give another. `tfsci.profile.throughput` waits for the last
# result, and warns. On a CPU TensorFlow returns when it is done: we play an accelerator's queue.

# %%
lesson.section()
CLAIMED, LOGGED = 1_050_000, 152_500  # images/s: the ATPESC walk-through's README; its log, at most
DEVICE, count = 0.02, 30
queue = Queue(DEVICE)
timed = throughput.measure(queue, [np.zeros((LARGE, 1))] * (count + 2))
lesson.say(f"We timed {timed.steps} steps. The warning: {timed.warning}.")
begin = queue.spans[2][0]
done = [1e3 * (start + long - begin) for start, long in queue.spans[2:]]
handed = 1e3 * timed.dispatch_seconds
with lesson.figure("The timer that does not wait has seen no work at all", columns=2) as ax:
    ax[0].plot(done, range(1, count + 1), drawstyle="steps-post", label="done by the device")
    ax[0].plot([0, handed], [0, count], label="handed over")
    ax[0].axvline(handed, linestyle=":", color="black", label="the wrong timer stops")
    ax[0].set(xlabel="time in ms", ylabel="steps", title="a queue")
    ax[0].legend(loc="lower right")
    ax[1].bar(["its claim", "its log"], [CLAIMED / 1e6, LOGGED / 1e6], color=["C1", "C0"])
    ax[1].set(xlabel="a published walk-through", ylabel="million images/s")
    ax[1].set_title("the same mistake")
factor = timed.dispatched_per_second / timed.examples_per_second
rate, known = timed.examples_per_second, LARGE / DEVICE
lesson.compare("the rate of the queue", rate, known, within=0.3 * known, unit="samples/s")
lesson.claim(f"the wrong timer would claim {factor:,.0f} times too much", factor > 3)
lesson.say(f"The walk-through's {CLAIMED:,} are {CLAIMED / LOGGED:.1f} times its log's {LOGGED:,}.")

# %% [markdown]
# ## Naive: the network waits for its input
#
# A small convolutional network, run operation by operation from Python; its images, each a file of
# its own, read one after the other. The profiler says where a step goes, and what to do first.

# %%
lesson.section()
scratch = tempfile.TemporaryDirectory()
export("diffraction:size=32", Path(scratch.name, "patterns"), limit=256)
files = [str(path) for path in sorted(Path(scratch.name, "patterns").glob("*.npz"))]
form = (Feature("data", "float32", (3, 32, 32)), Feature("label", "int64", ()))
store, rates, reports = Store(OPENING, 0.0, form), {}, {}
paths = store.slices(files).repeat()


def network(policy="float32"):
    """Returns a compiled network, the same in every stage."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    net = models.build("cnn", input_shape=(32, 32, 3), num_classes=7, dropout=0.0)
    keras.config.set_dtype_policy("float32")
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.optimizer.build(net.trainable_variables)
    return net


def last(data, label):
    return tf.transpose(data, (0, 2, 3, 1)), label  # channels last, as the network takes them


def stage(name, step, batches, steps, skip=0):
    """One stage: what the profiler says of some steps, and the rate of others by the clock."""
    folder, batches = Path(scratch.name, name), itertools.islice(batches, skip, None)
    with profile.trace(folder, steps=steps, skip=2) as tracer:
        for batch in itertools.islice(batches, steps + 3):
            with tracer.step():
                step(batch)
    reports[name] = found = profile.report(folder)
    rates[name] = throughput.best(step, batches, steps, 1 if steps < 10 else 3).examples_per_second
    lesson.say(f"{name}: {rates[name]:,.0f} images/s. {found.answer}.")
    for change in found.changes[:1]:
        lesson.say(f"It advises: {change.what}.")
    return rates[name]


def shares(*names):
    return {name: reports[name].breakdown for name in names}


in_turn = paths.map(store.load).batch(BATCH).map(last)
naive = stage("1 naive", network().train_step, in_turn, 5)
fed = paths.map(store.load, AT_ONCE).batch(BATCH).map(last).prefetch(2)
parallel = stage("2 input in parallel", network().train_step, fed, 10)
with lesson.figure("First the input is slow; then Python, which starts each operation") as ax:
    pictures.parts(shares("1 naive", "2 input in parallel"), ax)
lesson.claim("the naive training is input-bound", reports["1 naive"].verdict == "input-bound")
gain = parallel / naive
lesson.claim(f"reading in parallel makes it {gain:.1f} times as fast", gain > 1.3)

# %% [markdown]
# ## One graph, traced once
#
# Each step starts hundreds of operations from Python. `tf.function` records them once as a graph.
# *Once*: for every new Python value among its arguments it records anew. We pass the step's number,
# which is a Python number, and the training gets slower than it was. The profiler knows the reason.

# %%
lesson.section()
tf.get_logger().setLevel("ERROR")  # TensorFlow would warn; here the profiler is to find it
net, number = network(), itertools.count()


@tf.function
def numbered(images, labels, number):
    return net.train_step((images, labels))


retraced = stage("3 traced every time", lambda batch: numbered(*batch, next(number)), fed, 4)
graph = stage("4 traced once", tf.function(network().train_step), fed, 20)
with lesson.figure("A graph that is recorded in every step costs more than it saves") as ax:
    pictures.parts(shares("3 traced every time", "4 traced once"), ax)
verdict = reports["3 traced every time"].verdict
lesson.claim(f"recording in every step is found: {verdict}", verdict == "compile-bound")
lesson.claim(f"recorded once, it is {graph / retraced:.0f} times as fast", graph > 3 * retraced)
waiting = {name: found.input_share for name, found in reports.items()}
lesson.claim(
    "its steps wait for input again", waiting["4 traced once"] > waiting["2 input in parallel"]
)

# %% [markdown]
# ## Keep the input, and give more at a time
#
# The profiler names the map that reads. The set is small: keep it in memory after the first epoch.
# Then what a step costs however small it is, starting its operations, is the largest part: share
# it among more samples. A larger batch changes the training, too: see `08_distributed.py`.

# %%
lesson.section()
kept = store.slices(files).map(store.load, AT_ONCE).cache().repeat()
few, large = (kept.batch(size).map(last).prefetch(2) for size in (BATCH, LARGE))
epoch = len(files)  # samples that are read before the cache is full
cached = stage("5 input kept", tf.function(network().train_step), few, 40, epoch // BATCH)
plain = tf.function(network().train_step)
batched = stage("6 larger batch", plain, large, 12, epoch // LARGE)
with lesson.figure("At last the time goes into the network's own operations") as ax:
    pictures.parts(shares("4 traced once", "5 input kept", "6 larger batch"), ax)
now = reports["5 input kept"].input_share
before = waiting["4 traced once"]
lesson.claim(f"waiting falls from {before:.0%} to {now:.0%} of a step", now < before / 2)
gain = batched / cached
lesson.claim(f"{LARGE} at a time are {gain:.1f} times as fast as {BATCH}", gain > 1.3)

# %% [markdown]
# ## XLA and fewer bits: measured, not believed
#
# Now the step computes. XLA compiles the graph into fewer, larger operations; `bfloat16` halves the
# bytes. On an accelerator both may pay. On a CPU XLA's convolutions are slower than TensorFlow's,
# and processors without instructions for `bfloat16` convert it. The clock decides, with the three
# in turn; we keep what is fastest. The published walk-through lost a little by XLA, too.

# %%
lesson.section()
some = lesson.choose(12, quick=5)
compiled = tf.function(network().train_step, jit_compile=True)
stage("7 XLA", compiled, large, some, epoch // LARGE)
half = tf.function(network("mixed_bfloat16").train_step)
stage("8 bfloat16", half, large, some, epoch // LARGE)
more = itertools.islice(large, epoch // LARGE, None)
for _ in range(lesson.choose(4, quick=2)):  # in turn, so that the machine's moods meet all alike
    for name, step in zip(list(rates)[-3:], (plain, compiled, half), strict=True):
        again = throughput.best(step, more, some, times=1).examples_per_second
        rates[name] = max(rates[name], again)
PUBLISHED = {"naive": 236, "tf.data": 6_320, "tf.function": 45_200, "batch 1024": 135_500,
             "XLA": 128_000, "fp16": 152_500}  # fmt: skip  # images/s on an A100, by its log
best = max(rates, key=rates.get)
gain = rates[best] / naive
with lesson.figure(f"{gain:.0f} times faster, one change at a time", columns=2) as axes:
    both = {"here": rates, "ATPESC, by its log": PUBLISHED}
    for ax, (title, bars) in zip(axes, both.items(), strict=True):
        ax.barh(list(bars), list(bars.values()), color="C0")
        ax.set(xscale="log", xlabel="images/s", ylabel="stage", title=title)
        ax.set_xlim(min(bars.values()) / 2)
        ax.invert_yaxis()
lesson.say(f"We keep {best}: {rates[best]:,.0f} images/s.")
lesson.claim(f"the fastest is {gain:.0f} times as fast as the naive one", gain > 20)
images, _ = next(iter(large))
full, short = (network(policy)(images).numpy() for policy in ("float32", "mixed_bfloat16"))
off = np.abs(full - short).max() / np.abs(full).max()
lesson.compare("what bfloat16 changes of the outputs, as a share", off, 0, within=0.05)
scratch.cleanup()

# %% [markdown]
# ## Exercises, and where to go next
#
# `tfsci lessons check` tells whether you are right. Profile your own script as it is:
# `python -m tfsci.profile SCRIPT`. Next: `06_responsible_ai.py`, on whether it is right.

# %%
lesson.end()
