# %% [markdown]
# # 8 · Distributed deep learning
#
# **You will learn** how several processes train one network; the eight steps of it, by leaving
# each out; why a high learning rate wants a warm-up; how far more ranks help, and why no further.
#
# **Takes** at most 5 minutes on two cores. **Needs** Horovod: `make horovod`, or
# `tfsci install-horovod`; no download. Typed alone, this lesson starts two ranks by itself; under
# `horovodrun -np 2 python lessons/08_distributed.py` its own ranks do their work.

# %%
from tfsci import lessons

lesson = lessons.start("08")

import os
from dataclasses import replace

import numpy as np

from tfsci import plots
from tfsci.data import catalog
from tfsci.lessons import ranks
from tfsci.lessons.eight_steps import Recipe
from tfsci.profile.scaling import Point, analyse

RANKS = ranks.world_size(2)

# %% [markdown]
# ## One loss curve, on one process or on many
#
# Data parallelism: each rank holds the whole model and a share of every batch. The gradient of a
# mean over the batch is the mean of the gradients of equal shares: all that ranks exchange is an
# average. If they start alike, and read what one process would read, they *are* that process.
#
# First by hand, for a linear classifier. Then on real ranks, which train all recipes of the lesson
# now; read `train` in `tfsci/lessons/eight_steps.py` meanwhile: it is what they do with a `Recipe`.

# %%
lesson.section()


def gradient(weights, x, y):
    chances = np.exp(x @ weights)
    chances /= chances.sum(1, keepdims=True)
    return x.T @ (chances - np.eye(10)[y]) / len(y)  # of the mean cross-entropy


digits = catalog.load("digits")
x, y = digits.train.x[:960].reshape(960, -1), digits.train.y[:960]
weights = np.random.default_rng(0).normal(size=(x.shape[1], 10))
shards = zip(np.split(x, 8), np.split(y, 8), strict=True)
mean = np.mean([gradient(weights, *shard) for shard in shards], 0)
off = np.abs(mean - gradient(weights, x, y)).max()
lesson.claim(f"by hand: the mean over shards is the batch's gradient, to {off:.0e}", off < 1e-12)

EPOCHS = max(lesson.choose(8, quick=2), RANKS)
BATCH, RATE, HIGH = 32, 0.1, 0.12
steps = digits.train.num_samples // (RANKS * BATCH)
right = Recipe(batch_size=BATCH, rate=RATE, epochs=EPOCHS)
timed = Recipe(model="wide", epochs=lesson.choose(6, quick=2), steps=8, validate=False)
timed = replace(timed, batch_size=digits.train.num_samples // max(RANKS, 8))
saving = replace(timed, epochs=1, saves=lesson.choose(100, quick=40))
high = Recipe(optimizer="Adam", model="convolutional", rate=HIGH / RANKS, seed=1)
high = replace(high, epochs=lesson.choose(8, quick=4))
recipes = {
    "right": right,
    "one process": replace(right, alone=True, batch_size=RANKS * BATCH, rate=RANKS * RATE),
    "1 not initialised": replace(right, initialise=False),
    "2 not pinned": replace(timed, pin=False),
    "3 rate not scaled": replace(right, scale=False),
    "4 summed": replace(right, wrap="sum"),
    "4 not wrapped": replace(right, wrap="nothing"),
    "higher rate": replace(right, rate=RANKS * RATE),
    "5 not broadcast": replace(right, broadcast=False),
    "6 all save": replace(saving, chief_saves=False),
    "first saves": saving,
    "7 not sharded": replace(right, shard=False),
    "8 not divided": replace(right, steps=RANKS * steps),
    "no warm-up": high,
    "warm-up": replace(high, warmup_epochs=3),
    "alone": replace(timed, alone=True),
    "apart": replace(timed, initialise=False),
    "in a bucket": replace(timed, timeline=True),
    "each by itself": replace(timed, timeline=True, bucket_bytes=0),
}
coming = ranks.on_ranks(recipes, RANKS)
told = {name: next(coming) for name in lesson.track(list(recipes), f"Training on {RANKS} ranks")}
curves = {"one process": told["one process"], f"{RANKS} ranks of Horovod": told["right"]}
for strategy in () if ranks.are_here() or lesson.quick else ("mirrored", "multiworker"):
    (curves[f"tf.distribute, {strategy}"],) = ranks.on_ranks({"right": right}, RANKS, strategy)
epochs = np.arange(1, EPOCHS + 1)
with lesson.figure("However the work is shared, it is one curve") as ax:
    for i, (name, result) in enumerate(curves.items()):
        ax.plot(epochs, result.loss, "-o+x"[i], ms=12 + 8 * (i > 1), fillstyle="none", label=name)
    ax.set(xlabel="epoch", ylabel="validation loss (nats)", ylim=(0, None), xticks=epochs)
    ax.legend()
for name, result in list(curves.items())[1:]:
    off = np.abs(result.loss - told["one process"].loss).max()
    lesson.claim(f"{name}: the losses of one process, to {off:.0e}", off < 1e-5)

# %% [markdown]
# ## Eight steps, and what happens without each
#
# - Step `1`, **initialise**: else each process is rank zero of one, and does all the work.
# - `2`, **pin** each rank to its GPU, or its cores. Else all share the first one's.
# - `3`, **scale the rate** by the $n$ ranks, as there are $n$ times fewer steps an epoch. Else the
#   same loss takes $n$ times the epochs.
# - `4`, **wrap the optimizer**, so that it sees the mean. A sum is a rate $n$ times too high; not
#   wrapped at all, each rank trains on its own share, and they part.
# - `5`, **broadcast** the first weights. Else the ranks add equal steps to different weights, stay
#   as far apart as they began, and follow gradients of models that nobody has.
# - `6`, **save on the first rank**. Else all write one file, and who reads it finds half of one.
# - `7`, **shard** the data. Else all compute the same, as one rank would that never sees the rest.
# - `8`, **steps per epoch**, divided by $n$. Else an “epoch” is $n$ epochs, and only looks better.

# %%
lesson.section()
panels = [
    ("1 not initialised", "right", "samples"),
    ("2 not pinned", "in a bucket", "cores"),
    ("3 rate not scaled", "right", "loss"),
    ("4 not wrapped", "right", "apart"),
    ("5 not broadcast", "right", "loss"),
    ("6 all save", "first saves", "unreadable"),
    ("7 not sharded", "right", "loss"),
    ("8 not divided", "right", "samples"),
]
labels = {"samples": "samples an epoch", "cores": "cores in use", "apart": "ranks' distance"}
with lesson.figure("Black is right. Most mistakes hardly show in the loss", 2, 4) as axes:
    for ax, (wrong, good, field) in zip(axes, panels, strict=True):
        values = [getattr(told[name], field) for name in (good, wrong)]
        if field == "loss":
            ax.plot(epochs, values[0], "k-", epochs, values[1], "C1--")
            ax.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, None), xticks=[1, EPOCHS])
        else:
            ax.bar(["right", "wrong"], [np.ravel(each)[-1] for each in values], color=["k", "C1"])
            ax.set(xlabel=" ", ylabel=labels.get(field, "files found torn"))
        ax.set_title(wrong, fontsize=16)
loss = {name: result.loss for name, result in told.items()}


def equal(what, one, other, within=1e-5):
    off = np.abs(one - other).max()
    lesson.claim(f"{what}, to {off:.0e}", off < within)


work = told["1 not initialised"].samples / told["right"].samples
lesson.claim(f"not initialised: {work:.2f} times the work for one curve", work > 1.5)
shared = told["2 not pinned"].cores
lesson.claim(f"not pinned, all ranks together compute on {shared:.2f} cores", shared < 1.1)
late = loss["3 rate not scaled"][RANKS - 1 :: RANKS]
equal(f"not scaled: {RANKS} epochs for one", late, loss["1 not initialised"][: len(late)], 0.1)
equal(f"a sum is a mean at {RANKS} times the rate", loss["4 summed"], loss["higher rate"])
begun, ended = told["5 not broadcast"].apart
lesson.compare("not broadcast: the ranks' distance at the end", ended, begun, within=1e-4)
lesson.claim("broadcast, they end with equal weights", told["right"].apart[1] < 1e-6)
torn = [told[name].unreadable for name in ("6 all save", "first saves")]
lesson.claim(f"all save: {torn[0]} torn reads; the first: {torn[1]}", torn[0] > torn[1] == 0)
equal("not sharded is one rank with its share alone", loss["7 not sharded"], loss["4 not wrapped"])
several = loss["8 not divided"][: EPOCHS // RANKS]
equal(f"not divided: one “epoch” is {RANKS}", several, loss["right"][RANKS - 1 :: RANKS])

# %% [markdown]
# ## A rate for many ranks needs a warm-up
#
# The scaled rate may be too much for the first steps, where the loss is steep: units die, and the
# network says the same class for everything, forever. So it rises over the first epochs.

# %%
lesson.section()
# ATPESC 2023, another network on MNIST: a rate of 0.08 on 8 ranks, 3 epochs of warm-up.
PUBLISHED = {"no warm-up": 0.11, "warm-up": 0.96}
times = np.arange(1, high.epochs + 1)
with lesson.figure("The same high rate: dead at once, or learning after a warm-up") as ax:
    for name in PUBLISHED:
        line = ax.plot(times, told[name].accuracy, "o-", label=name)[0]
        ax.axhline(PUBLISHED[name], color=line.get_color(), ls=":", label=f"{name}, published")
    ax.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1), xticks=times)
    ax.legend(loc="center right")
dead, alive = (told[name].accuracy[-1] for name in PUBLISHED)
largest = np.bincount(digits.validation.y).max() / digits.validation.num_samples
lesson.compare("accuracy without warm-up: one class for all", dead, largest, within=0.02)
lesson.claim(f"warmed up: {alive:.2f}; published, {PUBLISHED['warm-up']}", alive > 0.5)

# %% [markdown]
# ## More ranks help until communication eats what they gain
#
# On the left our ranks, each with a core and a batch of its own: first without any exchange, which
# is what the machine loses by itself, then with it. On the right a published series, and laws that
# `tfsci profile scaling` fits: $T(n) = C/n + a\,(n-1)$ is least at $n = \sqrt{C/a}$.

# %%
lesson.section()
POLARIS = {1: 41.30, 2: 15.90, 4: 8.78, 8: 10.74}  # ATPESC 2023: seconds on so many GPUs
alone, jobs = told["alone"].step_seconds, {RANKS: (told["apart"], told["in a bucket"])}
cores = 0 if ranks.are_here() else len(os.sched_getaffinity(0))
for n in [n for n in (4, 8) if n <= cores]:
    jobs[n] = tuple(ranks.on_ranks({key: recipes[key] for key in ("apart", "in a bucket")}, n))
polaris = analyse(Point(n, seconds) for n, seconds in POLARIS.items())
with lesson.figure("Speed-up: ours, and a published one that turns", columns=2) as (ours, theirs):
    sizes = [1, *jobs]
    ours.plot(sizes, sizes, ":", color="black", label="ideal")
    for i, label in enumerate(("no exchange", "gradients averaged")):
        speedups = [n * alone / job[i].step_seconds for n, job in jobs.items()]
        ours.plot(sizes, [1, *speedups], "o-", label=label)
    ours.set(xlabel="ranks, a core each", ylabel="speed-up", title="this machine", xticks=sizes)
    ours.legend()
    plots.scaling_curve(polaris, theirs).set_title("Polaris, published", loc="left")
law = next(law for law in polaris.laws if law.name == "alpha-beta")
compute, latency = (law.parameters[name].value for name in ("compute", "latency"))
tried = np.arange(1, 16, 0.01)
least = tried[np.argmin([law.seconds(n).value for n in tried])]
gain = f"{speedups[0]:.2f} times as fast on {RANKS}, {speedups[0] / RANKS:.0%} efficiency"
lesson.say(f"Polaris: {polaris.answer}. Ours: {gain}.")
lesson.compare("ranks where Polaris' law turns", least, np.sqrt(compute / latency), within=0.02)
lesson.claim(f"so did Polaris, between {4} and {8}", 4 < least < 8 and POLARIS[4] < POLARIS[8])

# %% [markdown]
# ## Messages cost time, however small they are
#
# Horovod's timeline (`--horovod-timeline` of any run, `tfsci profile timeline`) tells when
# gradients wait and travel. Sent together, in a **bucket**, they pay once what a message costs.

# %%
lesson.section()
names = {"negotiation": "waiting for a rank", "nothing": "no gradient yet"}
with lesson.figure("Gradients one by one: more messages for the same bytes") as ax:
    for place, name in enumerate(("each by itself", "in a bucket")):
        start = 0
        for i, (part, seconds) in enumerate(told[name].timeline["parts"].items()):
            label = None if place else names.get(part, part)
            ax.barh(name, 1e3 * seconds, left=start, color=f"C{i}", label=label)
            start += 1e3 * seconds
    ax.set(xlabel="exchange of a step (ms)", ylabel="how gradients travel")
    ax.legend()
for name, messages in {"in a bucket": 1, "each by itself": told["alone"].gradients}.items():
    found = told[name].timeline  # with a message in which a rank can ask the others to stop
    lesson.compare(f"messages a step, {name}", found["messages"] - 1, messages, within=0.01)
    sent = found["messages"] * found["message_bytes"] / 1e6
    lesson.compare("all of them", sent, 4 * told[name].parameters / 1e6, 0.001, "MB")

# %% [markdown]
# ## Exercises, and where to go next
#
# The exercises are printed below. `tfsci job` writes the script that starts ranks on a cluster,
# `tfsci doctor` looks whether they can. Next: `09_portability.py`, one model on three backends.

# %%
lesson.end()
