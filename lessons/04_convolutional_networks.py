# %% [markdown]
# # 4 · Convolutional networks
#
# **You will learn** what convolution and pooling do, by hand; why sharing weights over a picture
# helps; what augmentation and shortcuts are for; and to find out what limits a model: capacity,
# data, labels or imbalance. (If you know PyTorch: its data set and model are here a `Split` and
# `models.build`, its optimizer and training loop `training.fit_classifier`.)
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; no download.

# %%
from tfsci import lessons

lesson = lessons.start("04")

import keras
import numpy as np

from tfsci import models, plots, training
from tfsci.data import augment, catalog
from tfsci.data.source import Split
from tfsci.models import cost
from tfsci.simulate import damage

# %% [markdown]
# ## A convolution is one small window, moved over the whole picture
#
# Each output pixel is a weighted sum over a window, with the same weights everywhere: shift the
# picture to each place $(i, j)$ of the window, multiply its channels by a matrix $K_{ij}$, add up.
# Pooling keeps the largest of each block of pixels. We write both in NumPy and ask Keras. What
# moves in the picture moves in the output: a house is a house in any corner.

# %%
lesson.section()


def convolve(x, kernel):
    """Pictures (B, H, W, C) and a kernel (h, w, C, K) to (B, H − h + 1, W − w + 1, K)."""
    height, width = np.subtract(x.shape[1:3], kernel.shape[:2]) + 1
    window = np.ndindex(kernel.shape[:2])
    return sum(x[:, i : i + height, j : j + width] @ kernel[i, j] for i, j in window)


def pool(x):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


tile, layer = damage.generate([38], size=130)[0], keras.layers.Conv2D(4, 3, use_bias=False)
theirs, kernel = layer(tile), layer.get_weights()[0]
ours, pooled = convolve(tile, kernel), keras.layers.MaxPooling2D(2)(theirs)
lesson.compare("convolution, largest difference to Keras", np.abs(ours - theirs).max(), 0, 1e-5)
lesson.compare("pooling, largest difference to Keras", np.abs(pool(ours) - pooled).max(), 0, 1e-5)
moved = convolve(np.roll(tile, 20, axis=2), kernel)[:, :, 20:]
alike = np.allclose(moved, ours[:, :, :-20], atol=1e-5)
lesson.claim("what moves in the picture moves alike in the output", alike)
edge = np.tile(np.reshape([-1.0, 0.0, 1.0], (1, 3, 1, 1)), (3, 1, 3, 1))
(edges,) = found = np.abs(convolve(tile, edge))
with lesson.figure("One small window finds every upright edge in the picture", columns=3) as axes:
    shown = {"a picture": tile[0], "right less left": edges, "pooled twice": pool(pool(found))[0]}
    plots.show_pictures(shown, axes)

# %% [markdown]
# ## Sharing weights beats having many, and augmentation beats knowing by heart
#
# Houses after a storm, simulated. Each picture has a true severity; an annotator sees it with an
# error of standard deviation $\sigma$ and grades it. So even who knows the severity can't always
# guess the grade: the best possible accuracy is known, $E_s[\max_k P(k \mid s)]$.
# An MLP has weights for each pixel; a CNN shares them, and averages over the picture at its end.
# A storm does not care where north is: flips and quarter turns make eight pictures of one.

# %%
lesson.section()
NOISE, UNSEEN = 0.1, 10**6 + np.arange(lesson.choose(2000, quick=300))
COUNT, BATCH, EPOCHS = lesson.choose((2000, 50, 12), quick=(500, 25, 5))


def photographs(**options):
    """Pictures to train on, and fresh ones; centred, which eases training."""
    options = {"size": 32, "classes": 3, "annotator_noise": NOISE} | options
    made = [damage.generate(numbers, **options) for numbers in (np.arange(COUNT), UNSEEN)]
    return [Split(5 * x - 2, y) for x, y in made]


def network(kind="cnn", classes=3, **options):
    keras.utils.set_random_seed(0)
    if kind == "cnn":
        options = {"variant": "pooled", "channels": (16, 32, 64)} | options
    return models.build(kind, input_shape=(32, 32, 3), num_classes=classes, **options)


def accuracies(net, *splits):
    return [np.mean(np.argmax(net(split.x), axis=1) == split.y) for split in splits]


train, fresh = photographs()
best, spread = damage.best_accuracy(3, NOISE), 1.5 / np.sqrt(len(UNSEEN))
turned, curves, scores = {"augment": augment.parse("flip,rotate")}, {}, {}
nets = {"MLP": network("mlp"), "CNN": network(), "CNN, augmented": network()}
for name, net in lesson.track(list(nets.items()), "Training three networks"):
    options = turned if "augmented" in name else {}
    curves[name] = training.fit_classifier(net, train, EPOCHS, BATCH, validation=fresh, **options)
    scores[name] = accuracies(net, train, fresh)
with lesson.figure("Fewer weights, shared, see more", columns=3) as axes:
    for ax, (name, rows) in zip(axes, curves.items(), strict=True):
        plots.learning_curve(rows, "accuracy", best, ax)
        ax.set(title=f"{name}\n{nets[name].count_params():,} weights", ylim=(0, 1.05))
(_, by_mlp), (known, by_cnn), healthy = scores.values()
sees = by_mlp + 0.08 < by_cnn < best + spread
lesson.claim(f"fresh pictures: MLP {by_mlp:.0%}, CNN {by_cnn:.0%}; at best {best:.0%}", sees)
by_heart, left = known - by_cnn, healthy[0] - healthy[1]
lesson.claim(f"by heart: {by_heart:.0%}; augmented: {left:.0%}", left < by_heart - 0.03)

# %% [markdown]
# ## Taught by grades alone, it learns the severity
#
# What has the network learnt? Layer by layer we follow pictures up to the averages. A channel's
# **feature map** shows where it answers. Then we fit a straight line from the averages to the true
# severity, on half of the fresh pictures, and look at the other half.

# %%
lesson.section()
signal, severity = fresh.x, damage.severity(UNSEEN)
for layer in nets["CNN, augmented"].layers[1:-2]:
    signal = layer(signal)
    if layer.name == "activation_1":
        maps = np.asarray(signal)  # (pictures, H/2, W/2, channels)
half, averages = len(UNSEEN) // 2, np.column_stack([signal, np.ones(len(UNSEEN))])
told = averages @ np.linalg.lstsq(averages[:half], severity[:half], rcond=1e-3)[0]
off, likeness = (told - severity)[half:].std(), np.corrcoef(told[half:], severity[half:])[0, 1]
hints, most = np.abs(np.corrcoef(maps.mean((1, 2)).T, severity)[-1, :-1]), np.argmax(severity)
with lesson.figure("The network knows how severe the damage is", columns=3) as axes:
    shown = {"a picture": fresh.x[most] / 5 + 0.4, "a channel": maps[most, ..., hints.argmax()]}
    plots.show_pictures(shown, axes)
    axes[2].plot(severity[half:], told[half:], "o", markersize=4, alpha=0.4)
    axes[2].plot([0, 1], [0, 1], "--", color="black")
    axes[2].set(xlabel="true severity", ylabel="severity read from its averages")
lesson.say(f"It tells the severity to {off:.3f}; the annotator who taught it errs by {NOISE}.")
lesson.claim(f"what it tells goes with the severity: correlation {likeness:.2f}", likeness > 0.8)

# %% [markdown]
# ## Shortcuts let a deep network learn
#
# Each layer passes the gradient on through its weights, and many of them garble it. A **residual**
# block computes $x + f(x)$, and its $f$ starts at zero: the deep network starts as a shallow one.
# The same layers with and without shortcuts, on handwritten digits. Guessing costs $\ln 10$.

# %%
lesson.section()
(depth, epochs), rows = lesson.choose(("34", 4), quick=("18", 1)), {}
for shortcuts in lesson.track([True, False], "Training with and without shortcuts"):
    keras.utils.set_random_seed(0)
    options = {"variant": depth, "width": 8, "shortcuts": shortcuts}
    deep = models.build("resnet", input_shape=(8, 8, 1), num_classes=10, **options)
    rows[shortcuts] = training.fit_classifier(deep, catalog.load("digits").train, epochs)
with lesson.figure(f"The same {depth} layers learn faster with shortcuts") as ax:
    for shortcuts, name in ((True, "with shortcuts"), (False, "without")):
        losses = {row["epoch"]: row["loss"] for row in rows[shortcuts]}
        ax.semilogy(losses.keys(), losses.values(), "o-", label=name)
    ax.axhline(np.log(10), color="black", linestyle="--", label="guessing")
    ax.set(xlabel="epoch", ylabel="training loss (nats)", xticks=range(1, epochs + 1))
    ax.legend()
short, long = (rows[shortcuts][-1]["loss"] for shortcuts in (True, False))
faster = short < long * lesson.choose(0.5, quick=0.95)
lesson.claim(f"the loss falls to {short:.2f} with shortcuts, to {long:.2f} without", faster)
PUBLISHED = 11_689_512  # parameters of the ResNet-18 of He et al. 2016, as torchvision counts
found = cost.sketch("resnet", variant="18", input_shape=(224, 224, 3), num_classes=1000)
lesson.compare("parameters of ResNet-18", found.parameters, PUBLISHED, within=0)

# %% [markdown]
# ## Finer grades, lower accuracy: most of it is the labels'
#
# A course (Rutgers with TACC) trains on photographs of houses after Hurricane Harvey, with two,
# three and five grades of damage, and asks what limits the model. The photographs are not public,
# so we can't say. In our simulation we can: fine grades are hard *for the annotator* too.

# %%
lesson.section()
COURSE = {2: 0.92, 3: 0.72, 5: 0.42}  # what it reports of its own photographs; not reproduced here
right = {3: healthy[1]}
for grades in lesson.track(lesson.choose([2, 5], quick=[2]), "Training with other grades"):
    net, (some, others) = network(classes=grades), photographs(classes=grades)
    training.fit_classifier(net, some, EPOCHS, BATCH, **turned)
    (right[grades],) = accuracies(net, others)
possible = {k: damage.best_accuracy(k, NOISE) for k in sorted(right)}
right = {k: right[k] for k in possible}
with lesson.figure("The finer the grades, the less is possible at all") as ax:
    bars = {k: {"CNN on fresh pictures": share} for k, share in right.items()}
    plots.grouped_bars(bars, possible, ax=ax)
    ax.set_xlabel("number of grades")
for k, share in right.items():
    lesson.say(f"{k} grades: {share:.0%}; the course, of its photographs: {COURSE[k]:.0%}.")
lesson.claim("the finer, the lower", np.all(np.diff(list(right.values())) < 0))
short = max(possible[k] - share for k, share in right.items())
lesson.claim(f"to what is possible, {short:.0%} at most", short < lesson.choose(0.12, quick=0.3))

# %% [markdown]
# ## Four experiments tell four causes apart
#
# Three grades again. We make the network ill in four ways, one at a time, and read the same signs:
#
# - **capacity**, few channels: it can't learn even the pictures it is shown;
# - **data**, few pictures: it knows them by heart, and not the fresh ones;
# - **labels**, a careless annotator: looks like capacity, but no more is possible. A second
#   annotator tells: two of them agree on $E_s[\sum_k P(k \mid s)^2]$;
# - **imbalance**, bad damage is rare: the accuracy looks well, and hides what is missed.

# %%
lesson.section()
CARELESS, RARE, FEW = 0.3, 100.0, 100
careless, rare = photographs(annotator_noise=CARELESS), photographs(imbalance=RARE)
cases = {
    "capacity": (network(channels=(2, 2, 2)), train, fresh, best),
    "data": (network(), train.first(FEW), fresh, best),
    "labels": (network(), *careless, damage.best_accuracy(3, CARELESS)),
    "imbalance": (network(), *rare, damage.best_accuracy(3, NOISE, RARE)),
}
signs, limits = {"healthy": healthy}, {"healthy": best}
for cause in lesson.track(list(cases), "Four experiments"):
    net, some, others, limits[cause] = cases[cause]
    options = {} if cause == "data" else turned  # as many steps for all
    training.fit_classifier(net, some, EPOCHS * COUNT // len(some.y), BATCH, **options)
    signs[cause] = accuracies(net, some, others)
with lesson.figure("Two accuracies beside the best possible name the cause") as ax:
    bars = {cause: {"trained on": seen, "fresh": new} for cause, (seen, new) in signs.items()}
    plots.grouped_bars(bars, limits, ax=ax)
    ax.set_xlabel("what is wrong")
lost = {cause: seen - unseen for cause, (seen, unseen) in signs.items()}
short = {cause: limits[cause] - sign[1] for cause, sign in signs.items()}
lesson.claim(f"data: {lost['data']:.0%} lost", lost["data"] > lost["healthy"] + 0.15)
small, noisy, spared = (short[cause] for cause in ("capacity", "labels", "healthy"))
ill = lost["capacity"] < lost["data"] - 0.1 and small > spared + 0.05
lesson.claim(f"capacity: {lost['capacity']:.0%} lost, {small:.0%} short of the possible", ill)
ill = noisy < small - 0.05 and limits["labels"] < best - 0.1
lesson.claim(f"labels: {noisy:.0%} short of the possible, {limits['labels']:.0%}", ill)
seen = severity + CARELESS * np.random.default_rng(0).normal(size=len(UNSEEN))
agree = np.mean(np.searchsorted(damage.THRESHOLDS[3], seen, side="right") == careless[1].y)
known = damage.label_probabilities(np.linspace(0, 1, 10_001), 3, CARELESS)
lesson.compare("two careless annotators agree", agree, (known**2).sum(1).mean(), 2 * spread)
worst = Split(rare[1].x[rare[1].y == 2], 2)
found, right = accuracies(net, worst, others)
lesson.claim(f"imbalance: {right:.0%} right, of the worst grade {found:.0%}", found < right - 0.05)

# %% [markdown]
# ## Exercises, and where to go next
#
# Printed below. Next: `05_profiling.py` makes a training fast, `06_responsible_ai.py` just.

# %%
lesson.end()
