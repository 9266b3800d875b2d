# %% [markdown]
# # 2 · Introduction to deep learning
#
# **You will learn** how a model learns: by walking down the slope of its error. From a line to a
# neuron, from neurons to a network, every gradient written out in NumPy and equal to Keras' own;
# then what batches, epochs and early stopping are for.
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; no download.

# %%
from tfsci import lessons

lesson = lessons.start("02")

import keras
import numpy as np
import tensorflow as tf
from scipy import stats

from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.models import build
from tfsci.plots.curves import learning_curve
from tfsci.simulate import rings
from tfsci.training import evaluate, fit

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)

# %% [markdown]
# ## A line learns by walking downhill, and we know how fast
#
# A spring is stretched by forces $x$; its length is about $w x + b$. Start with any $w$ and $b$,
# and walk against the gradient of the mean squared error. Least squares knows where this ends, and
# the curvatures $\lambda$ of the error, eigenvalues of its second derivatives, know the way: a step
# of **learning rate** $\eta$ leaves $1 - \eta \lambda$ of what is missing in each direction. Above
# $\eta = 2 / \lambda_{\max}$ every step overshoots by more than the last.

# %%
lesson.section()
rows = np.vander(np.linspace(0, 1, 50), 2)  # a force and 1 in each
length = rows @ (2, 1) + 0.1 * rng.normal(size=len(rows))
least_squares = np.linalg.lstsq(rows, length, rcond=None)[0]
curvatures, directions = np.linalg.eigh(2 * rows.T @ rows / len(rows))
limit, steps, ends = 2 / curvatures.max(), np.arange(301), []
with lesson.figure("Each step takes a share of the error away, unless it is too long") as ax:
    for share in (0.1, 0.95, 1.02):
        at, missing = np.zeros(2), []
        for _ in steps:
            missing.append(np.linalg.norm(at - least_squares))
            at = at - share * limit * 2 * rows.T @ (rows @ at - length) / len(rows)
        left = (1 - share * limit * curvatures) ** steps[:, None] * (least_squares @ directions)
        known = np.linalg.norm(left, axis=1)
        ax.semilogy(steps, missing, label=f"learning rate {share} × the limit")
        ax.semilogy(steps[::15], known[::15], "o", color="black", markersize=6)
        ends.append((missing[-1], known[-1]))
    ax.set(xlabel="step", ylabel="distance from least squares")
    ax.legend(title="dots: known in advance")
lesson.compare("distance left, a tenth of the limit", *ends[0], within=1e-9)
lesson.claim("below the limit it arrives, above it leaves", ends[1][0] < 1e-6 < 100 < ends[2][0])

# %% [markdown]
# ## One neuron is a line, bent into a probability
#
# Two kinds of particles leave two signals $x$ each. A **neuron** weighs them, adds a bias, squashes
# the sum, and has a probability of the second kind: $p = 1 / (1 + e^{-(w \cdot x + b)})$. Its loss
# is the **cross-entropy**, the mean of $-\ln p$ of what was true, with the gradient $(p - y)\, x$.
# Of two Gaussian clouds apart by $d$ nobody tells more than $\Phi(|d|/2)$ right; $w = d$ does.

# %%
lesson.section()
apart = np.array([1.5, 1.0])
y = rng.integers(0, 2, 24_000)
x = rng.normal(size=(y.size, 2)) + (y - 0.5)[:, None] * apart
(x, fresh_x), (y, fresh_y) = np.split(x, [4000]), np.split(y, [4000])
w, b = np.zeros(2), 0.0
for _ in range(200):
    p = 1 / (1 + np.exp(-(x @ w + b)))
    w, b = w - 0.5 * (p - y) @ x / len(y), b - 0.5 * np.mean(p - y)
with lesson.figure("One neuron finds the best line between two clouds") as ax:
    for kind, name in enumerate(("first kind", "second kind")):
        ax.plot(*x[y == kind][:400].T, "o", markersize=6, alpha=0.5, label=name)
    ax.axline((0, -b / w[1]), slope=-w[0] / w[1], color="C2", label="even odds, by the neuron")
    ax.axline((0, 0), slope=-apart[0] / apart[1], color="black", ls="--", label="in truth")
    ax.set(xlabel="signal A", ylabel="signal B", xlim=(-5, 9), ylim=(-4, 4))
    ax.legend(loc="center right")
right = np.mean((fresh_x @ w + b > 0) == fresh_y)
lesson.compare("accuracy", right, stats.norm.cdf(np.linalg.norm(apart) / 2), 0.012)
lesson.compare("length of the weights", np.linalg.norm(w), np.linalg.norm(apart), 0.2)

# %% [markdown]
# ## Without a bend, layers add nothing; the wrong bend silences them
#
# A line of a line is a line: layers need something bent between them, an **activation**. Errors
# travel back through its slope, once a layer. A sigmoid's is at most $1/4$: many layers down, next
# to nothing arrives. A ReLU's is one or zero, and with random weights of variance $2/n$ (He et al.)
# the mean square of what travels back stays. A **maxout** is the largest of several lines.

# %%
lesson.section()
activations = {  # each with its slope, told from its value
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a**2),
    "relu": (lambda z: np.maximum(z, 0), lambda a: np.where(a > 0, 1, 0)),
    "leaky_relu": (lambda z: np.maximum(z, 0.2 * z), lambda a: np.where(a > 0, 1, 0.2)),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(z)), lambda a: np.where(a > 0, 1, a + 1)),
}
z, off = tf.linspace(-3.0, 3.0, 600), []
maxout = np.max([t * z - t**2 / 2 for t in range(-3, 4)], axis=0)  # tangents of a parabola
travels = {"relu": [], "sigmoid": []}
for name in 8 * list(travels):
    deep = build("mlp", input_shape=(256,), num_classes=2, units=20 * [256], activation=name)
    with tf.GradientTape() as tape:
        logits = deep(rng.normal(size=(1, 256)))
    sums = tape.gradient(logits, [layer.bias.value for layer in deep.layers[2:-1]])
    squares = np.mean(np.square(sums, dtype=float), axis=1)[::-1]  # the last layer comes first
    travels[name].append(squares / squares[0])
relu, sigmoid = (np.mean(lines, 0) for lines in travels.values())
with lesson.figure("A sigmoid swallows the error on its way back, a ReLU does not", 1, 2) as axes:
    for name, (bend, slope) in activations.items():
        with tf.GradientTape() as tape:
            tape.watch(z)
            theirs = getattr(keras.activations, name)(z)
        off += [bend(z) - theirs, slope(bend(z)) - tape.gradient(theirs, z)]
        axes[0].plot(z, bend(z), label=name.replace("_", " "))
    axes[0].plot(z, maxout, "k:", label="maxout of seven lines")
    axes[0].set(xlabel="sum of a neuron", ylabel="what it puts out", ylim=(-1.2, 4.5))
    axes[1].semilogy(sigmoid, label="sigmoid")
    axes[1].semilogy(relu, color="C2", label="ReLU")
    axes[1].semilogy(0.125 ** np.arange(20), "k--", label="all that sigmoids can pass")
    axes[1].set(xlabel="layers on the way back", ylabel="mean square of the gradient")
    [ax.legend() for ax in axes]
lesson.claim("five bends and slopes are those of Keras", np.max(np.abs(off)) < 1e-6)
lesson.compare("maxout below its parabola, at most", np.max(z**2 / 2 - maxout), 1 / 8, 0.002)
lesson.compare("mean square behind all ReLU layers", relu[-1], 1, 0.5)
lesson.claim(f"behind as many sigmoids: {sigmoid[-1]:.0e}", sigmoid[-1] < 0.125**19)

# %% [markdown]
# ## Back-propagation: the chain rule, from the loss to the first weight
#
# Two kinds again, with one centre, the second spread wider: a line is of little use, a circle is
# best. Two layers draw one: $h = \max(0, x W_1 + b_1)$, then a **softmax** of $h W_2 + b_2$ gives
# probabilities. The gradient of a layer's sums gives those of its weights and of the layer below.

# %%
lesson.section()
TRAIN, VALIDATE, FRESH = 2048, 512, 20_000  # 80/20, and many to see how good it has become
train, check, fresh = (Split(*rings.generate(range(n), n)) for n in (TRAIN, VALIDATE, FRESH))


def forward_and_back(x, y, weights):
    w1, b1, w2, b2 = weights
    hidden = np.maximum(0, x @ w1 + b1)
    odds = np.exp(hidden @ w2 + b2)
    p = odds / odds.sum(1, keepdims=True)
    logits = (p - np.eye(2)[y]) / len(y)  # from here on gradients: of the softmax's inputs,
    sums = logits @ w2.T * (hidden > 0)  # of the sums inside the ReLU, and of all weights
    return p, [x.T @ sums, sums.sum(0), hidden.T @ logits, logits.sum(0)]


network = build("mlp", input_shape=(2,), num_classes=2, units=(16,), activation="relu")
start = weights = network.get_weights()
crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
with tf.GradientTape() as tape:
    value = crossentropy(train.y, network(train.x))
taped = tape.gradient(value, [v.value for v in network.trainable_variables])
losses, pairs = [], zip(forward_and_back(*train, start)[1], taped, strict=True)
by_hand, taped = np.concatenate([np.stack([np.ravel(h), np.ravel(t)]) for h, t in pairs], 1)
for _ in range(lesson.choose(1500, quick=700)):
    p, gradients = forward_and_back(*train, weights)
    losses.append(-np.mean(np.log(p[np.arange(TRAIN), train.y])))
    weights = [w - 0.2 * g for w, g in zip(weights, gradients, strict=True)]
chance = forward_and_back(*fresh, weights)[0][:, 1]
radius, right = np.linalg.norm(fresh.x, axis=1), np.mean((chance > 0.5) == fresh.y)
with lesson.figure("By hand: the gradients of the tape, and a circle learnt", columns=2) as axes:
    axes[0].plot(taped, by_hand, "o", label="one weight each")
    axes[0].axline((0, 0), slope=1, color="black", zorder=0, label="equal")
    axes[0].set(xlabel="gradient, TensorFlow's tape", ylabel="gradient, by hand")
    axes[1].plot(radius[:2000], chance[:2000], ".", alpha=0.5, label="two layers")
    axes[1].plot(np.sort(radius), rings.probability(np.sort(radius)), "k--", label="exact")
    axes[1].set(xlabel="distance from the centre", ylabel="chance of the wide kind", xlim=(0, 7))
    [ax.legend() for ax in axes]
lesson.claim("gradients by hand are those of the tape", np.allclose(by_hand, taped, atol=1e-6))
lesson.compare("accuracy of two layers, by hand", right, rings.best_accuracy(), 0.02)
lesson.claim(f"the best line has {rings.best_line():.1%}", right > rings.best_line() + 0.1)

# %% [markdown]
# ## The same in Keras; small batches learn more from the same reading
#
# `fit` with all data in one batch walks the very path of our loop. **Stochastic** gradient descent
# takes a batch at a time: rougher gradients, but many steps (**iterations**) in one reading of the
# data, an **epoch**.
#
# Who knows PyTorch: its data set and loader are our `Split` and `pipeline.training`; its model is
# `build`; its optimizer is what `compile` takes; its training loop, with `zero_grad`, `backward`
# and `step`, is inside `fit`.

# %%
lesson.section()
RUTGERS_STEPS = 32  # 80/20, batches of 64 of 2,048: Rutgers and TACC's introduction to AI
epochs, curves, floor = 30, {}, rings.loss_floor()
for batch in lesson.track([TRAIN, 64], "Training networks"):
    network.set_weights(start)
    network.compile(keras.optimizers.SGD(0.2), crossentropy)
    batches = pipeline.training(train, batch)
    curves[batch] = [row["loss"] for row in fit(network, batches, epochs)]
with lesson.figure("Same data, same rate, many small steps: a lower loss sooner") as ax:
    ax.plot(losses[:epochs], "o", color="black", label="by hand, all data in a step")
    for batch, line in curves.items():
        ax.plot(line, label=f"Keras, batches of {batch:,}")
    ax.axhline(floor, color="black", linestyle="--", label="best possible")
    ax.set(xlabel="readings of the data (epochs)", ylabel="training loss (nats)")
    ax.legend()
few, many = curves.values()
lesson.claim("the losses by hand are those of Keras", np.allclose(few, losses[:epochs], atol=1e-4))
lesson.compare("steps in an epoch, batches of a Rutgers course", batches.steps, RUTGERS_STEPS, 0)
sooner = np.argmax(np.array(many) < few[-1]) + 1
lesson.claim(f"small batches need {sooner} epochs for what all at once do in {epochs}", sooner < 10)

# %% [markdown]
# ## Early stopping: the validation loss says when it is enough
#
# A network of many weights goes on learning when all that is left in few samples is chance: the
# training loss falls, the validation loss turns. **Early stopping** ends the training when the
# latter has not fallen for a while, and takes back the weights of the best epoch.

# %%
lesson.section()
few, watched = pipeline.training(train.first(100), 20), pipeline.evaluation(check, VALIDATE)
wide = build("mlp", input_shape=(2,), num_classes=2, units=(256,), activation="relu")
wide.compile(keras.optimizers.Adam(0.005), crossentropy)
stop = keras.callbacks.EarlyStopping(patience=40, restore_best_weights=True)
rows = fit(wide, few, 300, watched, callbacks=[stop])
best, late = min(rows, key=lambda row: row["val_loss"]), rows[-1]["val_loss"]
with lesson.figure("The validation loss turns while the training loss still falls") as ax:
    ax.axvline(best["epoch"], color="C2", label="these weights are kept")
    learning_curve(rows, known_answer=floor, ax=ax)
kept, told = (evaluate(wide, b)["loss"] for b in (watched, pipeline.evaluation(fresh, 500)))
lesson.compare("validation loss of the weights kept", kept, best["val_loss"], 1e-5, "nats")
lesson.claim(f"in the last epoch, {len(rows)}, it was {late:.3f} nats", late > kept + 0.02)
lesson.claim(f"on fresh data: {told:.3f} nats, at best {floor:.3f}", told > floor)

# %% [markdown]
# ## Exercises, and where to go next
#
# `tfsci lessons check` tells whether you are right. Change this file, or the notebook's cells
# (`tfsci lessons notebook 02`), and run it again. Next: `03_data_pipelines.py`.

# %%
lesson.end()
