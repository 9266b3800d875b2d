# %% [markdown]
# # 3 · Building data pipelines
#
# **You will learn** to say what a step will take before you change anything: what is done in turn
# adds up, what is done side by side counts once. So one pipeline becomes more than twenty times
# faster: parallel map, sharded files, prefetch, interleave, cache. Then many readers share it.
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; no download.
#
# The store across the network, and the accelerator that waits for it, are played by pauses, the
# same on every laptop; everything between them is real.

# %%
from tfsci import lessons

lesson = lessons.start("03")

import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfsci.data import pipeline
from tfsci.data.example import Feature
from tfsci.data.export import export
from tfsci.data.source import Split
from tfsci.lessons.played import Accelerator, Store
from tfsci.profile import feeding, throughput
from tfsci.profile.feeding.text import next_step, verdict

BATCH, SHARD, AT_ONCE = 8, 64, 4  # samples a batch and a file; requests that the store allows
OPENING, RECORD, STEP = np.array([0.12, 0.005, 0.025]) * lesson.choose(1, quick=0.6)  # seconds

# %% [markdown]
# ## A loop pays for everything, one after the other
#
# Each sample has a file of its own, as in many laboratories. To open one takes long, because the
# request travels; its few bytes follow quickly. The loop reads a batch, trains on it, reads the
# next. We time one read and one step of training, and predict
# $\text{step} = \text{batch} \times \text{read} + \text{train}$.

# %%
lesson.section()
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name, "patterns")
export("diffraction:size=32", folder, limit=4 * SHARD)
files = [str(path) for path in sorted(folder.glob("*.npz"))]
form = (Feature("data", "float32", (3, 32, 32)), Feature("label", "int64", ()))
store, train, ladder = Store(OPENING, RECORD, form), Accelerator(STEP), {}


def loop():
    for first in range(0, len(files), BATCH):
        samples = [store.read(path) for path in files[first : first + BATCH]]
        yield [np.stack(column) for column in zip(*samples, strict=True)]


def rung(name, predicted, batches, model=train, skip=0):
    """Says what a step will take, measures it, and keeps both."""
    lesson.say(f"{name}: we predict {1e3 * predicted:.1f} ms a step …")
    steps, times = (4, 1) if predicted > 0.1 else (32, 1 if predicted > 0.03 else 3)
    rate = throughput.best(model, itertools.islice(batches, skip, None), steps, times, BATCH)
    ladder[name] = predicted, BATCH / rate.examples_per_second
    seconds, rate = ladder[name][1], f"{rate.examples_per_second:,.0f} samples/s"
    lesson.claim(f"… and measure {1e3 * seconds:.1f} ms, {rate}", 0.6 < seconds / predicted < 1.7)
    return seconds


timed = (throughput.measure(each, files[:8], 1) for each in (store.read, train))
a_read, a_step = (1 / each.examples_per_second for each in timed)
in_turn = rung("a loop in Python", BATCH * a_read + a_step, loop())
with lesson.figure("In a loop the accelerator stands idle nearly all the time") as ax:
    for height, who in enumerate((store, train)):
        seen = [(start - train.spans[8][0], long) for start, long in who.spans]
        ax.broken_barh(seen, (height - 0.3, 0.6), facecolor=f"C{height}", edgecolor="white")
    ax.set_yticks([0, 1], ["store:\none file", "accelerator:\none batch"])
    ax.set(xlabel="time in seconds", ylabel="who works", xlim=(-0.02 * in_turn, 2.2 * in_turn))
idle = 1 - a_step / in_turn
lesson.claim(f"the accelerator is idle for {idle:.0%} of the time", idle > 0.9)

# %% [markdown]
# ## Wait for several files at once
#
# What does the tool, `tfsci profile input`, say of a `map` that reads in turn? That it waits more
# than it computes. So let it ask for the next file meanwhile: with `num_parallel_calls=n` it keeps
# $n$ requests on their way, also while a batch is trained on:
# $\text{step} = \max(\text{batch} \times \text{read} / n,\ \text{train})$.

# %%
lesson.section()
paths = store.slices(files).repeat()
alone = feeding.measure(paths.map(store.load), needs=BATCH / a_step, seconds=0.1)
lesson.say(f"{verdict(alone)}. Next: {next_step(alone)}.")
lesson.claim(
    "the tool names the map as too slow", "Too slow" in verdict(alone) and "map" in verdict(alone)
)
swept = {}
for calls in lesson.choose((1, 2, 8, 16, AT_ONCE), quick=(16, AT_ONCE)):
    predicted, name = max(BATCH * a_read / calls, a_step), f"map, {calls} at once"
    swept[calls] = 1e3 * rung(name, predicted, paths.map(store.load, calls).batch(BATCH))
ladder = {name: ladder[name] for name in ("a loop in Python", f"map, {AT_ONCE} at once")}

many = np.linspace(1, 64, 500)
with lesson.figure("Twice the requests, half the time, until the model is the limit") as ax:
    ax.loglog(many, 1e3 * np.maximum(BATCH * a_read / many, a_step), label="predicted")
    ax.loglog(list(swept), list(swept.values()), "o", label="measured")
    ax.axhline(1e3 * a_step, linestyle=":", color="black", label="the model alone")
    ax.set(xlabel="files asked for at once", ylabel="time of a step in ms")
    ax.legend()

# %% [markdown]
# ## Many samples in a file: to open it is paid for once
#
# Our store allows four requests at once and no more. So let each bring more: a **TFRecord** file
# holds samples one after the other. With $a$ for opening and $b$ for a record, a sample out of a
# file of $k$ takes $a/k + b$. Files of one and of sixteen give two equations for $a$ and $b$, and
# these the rest. The law holds wherever a call has a price of its own: messages, kernels, batches.

# %%
lesson.section()
sizes = np.array(lesson.choose((1, 4, 16, SHARD), quick=(1, 16)))
found = []
for count in sizes:
    names = store.slices(store.pack(files[: 4 * count], folder / f"of-{count}", count))
    ends = [time.perf_counter() for _ in names.flat_map(store.records).batch(count)]
    found.append(min(np.diff(ends)) / count)
opening, record = np.linalg.solve([[1, 1], [1 / 16, 1]], np.array(found)[np.isin(sizes, (1, 16))])
with lesson.figure("The price of opening is shared by all the samples in a file") as ax:
    ax.loglog(many, 1e3 * (opening / many + record), label="opening/k + record")
    ax.loglog(sizes, 1e3 * np.array(found), "o", label="measured")
    ax.set(xlabel="samples in a file, k", ylabel="time for a sample in ms")
    ax.legend()
lesson.compare("the price of opening a file", 1e3 * opening, 1e3 * OPENING, 0.2e3 * OPENING, "ms")
reading = BATCH * (opening / SHARD + record)
names = store.slices(store.pack(files, folder / "packed", SHARD))
in_order = names.repeat().flat_map(store.records).map(store.parse).batch(BATCH)
rung(f"{SHARD} samples a file", reading + a_step, in_order)

# %% [markdown]
# ## Work ahead, from several files: twenty times faster, and foretold
#
# Reading and training still take turns. `prefetch` reads the next batch meanwhile: a sum becomes a
# maximum, which gains a factor of two at most. Then `interleave` reads from four files at once, and
# opens the next ahead. What is slowest then is the model: faster input would gain nothing.

# %%
lesson.section()
woven = names.repeat().interleave(store.records, AT_ONCE, num_parallel_calls=AT_ONCE)
woven = woven.map(store.parse).batch(BATCH).prefetch(4)
rung("the next batch read ahead", max(reading, a_step), in_order.prefetch(4))
fastest = rung(f"{AT_ONCE} such files at once", max(BATCH * record / AT_ONCE, a_step), woven)
with lesson.figure("Each rung of the ladder was foretold before it was climbed") as ax:
    told, seen = 1e3 * np.array(list(ladder.values())).T
    ax.barh(list(ladder), seen, color="C0", label="measured")
    ax.plot(told, list(ladder), "D", color="black", label="predicted")
    ax.axvline(1e3 * a_step, linestyle=":", color="black", label="the model alone")
    ax.set(xscale="log", xlabel="time of a step in ms", ylabel="pipeline", xlim=(5, None))
    ax.invert_yaxis()
    ax.legend(loc="lower right")
gain = in_turn / fastest
lesson.claim(f"the same training runs {gain:.0f} times as fast as in the loop", gain > 20)

# %% [markdown]
# ## Keep what does not change, and call once a batch
#
# An accelerator four times as fast makes the store the limit again. `cache` keeps what the first
# epoch has read. It goes *before* all that should differ between epochs: behind a shuffle, it keeps
# that one order for ever. When nothing waits any more, calls cost. A function that is given $k$
# samples at a time takes $a/k + b$ for each: first `batch`, then `map`.

# %%
lesson.section()
faster, limit = Accelerator(STEP / 4), a_step / 4
rung("a faster model", max(BATCH * record / AT_ONCE, limit), woven, faster)
kept = names.interleave(store.records, AT_ONCE, num_parallel_calls=AT_ONCE).map(store.parse)
kept = kept.cache().repeat().batch(BATCH).prefetch(4)
rung("the same, cached", limit, kept, faster, skip=len(files) // BATCH)

samples = store.slices(np.zeros((256, 16, 16), "float32")).repeat()
together, taken = 4 ** np.arange(5), np.zeros(5)
for place, count in enumerate(together):
    batches = samples.batch(count).map(lambda x: tf.sqrt(tf.abs(x - 0.5)) + 1).batch(256 // count)
    taken[place] = 1 / throughput.best(len, batches, 20, 4, 256).examples_per_second
with lesson.figure("Batch first, then map: a call costs more than what it does") as ax:
    ax.loglog(together, 1e6 * taken, "o-", label="measured")
    ax.loglog(many, 1e6 * taken[0] / many, ":", color="black", label="if only calls cost")
    ax.set(xlabel="samples given to the function at once", ylabel="time for a sample in µs")
    ax.legend()
said = f"batch, then map, is {taken[0] / taken[-1]:.0f} times as fast as map, then batch"
lesson.claim(said, taken[0] > 3 * taken[-1])
numbers = tf.data.Dataset.range(100)
frozen, fresh = numbers.shuffle(100).cache(), numbers.cache().shuffle(100)
same = [[*each.as_numpy_iterator()] == [*each.as_numpy_iterator()] for each in (frozen, fresh)]
lesson.claim("a cache behind a shuffle repeats its order for ever", same == [True, False])

# %% [markdown]
# ## Cut every batch, not the data: any number of readers, one training
#
# A shuffle takes from its buffer, and that costs what fills it: shuffle names or numbers, *all* of
# them, and read afterwards. Each of $n$ ranks should read its part of every batch of that *one*
# order, as in `tfsci`. The usual `shard`, with a shuffle of each part, makes other batches for
# every $n$, and so another training: a batch shares with ours what chance gives.

# %%
lesson.section()
COUNT, TOGETHER = 256, 32
split = Split(np.arange(COUNT, dtype="float32")[:, None], np.arange(COUNT))


def ours(index, readers):
    return pipeline.training(split, TOGETHER, seed=3, shard_index=index, num_shards=readers).dataset


def usual(index, readers):
    part = tf.data.Dataset.from_tensor_slices(tuple(split)).shard(readers, index)
    return part.shuffle(COUNT, seed=index).batch(TOGETHER // readers)


def union(shard, readers):
    """Returns the samples of an epoch's global batches, put together from all readers."""
    parts = [[y for _, y in shard(i, readers).take(COUNT // TOGETHER)] for i in range(readers)]
    return np.concatenate(parts, axis=1)


one, two, four = (union(ours, readers) for readers in (1, 2, 4))
other, place = union(usual, 4), np.argsort(one, axis=None)  # of each sample in our order
with lesson.figure("One order of samples, however many readers share it", columns=3) as axes:
    names = ("one reader", "four readers, `tfsci`", "four, `shard` and `shuffle`")
    for ax, name, samples in zip(axes, names, (one, four, other), strict=True):
        ax.imshow(place[samples], aspect="auto", interpolation="none")
        ax.set(title=name, xlabel="place in the global batch", ylabel="batch")
        ax.grid(visible=False)
same = [np.array_equal(one, each) for each in (two, four)]
lesson.claim("one, two and four readers see the same batches in the same order", all(same))
lesson.claim("every sample comes once an epoch", np.array_equal(np.sort(place), range(COUNT)))
shared = np.mean([np.isin(a, b).mean() for a, b in zip(one, other, strict=True)])
lesson.compare("what the usual batches share with ours", shared, TOGETHER / COUNT, within=0.08)
scratch.cleanup()

# %% [markdown]
# ## Exercises, and where to go next
#
# `tfsci lessons check` tells whether you are right. Change this file, or the notebook's cells
# (`tfsci lessons notebook 03`), and run it again. Next: `05_profiling.py`, where the model is slow.

# %%
lesson.end()
