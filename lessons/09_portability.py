# %% [markdown]
# # 9 · AI test beds: one model on many backends
#
# **You will learn** to run one model in TensorFlow, JAX and PyTorch; why their results are equal
# but not identical, and how far apart they may be; to hand a model to people and machines that have
# none of your code; and what makes a call fast.
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; JAX and PyTorch join in
# where they are installed.
#
# Test beds bring new machines every year, each with its own software. A model that is written once
# in Keras, or exported once to a format, can move. But is it still the same model? We measure that.

# %%
from tfsci import lessons

lesson = lessons.start("09")

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from scipy.special import ndtr

from tfsci import models
from tfsci.data import catalog, pipeline
from tfsci.lessons import backends
from tfsci.training import evaluate, fit

rng = np.random.default_rng(0)
TOLERANCE = 1e-5

# %% [markdown]
# ## Equal is not identical: sums depend on their order
#
# A float keeps some digits and rounds the rest away, by at most $u$ of the number. Add up $n$
# numbers one after another, or in pairs, then pairs of pairs: on paper the same, in the machine
# not. What rounding can do to positive numbers at most is known (Higham): $(n-1)\,u$ of the sum one
# after another, $u \log_2 n$ in pairs. Libraries add in different orders, so last digits differ,
# and no one is wrong. A difference *above* such bounds is a bug.

# %%
lesson.section()
ROUNDING = np.finfo("float32").eps / 2  # u
lengths = 2 ** np.arange(4, 21, 2)


def in_pairs(x):
    while x.shape[-1] > 1:
        x = x[..., ::2] + x[..., 1::2]
    return x[..., 0]


orders = {"one after another": lambda x: x.cumsum(-1)[..., -1], "in pairs": in_pairs}
errors = {name: [] for name in orders}
for length in lengths:
    x = rng.random((10, length), "float32")
    exact = x.sum(-1, dtype="float64")
    for name, add in orders.items():
        errors[name].append(np.max(np.abs(add(x) - exact) / exact))
bounds = {"one after another": (lengths - 1) * ROUNDING, "in pairs": np.log2(lengths) * ROUNDING}

with lesson.figure("The order of a sum decides its last digits") as ax:
    for (name, found), style in zip(errors.items(), ("o", "s"), strict=True):
        line = ax.loglog(lengths, found, style, label=f"{name}, found")[0]
        ax.loglog(lengths, bounds[name], color=line.get_color(), label=f"{name}, bound")
    ax.set(xlabel="numbers that are added", ylabel="relative error of the sum, float32")
    ax.legend()
lesson.claim(
    "both orders stay within what rounding can do at most",
    all(np.all(errors[name] <= bounds[name]) for name in orders),
)
one, pairs = (found[-1] for found in errors.values())
lesson.claim(
    f"of {lengths[-1]:,} numbers one order misses by {one:.0e}, the other by {pairs:.0e}",
    one > 10 * pairs,
)

# %% [markdown]
# ## One model, three libraries, and a referee
#
# We train a small convolutional network for one epoch on TensorFlow and save it, one file with
# structure and weights. Each backend loads it in a process of its own, for a process has one
# backend for life (`KERAS_BACKEND=jax python …`). The referee is the network written out in NumPy
# with twice the digits. Mind the padding: Keras' `same` with a stride of two puts zeros *after* an
# even row, on every backend. PyTorch's own layers put them on both sides: a trap for ports by hand.

# %%
lesson.section()
data = catalog.load("digits")
keras.utils.set_random_seed(0)
net = models.build("cnn", input_shape=data.input_shape, num_classes=10, dropout=0.0)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
net.compile(keras.optimizers.Adam(1e-3), loss, weighted_metrics=["accuracy"], jit_compile=False)
fit(net, pipeline.training(data.train, 32, seed=0), epochs=1)
reached = evaluate(net, pipeline.evaluation(data.test, 60))["accuracy"]


def by_hand(x, weights):
    """The network in float64: two convolutions, two dense layers."""
    k1, b1, k2, b2, k3, b3, k4, b4 = weights
    for kernel, bias in ((k1, b1), (k2, b2)):
        x = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))  # zeros below and on the right
        seen = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2]
        x = np.einsum("bijchw,hwcd->bijd", seen, kernel, optimize=True) + bias
        x = x * ndtr(x)  # GELU
    x = x.reshape(len(x), -1) @ k3 + b3
    return x * ndtr(x) @ k4 + b4


STEPS, folder = lesson.choose(100, quick=30), lesson.output / "handed-over"
rows = rng.integers(0, data.train.num_samples, (STEPS, 32))
backends.hand_over(folder, net, data.test.x, data.train.x[rows], data.train.y[rows])
answers = {}


def ask(names):
    answers.update(backends.ask(folder, names))


def apart(name, exact):
    """Largest differences of each answer, as a part of the largest number that came out."""
    return np.abs(answers[name]["outputs"] - exact).max(1) / np.abs(exact).max()


here = backends.installed()
with ThreadPoolExecutor(lesson.choose(1, quick=2)) as pool:  # in full one by one: they are timed
    list(lesson.track(list(pool.map(ask, [[name] for name in here])), "Asking backends"))
weights = [weight.astype("float64") for weight in net.get_weights()]
exact = by_hand(data.test.x.astype("float64"), weights)
if backends.hint():
    lesson.say(backends.hint())

with lesson.figure("One model, several libraries: they part in the seventh digit") as ax:
    for name, style in zip(here, ("-", "--", ":"), strict=False):
        ax.semilogy(np.sort(apart(name, exact)), style, label=name)
    ax.axhline(TOLERANCE, color="black", label="what we allow")
    ax.axhline(ROUNDING, color="gray", linestyle="-.", label="rounding of one number")
    ax.set(xlabel="pictures, best first", ylabel="difference from NumPy in float64, relative")
    ax.legend(ncols=2, loc="upper left", bbox_to_anchor=(0, 0.95))
for name in here:
    lesson.compare(f"{name} minus NumPy, at most", apart(name, exact).max(), 0, TOLERANCE)
classes = [answers[name]["outputs"].argmax(1) for name in here]
lesson.claim(
    f"all give the same class to every picture, {reached:.1%} of them right",
    all(np.array_equal(classes[0], each) for each in classes)
    and np.isclose(np.mean(classes[0] == data.test.y), reached),
)

# %% [markdown]
# ## Trained here, trained on there: one loss curve
#
# Training moves, too: each backend goes on from the same weights with the same batches, by plain
# gradient descent. Every step adds its own rounding to the weights, and steps build on each other,
# so in the long run curves part. Where they part at once, something else is wrong: a seed, a
# default, the order of the batches.

# %%
lesson.section()
curves = {name: answers[name]["losses"] for name in here}
with lesson.figure("Whoever trains on, the losses are the same", columns=2) as axes:
    for name, style in zip(here, ("-", "--", ":"), strict=False):
        axes[0].plot(curves[name], style, label=name)
        if name != here[0]:
            axes[1].semilogy(np.abs(curves[name] - curves[here[0]]) + 1e-9, "o", label=name)
    axes[0].set(xlabel="step", ylabel="loss of the batch (nats)", ylim=(0, None))
    axes[0].legend(loc="upper right")
    axes[1].set(xlabel="step", ylabel=f"difference from {here[0]} (nats)", ylim=(5e-10, 1e-3))
    axes[1].legend()
spread = max(np.abs(curves[name] - curves[here[0]]).max() for name in here)
lesson.compare(f"losses of {STEPS} steps, largest difference", spread, 0, within=1e-4, unit="nats")

# %% [markdown]
# ## Exported: a file that needs none of your code
#
# A saved Keras model needs Keras, and whatever layers of yours it has. An **export** holds the
# computation itself: SavedModel for TensorFlow's servers, LiteRT for phones and small boards,
# StableHLO for compilers such as XLA. (Keras also writes ONNX, `net.export(path, format="onnx")`,
# with `tf2onnx` or PyTorch's exporter installed.) We read each in a process that has no model code,
# and compare. None of the formats is a pickle: those run whatever code their author put in.

# %%
lesson.section()
written = backends.formats()
ask(written)
numbers = net.count_params()
with lesson.figure("Exported and read again: the same to rounding", columns=2) as axes:
    for ax, heights, label in (
        (axes[0], [apart(name, exact).max() for name in written], "largest relative difference"),
        (axes[1], [answers[name]["bytes"] / (4 * numbers) for name in written],
         "size in that of the weights"),
    ):  # fmt: skip
        ax.bar(written, heights, color=["C0", "C1", "C2"][: len(written)])
        ax.set(xlabel="format", ylabel=label)
        ax.axhline(TOLERANCE if ax is axes[0] else 1, color="black", linestyle="--")
    axes[0].set(yscale="log", ylim=(1e-8, 1e-4), title="line: what we allow")
    axes[1].set(title="line: weights alone")
for name in written:
    lesson.compare(f"{name} minus NumPy, at most", apart(name, exact).max(), 0, TOLERANCE)
lesson.claim(
    f"every file holds at least the {numbers:,} weights, and no reader had the model's code",
    all(answers[name]["bytes"] >= 4 * numbers and not answers[name]["code"] for name in written),
)

# %% [markdown]
# ## Fast is what was compiled: layer by layer is the slowest way
#
# One picture at a time, as an instrument delivers them. Called **layer by layer**, Python starts
# each operation, and for a small network that is nearly all of the time; so does
# `predict_on_batch` on PyTorch. **Compiled**, the network is one call, and an export has no Keras
# around it, either. Times are the best of many, and ratios hold for this machine and this network:
# in large batches arithmetic counts, and the ways come together.

# %%
lesson.section()
ways = {
    "layer by layer": {name: answers[name]["seconds_called"] for name in here},
    "predict_on_batch": {name: answers[name]["seconds"] for name in here},
    "exported": {name: answers[name]["seconds"] for name in written},
}
slowest = max(max(times.values()) for times in ways.values())
with lesson.figure("One picture: compiled calls leave Python behind") as ax:
    for way, times in ways.items():
        faster = [slowest / seconds for seconds in times.values()]
        bars = ax.barh([f"{name}, {way}" for name in times], faster)
        ax.bar_label(bars, [f" {ratio:,.0f}" for ratio in faster])
    ax.set(xlabel="times as fast as the slowest", xscale="log", xlim=(0.5, 3 * ax.get_xlim()[1]))
    ax.set_ylabel("way to call the same model")
    ax.invert_yaxis()
for name in written:
    writer = next(backend for backend in here if name in backends.WRITES[backend])
    gain = answers[writer]["seconds_called"] / answers[name]["seconds"]
    lesson.claim(f"{name} is {gain:.0f} times as fast as {writer} layer by layer", gain > 2)

# %% [markdown]
# ## Exercises, and where to go next
#
# The exercises are printed below; `tfsci lessons check` tells whether you are right. The files lie
# in the folder `handed-over` of this run. Change this lesson and run it again.
#
# Next: `10_transformers.py` takes apart the network that language models are made of.

# %%
lesson.end()
