# %% [markdown]
# # 6 · AI ethics and responsible data science
#
# **You will learn** whether a model is right as often as it says, and to mend it; to see that it
# knows nothing of what it is shown; what becomes of a group that the training set hardly holds, and
# what helps; what changes when the world does; and to write down what others must know.
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; no download.

# %%
from tfsci import lessons

lesson = lessons.start("06")

import keras
import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from tfsci import models, plots
from tfsci.data import catalog
from tfsci.data.source import Split
from tfsci.training import calibration, cards, fit_classifier

rng = np.random.default_rng(0)

# %% [markdown]
# ## Confident and wrong: calibration, and one number that mends it
#
# Two classes of samples, normally distributed about $-\mu$ and $+\mu$ with $|\mu| = 1$. The true
# probability of a class is known, $P(1 \mid x) = 1/(1 + e^{-2 \mu \cdot x})$, and so is the best
# accuracy, $\Phi(1)$. A network trained for long on few samples says "surely" far too often. We
# divide its logits by a **temperature**, fitted on samples that it has not seen: no decision
# changes, only how sure it is. Confidence should then lie on the diagonal.

# %%
lesson.section()
FEATURES, TESTS = 10, lesson.choose(10_000, quick=4_000)
mu = np.ones(FEATURES) / np.sqrt(FEATURES)


def sampled(count, share=0.5, offset=0.0):
    """Samples of which a share is of class 1; the offset moves both classes along the mean."""
    y = (rng.random(count) < share).astype("int32")
    x = rng.normal(size=(count, FEATURES)) + (2 * y[:, None] - 1 + offset) * mu
    return Split(x.astype("float32"), y)


def trained(split, variant, epochs, seed=0, **options):
    """Trains a network, and returns what gives its logits."""
    keras.utils.set_random_seed(seed)
    shape = {"input_shape": split.x.shape[1:], "num_classes": int(split.y.max()) + 1}
    net = models.build("mlp", variant=variant, **shape)
    fit_classifier(net, split, epochs, seed=seed, **options)
    return lambda x: np.asarray(net(x), "float64")


held, test = sampled(2000), sampled(TESTS)
sure = trained(sampled(150), "small", 100)
temperature = calibration.fit_temperature(sure(held.x), held.y)
versions = {"as trained": 1.0, "after temperature scaling": temperature}
told = {name: calibration.probabilities(sure(test.x), t) for name, t in versions.items()}
true = 1 / (1 + np.exp(-2 * test.x @ mu))
with lesson.figure("One number makes an overconfident network more honest", columns=2) as axes:
    for name, marker in zip(told, "os", strict=True):
        found = calibration.reliability(told[name], test.y)
        axes[0].plot(found.confidence, found.accuracy, marker + "-", label=name)
        axes[1].plot(true[:400], told[name][:400, 1], marker, alpha=0.5, markersize=5)
    for ax in axes:
        ax.plot([0, 1], [0, 1], "--", color="black", label="honest")
    axes[0].set(xlabel="how sure it says it is", ylabel="how often it is right", xlim=(0.5, 1.02))
    axes[1].set(xlabel="true probability", ylabel="probability that it says")
    axes[0].legend(loc="upper left")
before, after = (calibration.reliability(p, test.y).error for p in told.values())
off = [np.abs(p[:, 1] - true).mean() for p in told.values()]
right = [np.mean(p.argmax(1) == test.y) for p in told.values()]
lesson.claim(
    f"temperature {temperature:.1f}: calibration error {before:.3f} to {after:.3f}",
    after < before / 2,
)
lesson.claim(f"distance to the truth: {off[0]:.3f}, then {off[1]:.3f}", off[1] < off[0])
same = right[0] == right[1] <= norm.cdf(1) + 1.5 / np.sqrt(TESTS)
lesson.claim(f"no decision changes: {right[1]:.1%} right, at best {norm.cdf(1):.1%}", same)

# %% [markdown]
# ## Several networks disagree where nobody taught them
#
# A classifier must name one of its classes, whatever it sees. Train several from different first
# weights: their mean has an entropy; a part of it is what each is unsure of, and the rest is their
# **disagreement**, $H[\bar p] - \overline{H[p]}$. We teach eight of the ten digits and show the
# other two besides. By Jensen's inequality no disagreement is negative, and the mean's
# cross-entropy is at most the members' mean.

# %%
lesson.section()
digits = catalog.load("digits")
learn, seen = (Split(s.x[s.y < 8], s.y[s.y < 8]) for s in (digits.train, digits.test))
strange = np.concatenate([s.x[s.y > 7] for s in (digits.validation, digits.test)])
members = range(lesson.choose(8, quick=4))
nets = [trained(learn, "small", 12, seed=m) for m in lesson.track(members, "Training an ensemble")]


def disagreement(x):
    p = np.stack([calibration.probabilities(net(x)) for net in nets])  # (members, samples, 8)
    return calibration.entropy(p.mean(0)) - calibration.entropy(p).mean(0), p


(inside, p), (outside, _) = disagreement(seen.x), disagreement(strange)
area = roc_auc_score(np.repeat([0, 1], [len(inside), len(outside)]), np.append(inside, outside))
with lesson.figure("They agree on digits they learnt, and not on digits they never saw") as ax:
    bins = np.linspace(0, outside.max(), 25)
    for values, name in ((inside, "digits like those learnt"), (outside, "digits never seen")):
        share = np.full(len(values), 100 / len(values))
        ax.hist(values, bins, weights=share, alpha=0.7, label=f"{name}: mean {values.mean():.3f}")
    ax.set(xlabel="disagreement of the ensemble (nats)", ylabel="share of the digits (%)")
    ax.legend()
together = calibration.nats(p.mean(0), seen.y)
alone = np.mean([calibration.nats(q, seen.y) for q in p])
lesson.claim("no disagreement is negative", min(inside.min(), outside.min()) > -1e-9)
lesson.claim(f"together {together:.3f} nats, alone {alone:.3f}", together <= alone + 1e-9)
lesson.claim(f"disagreement tells strange digits: area under the ROC curve {area:.2f}", area > 0.8)

# %% [markdown]
# ## A group that the training set hardly holds
#
# Two instruments measure the same two classes. That of group B reads higher, by an offset $b$, and
# few samples are B's. A model that is not told the group puts one threshold $t$ for all; a group of
# offset $c$ then has $\frac12[\Phi(1 - t + c) + \Phi(1 + t - c)]$ right. Two remedies: give B's
# samples the **weight** that they lack (or collect more), or a **threshold for each group**. The
# first makes the best of one threshold, $t = b/2$, at A's expense; it can't make up for what the
# model is not told. Whether you may use the group is a question that no formula answers.

# %%
lesson.section()
SHARE, OFFSETS = 0.05, {"group A": 0.0, "group B": 1.5}
count = lesson.choose(4000, quick=2000)


def accuracy_at(threshold, offset):
    return (norm.cdf(1 - threshold + offset) + norm.cdf(1 + threshold - offset)) / 2


few = [sampled(int(count * (1 - SHARE))), sampled(int(count * SHARE), offset=OFFSETS["group B"])]
more = [few[0], sampled(len(few[0].y), offset=OFFSETS["group B"])]
again = rng.choice(len(few[1].y), len(few[0].y))  # a sample drawn n times has the weight n
weighted = [few[0], Split(few[1].x[again], few[1].y[again])]
sets = {"as they are": few, "reweighted": weighted, "more collected": more}
scores = {}  # the logit of class 1 less that of class 0
for name in lesson.track(list(sets), "Training for two groups"):
    joined = Split(*map(np.concatenate, zip(*sets[name], strict=True)))
    net = trained(joined, "linear", 8, learning_rate=0.02)
    scores[name] = lambda x, net=net: net(x) @ [-1, 1]
bars = {name: {} for name in (*scores, "a threshold each")}
for group, offset in OFFSETS.items():
    chosen, judged = sampled(2000, offset=offset), sampled(TESTS, offset=offset)
    for name, score in scores.items():
        bars[name][group] = np.mean((score(judged.x) > 0) == judged.y)
    told = scores["as they are"](chosen.x)
    places = np.quantile(told, np.linspace(0.3, 0.7, 41))
    threshold = max(places, key=lambda t: np.mean((told > t) == chosen.y))
    right = (scores["as they are"](judged.x) > threshold) == judged.y
    bars["a threshold each"][group] = right.mean()
with lesson.figure("One threshold for all can't serve both; one for each can") as ax:
    plots.grouped_bars(bars, dict.fromkeys(bars, norm.cdf(1)), ax=ax)
    ax.set_xlabel("what was done about the small group")
plain, mended = bars["as they are"], bars["a threshold each"]
a, b = plain.values()
lesson.claim(f"as they are, A has {a:.0%} right and B {b:.0%}", b < a - 0.1)
within = lesson.choose(0.045, quick=0.06)
for group, offset in OFFSETS.items():
    known = accuracy_at(OFFSETS["group B"] / 2, offset)
    for name in ("reweighted", "more collected"):
        lesson.compare(f"{name}, {group}", bars[name][group], known, within)
    lesson.compare(f"a threshold each, {group}", mended[group], norm.cdf(1), within=0.03)

# %% [markdown]
# ## The world shifts: what was calibrated is so no more
#
# The calibrated network of the first section learnt that both classes are as frequent. Where it is
# used, the second has another share $\pi$. Nothing else changed, so Bayes' rule tells what to do:
# add $\ln \frac{\pi}{1-\pi}$ to its logit. The best accuracy at each share is known:
# $\pi\,\Phi(1 - t) + (1 - \pi)\,\Phi(1 + t)$ with $t = \frac12 \ln\frac{1-\pi}{\pi}$.

# %%
lesson.section()
shares = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5])
cut = np.log((1 - shares) / shares) / 2
best = shares * norm.cdf(1 - cut) + (1 - shares) * norm.cdf(1 + cut)
results = {"as calibrated": [], "corrected": []}
for share in lesson.track(shares, "Shifting the world"):
    there = sampled(TESTS, share)
    for name, shift in zip(results, (0, np.log(share / (1 - share))), strict=True):
        p = calibration.probabilities(sure(there.x) / temperature + [0, shift])
        results[name].append(np.mean(p.argmax(1) == there.y))
with lesson.figure("Where a class is rarer than in training, correct for it") as ax:
    for name, values in results.items():
        ax.plot(shares, values, "o-", label=name)
    ax.plot(shares, best, "--", color="black", label="best possible")
    ax.set(xlabel="share of class 1 where the model is used", ylabel="accuracy", ylim=(0.6, 1.02))
    ax.legend()
stale, moved = (values[0] for values in results.values())
lesson.claim(
    f"at a share of {shares[0]}: {stale:.0%} right, corrected {moved:.0%}, at best {best[0]:.0%}",
    stale + 0.05 < moved <= best[0] + 1.5 / np.sqrt(TESTS),
)

# %% [markdown]
# ## Write down what others must know
#
# The average over all samples hides the small group: it weighs as little as it is rare. A **data
# sheet** says where the data come from and what they lack, a **model card** what the model is for,
# and not for, with results for each group. We write both for the model of the two instruments, and
# into them the numbers that we have just measured.

# %%
lesson.section()
average = (1 - SHARE) * a + SHARE * b
shown = {k: {"accuracy": v} for k, v in {"all": average, **plain}.items()}
with lesson.figure("The average looks well, and hides the small group") as ax:
    plots.grouped_bars(shown, dict.fromkeys(shown, norm.cdf(1)), ax=ax)
    ax.set_xlabel("whom one asks about")
about = {
    "motivation": "Simulated for a lesson; no person is in it.",
    "composition": f"{count} samples of {FEATURES} features; {SHARE:.0%} are group B's.",
    "collection": "Normal distributions; group B's instrument reads higher.",
    "labels": "Two classes, equally frequent, without errors.",
    "gaps": "Few of group B; no other groups, no other shares of the classes.",
}
answers = {
    "model": "Logistic regression; the threshold is chosen for each group.",
    "intended use": "To learn what a group's share does.",
    "not for": "Samples of an unknown instrument, or classes of other shares.",
    "training data": "See `data_sheet.md`.",
    "limits": f"With one threshold for both, group B has {plain['group B']:.0%} right.",
}
measured = {g: {"accuracy": mended[g], "possible": norm.cdf(1)} for g in mended}
sheet = cards.data_sheet("two instruments", about)
card = cards.model_card("linear classifier of two instruments", answers, measured)
for name, text in (("data_sheet.md", sheet), ("model_card.md", card)):
    (lesson.output / name).write_text(text, encoding="utf-8")
    lesson.say(f"→ {lesson.output / name}")
lesson.claim(f"on average {average:.0%} are right, in group B {b:.0%}", average > b + 0.1)

# %% [markdown]
# ## Exercises, and where to go next
#
# Next: `07_neural_operators.py` learns an operator, and knows the exact solution.

# %%
lesson.end()
