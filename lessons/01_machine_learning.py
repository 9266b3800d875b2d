# %% [markdown]
# # 1 · Machine learning for science
#
# **You will learn** to fit, validate and test; why a model can be too simple or too flexible, and
# how to see which; to find groups without labels and oddities without examples; and why one never
# peeks at the test set.
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; no download.
#
# Every result below stands beside the best that is possible, because we know where the data come
# from. With your own you won't have that luxury: learn here what to expect.

# %%
from tfsci import lessons

lesson = lessons.start("01")

import numpy as np
from scipy import stats
from sklearn import cluster, covariance, decomposition, ensemble, metrics, neighbors, tree
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfsci.baselines import bias_variance
from tfsci.data import catalog
from tfsci.simulate import ising

rng = np.random.default_rng(0)

# %% [markdown]
# ## Too simple misses the curve, too flexible follows the noise
#
# Someone measures a smooth curve at thirty places, each with noise. We fit polynomials: least
# squares chooses the coefficients, *we* choose the degree. The error on the points that were fitted
# can only fall as the degree grows. The error on fresh points falls, and then rises again: that is
# **overfitting**. No model can be better on fresh points than the noise, $\sigma^2$.

# %%
lesson.section()
NOISE, POINTS = 0.3, 30
places = np.linspace(-1, 1, POINTS)


def truth(x):
    return np.sin(3 * x) + x


def features(x, degree):
    return np.polynomial.legendre.legvander(x, degree)


x = rng.uniform(-1, 1, 10_000)
y, measured = (truth(at) + NOISE * rng.normal(size=at.size) for at in (x, places))
fits = [np.linalg.lstsq(features(places, d), measured, rcond=None)[0] for d in range(21)]
train_error = [np.mean((features(places, d) @ w - measured) ** 2) for d, w in enumerate(fits)]
fresh_error = [np.mean((features(x, d) @ w - y) ** 2) for d, w in enumerate(fits)]
best = int(np.argmin(fresh_error))

grid = np.linspace(-1, 1, 400)
with lesson.figure("The error on fresh data turns; the training error does not", columns=2) as ax:
    ax[0].plot(places, measured, "o", color="black", label="measured")
    for degree, style in ((1, ":"), (best, "-"), (20, "--")):
        ax[0].plot(grid, features(grid, degree) @ fits[degree], style, label=f"degree {degree}")
    ax[0].set(xlabel="x", ylabel="y", ylim=(-2.6, 2.6))
    ax[0].legend()
    ax[1].semilogy(train_error, "o-", label="training")
    ax[1].semilogy(fresh_error, "s-", label="fresh data")
    ax[1].axhline(NOISE**2, color="black", linestyle="--", label="noise: best possible")
    ax[1].set(xlabel="degree of the polynomial", ylabel="mean squared error", ylim=(0.02, 3))
    ax[1].legend()
lesson.say(f"Degree {best} errs by {fresh_error[best]:.3f}; the noise makes {NOISE**2:.3f}.")
lesson.claim("the training error never rises with the degree", np.all(np.diff(train_error) < 1e-12))
lesson.claim("the freest is worse on fresh data", fresh_error[-1] > 1.3 * fresh_error[best])

# %% [markdown]
# ## What misses and what trembles: bias and variance add up
#
# Repeat the experiment with fresh noise many times. A fit that is wrong *on average* has **bias**;
# one that changes from experiment to experiment has **variance**. For any model,
# $\text{error} = \text{bias}^2 + \text{variance} + \sigma^2$. Fits that are linear in the data,
# $\hat y = H y$, have a closed form: $\text{bias} = Hf - f$ and
# $\text{variance} = \sigma^2 \,\mathrm{diag}(HH^\top)$. Polynomials are such fits, and so are the
# $k$ nearest neighbours. A decision tree is not: it can only be tried.

# %%
lesson.section()
grid, signal = np.linspace(-0.9, 0.9, 61), truth(places)
noisy = signal + NOISE * rng.normal(size=(lesson.choose(2000, quick=300), POINTS))


def neighbours(k):
    nearest = neighbors.KNeighborsRegressor(k).fit(places[:, None], np.eye(POINTS))
    return nearest.predict(grid[:, None])


def polynomial(degree):
    return features(grid, degree) @ np.linalg.pinv(features(places, degree))


hats = {
    "degree of the polynomial": {d: polynomial(d) for d in range(13)},
    "number of neighbours": {k: neighbours(k) for k in (1, 2, 3, 4, 6, 8, 12, 16, 20)},
}
trees = {}
for leaves in lesson.track([2, 3, 4, 6, 8, 12, 16, 24, 30], "Growing trees"):
    model = tree.DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=0)
    grown = [model.fit(places[:, None], y).predict(grid[:, None]) for y in noisy[::5]]
    trees[leaves] = bias_variance.resampled(np.array(grown), truth(grid))

with lesson.figure("More freedom: less bias, more variance, in every family", columns=3) as axes:
    for ax, (name, family) in zip(axes, hats.items(), strict=False):
        fitted = family.values()
        found = np.array([bias_variance.resampled(noisy @ H.T, truth(grid)) for H in fitted])
        known = np.array([bias_variance.exact(H, signal, NOISE, truth(grid)) for H in fitted])
        ax.semilogy(list(family), known, label=["bias², exact", "variance, exact"])
        ax.semilogy(list(family), known.sum(1), ":", color="black", label="their sum")
        ax.semilogy(list(family), found, "o", color="black", label=["resampled", None])
        ax.set(xlabel=name, ylabel="mean square", ylim=(1e-4, 1))
        error, right = found.sum(1).mean(), known.sum(1).mean()
        lesson.compare(f"bias² + variance, mean over the {name}", error, right, 0.05 * right)
    axes[0].legend(fontsize=13)
    axes[2].semilogy(list(trees), list(trees.values()), "o-")
    axes[2].semilogy(list(trees), np.sum(list(trees.values()), 1), ":", color="black")
    axes[2].set(xlabel="leaves of the tree", ylabel="mean square", ylim=(1e-4, 1))
lesson.say("Neighbours run the other way: more of them are the simpler model.")

# %% [markdown]
# ## Choose on validation data, tell from test data
#
# Which settings? Those that do best on data that were not fitted: the **validation** set. But the
# best of many is lucky as well as good, so its score is told from a third set that had no part in
# anything: the **test** set. `tfsci` cuts every set `70/20/10`.
#
# Here is luck alone: models that toss coins. We pick the best by its score on a hundred samples.
# What the best of $m$ scores is known from order statistics:
# $E[\max] = \sum_k \left(1 - F(k)^m\right)/n$ with the binomial distribution $F$.

# %%
lesson.section()
SAMPLES, experiments = 100, lesson.choose(2000, quick=300)
tried = np.array([1, 3, 10, 30, 100, 300, 1000])
flattered = [rng.binomial(SAMPLES, 0.5, (experiments, m)).max(1).mean() / SAMPLES for m in tried]
below = stats.binom.cdf(np.arange(SAMPLES), SAMPLES, 0.5)
known = np.array([(1 - below**m).sum() / SAMPLES for m in tried])

with lesson.figure("Peeking: the more models you try, the better nothing looks") as ax:
    ax.semilogx(tried, known, label="order statistics")
    ax.semilogx(tried, flattered, "o", label="experiment")
    ax.axhline(0.5, color="black", linestyle="--", label="the truth, on a test set untouched")
    ax.set(xlabel="models tried on the same hundred samples", ylabel="accuracy of the best")
    ax.legend()
lesson.compare(f"accuracy of the best of {tried[-1]} coin-tossers", flattered[-1], known[-1], 0.005)
lesson.claim(f"coins tossed reach an accuracy of {flattered[-1]:.1%}", flattered[-1] > 0.6)

# %% [markdown]
# ## Physics first: a good feature beats a large model
#
# Spins on a square lattice, below or above the critical temperature: classify the phase. We give
# logistic regression the raw spins, and then two numbers that a physicist would think of. The best
# possible accuracy follows from the exact distribution of the energy.

# %%
lesson.section()
data = catalog.load(f"ising:samples={lesson.choose(2000, quick=600)}")
raw = {name: split.x.reshape(len(split.y), -1) for name, split in data.splits.items()}
thought = {
    name: np.stack([np.abs(split.x.mean((1, 2, 3))), ising.energy(split.x)], 1)
    for name, split in data.splits.items()
}
scores = {}
for name, inputs in (("raw spins", raw), ("|magnetization| and energy", thought)):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(inputs["train"], data.train.y)
    scores[name] = [model.score(inputs[part], split.y) for part, split in data.splits.items()]
with lesson.figure("Two numbers that a physicist chose beat a thousand raw spins") as ax:
    for name, values in scores.items():
        ax.plot(list(data.splits), values, "o-", label=name)
    ax.axhline(data.known_answer, color="black", linestyle="--", label="best possible")
    ax.set(xlabel="which data", ylabel="accuracy", ylim=(0.4, 1.02))
    ax.legend()
worse, better = (values[-1] for values in scores.values())
lesson.claim(f"{better:.1%} beat {worse:.1%} by far", better > worse + 0.1)
spread = np.sqrt(data.known_answer * (1 - data.known_answer) / data.test.num_samples)
lesson.compare("test accuracy", better, data.known_answer, within=3 * spread + 0.01)

# %% [markdown]
# ## Groups without labels: clustering finds the phases
#
# Nobody tells which configuration is which phase. Principal components of the raw spins, the
# directions in which they vary most, and $k$-means on them: three groups. Two of them are one
# phase, with its spins up or down; the third is disorder.

# %%
lesson.section()
x, y = raw["train"], data.train.y
seen = decomposition.PCA(2, random_state=0).fit_transform(x)
groups = cluster.KMeans(3, n_init=10, random_state=0).fit_predict(seen)
disorder = np.argmin([np.abs(seen[groups == g, 0]).mean() for g in range(3)])
agreement = np.mean((groups == disorder) == y)
overlap = abs(np.corrcoef(seen[:, 0], x.mean(1))[0, 1])
with lesson.figure("Up, down, disordered: found without a single label", columns=2) as axes:
    for ax, marks, names in ((axes[0], groups, "ABC"), (axes[1], y, data.class_names)):
        for mark, name in enumerate(names):
            ax.plot(*seen[marks == mark].T, "o", markersize=5, alpha=0.6, label=name)
        ax.set(xlabel="first component: magnetization", ylabel="second component")
        ax.legend(fontsize=13)
    axes[0].set_title("groups that k-means found")
    axes[1].set_title("the phases")
lesson.claim(f"the first component is the magnetization: correlation {overlap:.4f}", overlap > 0.99)
lesson.compare("agreement of groups and phases", agreement, data.known_answer, within=0.1)

# %% [markdown]
# ## Oddities without examples: an anomaly detector and its curve
#
# A detector that has seen normal samples only gives each new one a score; where to raise the alarm
# is a choice. The **ROC curve** shows all choices at once: hits against false alarms. The area
# under it is the chance that an odd sample scores above a normal one. Ours are Gaussian, the odd
# ones wider by a factor $s$; that chance is $P(F_{d,d} > s^{-2})$ with Fisher's distribution.

# %%
lesson.section()
DIMENSIONS, WIDER, count = 10, 1.5, lesson.choose(20_000, quick=6_000)
normal, tests = rng.normal(size=(2, count, DIMENSIONS))
odd = WIDER * rng.normal(size=(count, DIMENSIONS))
shape = covariance.EmpiricalCovariance().fit(normal)
trees = ensemble.IsolationForest(random_state=0).fit(normal)
best_area = stats.f.sf(WIDER**-2, DIMENSIONS, DIMENSIONS)
is_odd, areas = np.repeat([0, 1], count), {}
with lesson.figure("Every threshold at once: knowing the shape of normal helps") as ax:
    both = np.concatenate([tests, odd])
    scores = {"distance": shape.mahalanobis(both), "forest": -trees.score_samples(both)}
    for name, scored in scores.items():
        areas[name] = metrics.roc_auc_score(is_odd, scored)
        ax.plot(*metrics.roc_curve(is_odd, scored)[:2], label=f"{name}, area {areas[name]:.3f}")
    ax.plot([0, 1], [0, 1], ":", color="black", label="a coin")
    ax.set(xlabel="false alarms among normal samples", ylabel="hits among odd ones", aspect=1)
    ax.legend(loc="lower right")
distance, forest = areas.values()
lesson.compare("area under the curve of the best detector", distance, best_area, within=0.01)
lesson.claim(f"the forest knows no shape, and stays below: {forest:.3f}", 0.5 < forest < distance)

# %% [markdown]
# ## Exercises, and where to go next
#
# `tfsci lessons check` tells whether you are right. Change this file, or the notebook's cells
# (`tfsci lessons notebook 01`), and run it again. Next: `02_deep_learning.py`.

# %%
lesson.end()
