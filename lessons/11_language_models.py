# %% [markdown]
# # 11 · Language models
#
# **You will learn** to grade a language model by what it thought of the next token; to count before
# you train; what a GPT finds by itself; to sample from it; what scaling laws predict, and fit one.
#
# **Takes** at most 5 minutes on two cores. **Needs** nothing but `tfsci`; no download.
#
# Our language has twenty letters, and a grammar that we know: what comes next depends on the last
# two. So the lowest loss that any model can have is known, which no one can tell you of English.

# %%
from tfsci import lessons

lesson = lessons.start("11")

from dataclasses import replace

import keras
import numpy as np
from scipy.optimize import curve_fit, minimize_scalar

from tfsci import models
from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.models.generation import Generator
from tfsci.plan import tokens
from tfsci.simulate import sequences
from tfsci.training import evaluate, fit
from tfsci.training.schedules import schedule

LENGTH, LANGUAGE = 32, {"order": 2, "contrast": 3.0}
floors = np.array([sequences.entropy_rate(**LANGUAGE, context=seen) for seen in (0, 1, 2)])
NAMES = ["no letter seen", "one letter", "two letters"]

# %% [markdown]
# ## Count first: a longer context pays once there are data for it
#
# The loss is the mean of $-\ln p$ of what came next, in **nats**; its exponential, the
# **perplexity**, is a number of equally likely letters. A model that sees $k$ letters can reach the
# entropy given $k$ letters. The simplest is a table of counts; each of its $K$ free numbers costs
# about $1/(2D)$ nats where $D$ letters were counted.

# %%
lesson.section()
chances = sequences.transition_probabilities(**LANGUAGE)
pairs = sequences.stationary_distribution(**LANGUAGE)  # how often two letters follow each other


def counted(text, seen):
    """Returns P(next | letters seen) from counts, each begun at one half."""
    windows = np.lib.stride_tricks.sliding_window_view(text, seen + 1, axis=1)
    counts = np.full((20,) * (seen + 1), 0.5)
    np.add.at(counts, tuple(windows.reshape(-1, seen + 1).T), 1)
    return counts / counts.sum(-1, keepdims=True)


amounts = np.array([100, 300, 1000, 3000, 10_000, 30_000])
corpus = sequences.generate(range(amounts[-1]), length=LENGTH + 1, **LANGUAGE)
letters, triples = amounts * LENGTH, pairs[..., None] * chances
tables = [[counted(corpus[:n], seen) for n in amounts] for seen in (0, 1, 2)]
loss = np.array([[-(triples * np.log(table)).sum() for table in row] for row in tables])
with lesson.figure("More context is better, and dearer in data", columns=2) as (left, right):
    for seen, name in enumerate(NAMES):
        left.semilogx(letters, loss[seen], "o-", label=name)
        left.axhline(floors[seen], color=f"C{seen}", linestyle=":")
        right.loglog(letters, loss[seen] - floors[seen], "o", label=name)
        right.loglog(letters, 19 * 20**seen / (2 * letters), ":", color=f"C{seen}")
    left.set(xlabel="letters counted, D", ylabel="loss (nats a letter); dotted: floor")
    right.set(xlabel="letters counted, D", ylabel="above the floor (nats); dotted: K/(2D)")
    left.legend()
perplexities = ", ".join(f"{each:.1f}" for each in np.exp(floors))
lesson.say(f"At best, perplexities of {perplexities} with none, one and two letters seen.")
found, known = loss[1, -1] - floors[1], 19 * 20 / (2 * letters[-1])
lesson.compare("cost of counting pairs, most data", found, known, 0.2 * known, "nats")
lesson.claim("no table gets below the floor of its context", np.all(loss >= floors[:, None]))

# %% [markdown]
# ## A GPT learns the same by itself: frequencies, pairs, triples
#
# The GPT sees whole windows, and is told nothing of pairs. Watch its loss pass the floors. On the
# right by place: what it predicts first follows one letter, so there the floor is that of pairs.

# %%
lesson.section()
fresh = sequences.generate(range(10**6, 10**6 + 2000), length=LENGTH + 1, **LANGUAGE)
test = pipeline.evaluation(Split(fresh[:, :-1], fresh[:, 1:]), 250)
WIDTH, SAMPLES, EPOCHS = lesson.choose((128, 20_000, 3), quick=(32, 8_000, 2))


def trained(width, epochs, every=None):
    """Returns a GPT that has read the corpus so often, and its test losses on the way."""
    keras.utils.set_random_seed(0)
    shape = {"num_layers": 1, "width": width, "num_heads": 4 if width > 32 else 2}
    net, rate = (
        models.build("gpt", **shape, vocabulary_size=20, context_length=LENGTH),
        0.64 / width,
    )
    net.compile(
        keras.optimizers.AdamW(weight_decay=0.1, beta_2=0.95, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    batches = pipeline.training(Split(corpus[:SAMPLES, :-1], corpus[:SAMPLES, 1:]), 64)
    steps = epochs * batches.steps
    rates = schedule(min(0.03, rate), steps, steps // 10, "cosine")
    batches = replace(batches, steps=every or steps)
    rows = fit(net, batches, steps // batches.steps, test, learning_rate=rates)
    return net, np.array([row["val_loss"] for row in rows])


EVERY = lesson.choose(10, quick=25)
gpt, curve = trained(WIDTH, EPOCHS, EVERY)
scores = gpt.predict(fresh[:, :-1], batch_size=250, verbose=0)
scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
by_hand = -np.take_along_axis(scores, fresh[:, 1:, None], -1)[..., 0]  # (windows, places)
best = sequences.loss_floor(LENGTH + 1, given=1, **LANGUAGE)
with lesson.figure("The GPT passes one floor after the other", columns=2) as (left, right):
    left.semilogx(EVERY * np.arange(1, len(curve) + 1), curve, color="black", label="GPT")
    right.plot(np.arange(1, LENGTH + 1), by_hand.mean(0), "o", color="black")
    for ax in (left, right):
        for i, name in enumerate(NAMES):
            ax.axhline(floors[i], color=f"C{i}", linestyle="--", label=f"floor, {name}")
        ax.set(ylim=(0.8, 2.9), ylabel="test loss (nats a letter)")
    left.set(xlabel="steps of the training")
    right.set(xlabel="letters before the predicted one")
    left.legend()
again = evaluate(gpt, test)["loss"]
lesson.compare("test loss by hand and by Keras", by_hand.mean(), again, within=1e-4)
lesson.claim(
    f"the GPT has learnt triples: {again:.3f} nats, at best {best:.3f}, by pairs {floors[1]:.3f}",
    best - 0.05 < again < floors[1] - lesson.choose(0.3, quick=0.1),
)
table = -(triples * np.log(counted(corpus[:SAMPLES], 2))).sum()
lesson.say(f"A table of triples from the same text, told what to count, has {table:.3f}.")
lesson.compare("its loss after a single letter", by_hand[:, 0].mean(), floors[1], within=0.15)

# %% [markdown]
# ## Sampling: temperature and top-k trade surprise for safety
#
# To write, draw a letter from what the model predicts, and go on. A **temperature** $T$ changes
# the odds first, $p^{1/T}$; **top-k** keeps the $k$ likeliest. How much does such text surprise the
# true source? If the source itself writes so, the mean of $-\ln P$ can be computed exactly.

# %%
lesson.section()
PROMPT = 4
prompts = fresh[: lesson.choose(500, quick=200), :PROMPT]


def surprise(changed):
    """Returns what text by these chances surprises the source, from its own prompts on."""
    often, total = pairs, 0.0
    for _ in range(LENGTH - PROMPT):
        follow = often[..., None] * changed / changed.sum(-1, keepdims=True)
        often, total = follow.sum(0), total - (follow * np.log(chances)).sum()
    return total / (LENGTH - PROMPT)


def written(temperature=1.0, k=20):
    text = writers[k](prompts, LENGTH - PROMPT, temperature, seed=0)
    return text, -sequences.log_likelihood(text[:, PROMPT - 2 :], **LANGUAGE).mean()


writers = {k: Generator(gpt, top_k=k, jit=False) for k in lesson.choose((1, 3, 20), (1, 20))}
warmths, ranked = np.array([0.3, 0.6, 1.0, 1.5]), np.sort(chances, -1)
warm = [(t, written(t)[1], surprise(chances ** (1 / t))) for t in warmths]
kept = [
    (k, written(1.0, k)[1], surprise(np.where(chances >= ranked[..., -k, None], chances, 0)))
    for k in writers
]
with lesson.figure("Cooler or pickier text is safer than the language", columns=2) as axes:
    for ax, rows, label in ((axes[0], warm, "temperature"), (axes[1], kept, "letters kept, k")):
        where, found, known = np.transpose(rows)
        ax.plot(where, known, label="the source so changed, exact")
        ax.plot(where, found, "o", label="the GPT")
        ax.axhline(floors[2], color="black", linestyle=":", label="the language: its entropy")
        ax.set(xlabel=label, ylabel="surprise to the source (nats)", ylim=(0, None))
    axes[0].legend()
lesson.say(
    f"Language {sequences.text(fresh[9:10])[0]}, GPT {sequences.text(written()[0][9:10])[0]}"
)
by_pairs = surprise(np.broadcast_to(tables[1][-1], chances.shape))
lesson.claim(
    f"the GPT's text surprises by {warm[2][1]:.2f} nats, text by a table of pairs by "
    f"{by_pairs:.2f}, the language itself by {floors[2]:.2f}",
    floors[2] - 0.1 < warm[2][1] < by_pairs,
)
lesson.claim("hotter text surprises more", np.all(np.diff([row[1] for row in warm]) > 0))
lesson.claim("so does keeping more letters", np.all(np.diff([row[1] for row in kept]) > 0))

# %% [markdown]
# ## A scaling law: loss falls as a power of size, down to a floor
#
# $L(N) = E + b\,N^{-\alpha}$ for $N$ parameters. Of English nobody knows the entropy $E$, so it is
# fitted, too; here we can look how well that does. On the right what Chinchilla's law, fitted to
# English, expects of a fixed budget of $C = 6ND$ operations: neither the largest model nor the most
# data, but a balance, `tfsci plan tokens`. (Kaplan's older law has $\alpha = 0.076$, Chinchilla's
# $0.34$. The exponent belongs to the data; ours is another language.)

# %%
lesson.section()
widths = lesson.choose((4, 8, 16, 32, 64), quick=(4, 8, 16, 32))
epochs = lesson.choose(2, quick=1)
runs = [trained(width, epochs) for width in lesson.track(widths, "Training GPTs")]
sizes = np.array([net.count_params() for net, _ in runs])
reached = np.array([losses[-1] for _, losses in runs])
slope, offset = np.polyfit(np.log(sizes), np.log(reached - best), 1)
law = curve_fit(
    lambda n, e, b, a: e + b * (n / 1e3) ** -a, sizes, reached, (1, 1, 0.5), bounds=(0, 5)
)
fitted = law[0][0]
BUDGET, ADVISED = 5.76e23, 70e9  # Hoffmann 2022: operations of Gopher, and parameters for them
tried = np.geomspace(5e9, 5e11, 200)
with lesson.figure("Ours falls to a known floor; a budget wants a balance", columns=2) as (a, b):
    a.loglog(sizes, reached - best, "o", label="trained")
    a.loglog(sizes, np.exp(offset) * sizes**slope, label=f"exponent {-slope:.2f}")
    a.set(xlabel="parameters, N", ylabel="test loss above the floor (nats)")
    for budget in (BUDGET / 10, BUDGET, BUDGET * 10):
        expected = [tokens.Size(n, budget / 6 / n).loss for n in tried]
        b.semilogx(tried, expected, label=f"{budget:.1e} operations")
    optima = [tokens.optimal_by_loss(budget) for budget in (BUDGET / 10, BUDGET, BUDGET * 10)]
    b.plot([o.parameters for o in optima], [o.loss for o in optima], "ko", label="best size")
    b.set(xlabel="parameters, N", ylabel="loss that Chinchilla's law expects (nats)")
    for ax in (a, b):
        ax.legend(fontsize=14)
lesson.claim(
    "each larger model is better, none beats the floor",
    np.all(np.diff(reached) < 0) and reached[-1] > best,
)
lesson.say(
    f"The exponent is {-slope:.2f}. Fitted, the floor would be {fitted:.2f} nats; it is {best:.2f}."
)
search = minimize_scalar(lambda n: tokens.Size(np.exp(n), BUDGET / 6 / np.exp(n)).loss, (20, 30))
known = tokens.optimal_by_loss(BUDGET).parameters / 1e9
lesson.compare("best size for Gopher's budget", np.exp(search.x) / 1e9, known, 0.1, "billion")
found = tokens.optimal(BUDGET).parameters / 1e9
lesson.compare("by twenty tokens a parameter; published", found, ADVISED / 1e9, 3, "billion")

# %% [markdown]
# ## Exercises, and where to go next
#
# The exercises are printed below. `python scripts/train_gpt.py --data text:FILE` trains a GPT on a
# text of yours; `tfsci plan step` says how long the largest ones take. This was the last lesson.

# %%
lesson.end()
