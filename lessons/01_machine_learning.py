# %% [markdown]
# # 1 · Machine learning for science
#
# **You will learn** to fit, validate and test; why a model can be too simple or too flexible, and
# how to see which; to find groups without labels and oddities without examples; and why one never
# peeks at the test set.
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; no download.
#
# Every result below stands beside the best that is possible, because the data come from processes
# that we know. With your own data you won't have that luxury: learn here what to expect.

# %%
from tfsci import lessons

lesson = lessons.start("01")

import numpy as np
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

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


measured = truth(places) + NOISE * rng.normal(size=POINTS)
fresh_x = rng.uniform(-1, 1, 10_000)
fresh_y = truth(fresh_x) + NOISE * rng.normal(size=fresh_x.size)
degrees = np.arange(21)
fits = [np.linalg.lstsq(features(places, d), measured, rcond=None)[0] for d in degrees]
train_error = [np.mean((features(places, d) @ w - measured) ** 2) for d, w in enumerate(fits)]
fresh_error = [np.mean((features(fresh_x, d) @ w - fresh_y) ** 2) for d, w in enumerate(fits)]
best = int(np.argmin(fresh_error))

with lesson.figure("The error on fresh data turns; the training error does not", columns=2) as ax:
    ax[0].plot(places, measured, "o", color="black", label="measured")
    for degree, style in ((1, ":"), (best, "-"), (20, "--")):
        grid = np.linspace(-1, 1, 400)
        ax[0].plot(grid, features(grid, degree) @ fits[degree], style, label=f"degree {degree}")
    ax[0].set(xlabel="x", ylabel="y", ylim=(-2.6, 2.6))
    ax[0].legend()
    ax[1].semilogy(degrees, train_error, "o-", label="training")
    ax[1].semilogy(degrees, fresh_error, "s-", label="fresh data")
    ax[1].axhline(NOISE**2, color="black", linestyle="--", label="noise: best possible")
    ax[1].set(xlabel="degree of the polynomial", ylabel="mean squared error", ylim=(0.02, 3))
    ax[1].legend()
lesson.say(
    f"Degree {best} is best on fresh data: an error of {fresh_error[best]:.3f}, where the noise "
    f"alone makes {NOISE**2:.3f}. Degree {degrees[-1]} fits its own points to "
    f"{train_error[-1]:.3f} and misses fresh ones by {fresh_error[-1]:.2f}."
)
lesson.claim("the training error never rises with the degree", np.all(np.diff(train_error) < 1e-12))
lesson.claim(
    f"fresh data tell both ends from the middle: {fresh_error[0]:.2f}, {fresh_error[best]:.2f}, "
    f"{fresh_error[-1]:.2f}",
    fresh_error[best] < min(fresh_error[0], fresh_error[-1]) / 2,
)

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
trials = lesson.choose(2000, quick=300)
grid = np.linspace(-0.9, 0.9, 61)
noisy = truth(places) + NOISE * rng.normal(size=(trials, POINTS))


def resampled(predictions):
    """Bias² and variance over the grid, from predictions of shape (trials, grid)."""
    return np.mean((predictions.mean(0) - truth(grid)) ** 2), predictions.var(0, ddof=1).mean()


def exact(hat):
    """The same for fits that are linear in the data, from H of shape (grid, points)."""
    return np.mean((hat @ truth(places) - truth(grid)) ** 2), NOISE**2 * (hat**2).sum(1).mean()


def neighbours(k):
    model = KNeighborsRegressor(k).fit(places[:, None], np.eye(POINTS))
    return model.predict(grid[:, None])


polynomials = [features(grid, d) @ np.linalg.pinv(features(places, d)) for d in range(13)]
counts = [1, 2, 3, 4, 6, 8, 12, 16, 20]
families = {
    "degree of the polynomial": (range(13), polynomials),
    "number of neighbours": (counts, [neighbours(k) for k in counts]),
}
leaves, trees = [2, 3, 4, 6, 8, 12, 16, 24, 30], []
for number in lesson.track(leaves, "Growing trees"):
    tree = DecisionTreeRegressor(max_leaf_nodes=number, random_state=0)
    some = noisy[: trials // 5]
    grown = [tree.fit(places[:, None], y).predict(grid[:, None]) for y in some]
    trees.append(resampled(np.array(grown)))

with lesson.figure("More freedom: less bias, more variance, in every family", columns=3) as axes:
    for ax, (name, (sizes, hats)) in zip(axes, families.items(), strict=False):
        found = np.array([resampled(noisy @ hat.T) for hat in hats])
        known = np.array([exact(hat) for hat in hats])
        for column, (label, marker) in enumerate((("bias²", "o"), ("variance", "s"))):
            line = ax.semilogy(sizes, known[:, column], label=f"{label}, exact")[0]
            ax.semilogy(sizes, found[:, column], marker, color=line.get_color(), label="resampled")
        ax.semilogy(sizes, known.sum(1), color="black", linestyle=":", label="their sum")
        ax.set(xlabel=name, ylim=(1e-4, 1))
        lesson.compare(
            f"bias² + variance by resampling, mean over the {name}",
            found.sum(1).mean(),
            known.sum(1).mean(),
            within=0.05 * known.sum(1).mean(),
        )
    axes[0].legend(fontsize=12)
    axes[2].semilogy(leaves, [bias for bias, _ in trees], "o-")
    axes[2].semilogy(leaves, [variance for _, variance in trees], "s-")
    axes[2].semilogy(leaves, np.sum(trees, 1), color="black", linestyle=":")
    axes[2].set(xlabel="leaves of the tree", ylim=(1e-4, 1))
    for ax in axes:
        ax.set_ylabel("mean square")
lesson.say("Neighbours run the other way: averaging over more of them is the simpler model.")

# %% [markdown]
# ## Choose on validation data, tell from test data
#
# Which settings? Those that do best on data that were not fitted: the **validation** set. But the
# best of many is lucky as well as good, so its score is told from a third set that had no part in
# anything: the **test** set. `tfsci` cuts every set 70/20/10.
#
# Here is luck alone. The labels are coins; models guess; nothing can be learnt. We pick the best
# guesser by its score on a hundred samples. What the *best of $m$* scores is known from order
# statistics: $E[\max] = \sum_k \left(1 - F(k)^m\right)/n$ with the binomial distribution $F$.

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
lesson.claim(
    f"peeking turns coin tosses into an accuracy of {flattered[-1]:.1%}", flattered[-1] > 0.6
)

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


def physics(x):
    return np.stack([np.abs(x.mean((1, 2, 3))), ising.energy(x)], 1)


thought = {name: physics(split.x) for name, split in data.splits.items()}
scores = {}
for name, inputs in (("raw spins", raw), ("|magnetization| and energy", thought)):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(inputs["train"], data.train.y)
    scores[name] = [model.score(inputs[part], split.y) for part, split in data.splits.items()]
with lesson.figure("Two numbers that a physicist chose beat a thousand raw spins") as ax:
    for shift, (name, values) in zip((-0.2, 0.2), scores.items(), strict=True):
        ax.bar(np.arange(3) + shift, values, width=0.38, label=name)
    ax.axhline(data.known_answer, color="black", linestyle="--", label="best possible")
    ax.set_xticks(range(3), ["training", "validation", "test"])
    ax.set(xlabel="which data", ylabel="accuracy", ylim=(0.4, 1.25))
    ax.legend(ncols=2)
raw_test, thought_test = (values[-1] for values in scores.values())
lesson.claim(
    f"two good numbers reach {thought_test:.1%}, a thousand raw spins {raw_test:.1%}",
    thought_test > raw_test + 0.1,
)
spread = np.sqrt(data.known_answer * (1 - data.known_answer) / data.test.num_samples)
lesson.compare(
    "accuracy on the test set", thought_test, data.known_answer, within=3 * spread + 0.01
)

# %% [markdown]
# ## Groups without labels: clustering finds the phases
#
# Nobody tells which configuration is which phase. Principal components of the raw spins, the
# directions in which they vary most, and $k$-means on them: three groups. Two of them are one phase,
# with its spins up or down; the third is disorder.

# %%
lesson.section()
x, y = raw["train"], data.train.y
components = PCA(2, random_state=0).fit(x)
seen = components.transform(x)
groups = KMeans(3, n_init=10, random_state=0).fit_predict(seen)
disorder = np.argmin([np.abs(seen[groups == g, 0]).mean() for g in range(3)])
agreement = np.mean((groups == disorder) == y)
overlap = abs(np.corrcoef(seen[:, 0], x.mean(1))[0, 1])
with lesson.figure("Up, down, disordered: found without a single label", columns=2) as axes:
    for ax, marks, names in (
        (axes[0], groups, [f"group {g + 1}" for g in range(3)]),
        (axes[1], y, ["ordered (T < critical)", "disordered (T > critical)"]),
    ):
        for mark, name in enumerate(names):
            ax.plot(*seen[marks == mark].T, "o", markersize=5, alpha=0.6, label=name)
        ax.set(xlabel="first component: magnetization", ylabel="second component")
        ax.legend(fontsize=13)
    axes[0].set_title("what k-means found")
    axes[1].set_title("the truth")
lesson.claim(f"the first component is the magnetization: correlation {overlap:.4f}", overlap > 0.99)
lesson.claim(
    f"the groups agree with the phases for {agreement:.1%}; at best {data.known_answer:.1%} can",
    0.85 < agreement <= data.known_answer + 0.03,
)

# %% [markdown]
# ## Oddities without examples: an anomaly detector and its curve
#
# A detector that has seen normal samples only gives each new one a score; where to raise the alarm
# is a choice. The **ROC curve** shows all choices at once: hits against false alarms. The area under
# it is the chance that an odd sample scores above a normal one. Ours are Gaussian, the odd ones
# wider by a factor $s$; then that chance is known: $P(F_{d,d} > s^{-2})$ with Fisher's distribution.

# %%
lesson.section()
DIMENSIONS, WIDER, count = 10, 1.5, lesson.choose(20_000, quick=6_000)
normal, tests = rng.normal(size=(2, count, DIMENSIONS))
odd = WIDER * rng.normal(size=(count, DIMENSIONS))
detectors = {
    "Mahalanobis distance": lambda z: EmpiricalCovariance().fit(normal).mahalanobis(z),
    "isolation forest": lambda z: -IsolationForest(random_state=0).fit(normal).score_samples(z),
}
best_area = stats.f.sf(WIDER**-2, DIMENSIONS, DIMENSIONS)
is_odd, areas = np.repeat([0, 1], count), {}
with lesson.figure("Every threshold at once: knowing the shape of normal helps") as ax:
    for name, score in detectors.items():
        scored = score(np.concatenate([tests, odd]))
        areas[name] = roc_auc_score(is_odd, scored)
        ax.plot(*roc_curve(is_odd, scored)[:2], label=f"{name}, area {areas[name]:.3f}")
    ax.plot([0, 1], [0, 1], ":", color="black", label="a coin, area 0.5")
    ax.set(xlabel="false alarms among normal samples", ylabel="hits among odd ones", aspect=1)
    ax.legend(loc="lower right")
distance, forest = areas.values()
lesson.compare("area under the curve of the best detector", distance, best_area, within=0.01)
lesson.claim(
    f"the forest, which knows no shape, stays below: {forest:.3f} < {distance:.3f}",
    0.5 < forest < distance,
)

# %% [markdown]
# ## Exercises, and where to go next
#
# The exercises are printed below; `tfsci lessons check` tells whether you are right. Change this
# file, or the cells of the notebook (`tfsci lessons notebook 01`), and run it again.
#
# Next: `02_deep_learning.py` builds a model that finds its features itself.

# %%
lesson.end()
