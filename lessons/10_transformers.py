# %% [markdown]
# # 10 · Transformers
#
# **You will learn** what attention computes, by hand; what a causal mask hides and what heads are
# for; why a transformer must be told where its tokens are; what long sequences cost; and how to see
# which tokens it looks at, where we know which are right.
#
# **Takes** at most 3 minutes on two cores. **Needs** nothing but `tfsci`; no download.

# %%
from tfsci import lessons

lesson = lessons.start("10")

import keras
import numpy as np

from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.models import build, cost
from tfsci.models.attention import PositionEmbedding, SelfAttention, rotate
from tfsci.models.looking import attended
from tfsci.training import fit

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)

# %% [markdown]
# ## Attention is a table that is looked up softly
#
# Each token asks with a **query**, and offers a **key** and a **value**. The products of a query
# with all keys become shares by a softmax, and the token takes the mean of all values by these
# shares: $\mathrm{softmax}(QK^\top/\sqrt{H})\,V$. Why $\sqrt H$? The product of two random vectors
# of $H$ numbers has the variance $H$: without the root, long vectors give all to one token before
# anything is learnt, and a softmax that is sure of itself has no slope to learn by.

# %%
lesson.section()


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, hidden=0):
    shares = softmax(q @ k.T / np.sqrt(q.shape[-1]) - 1e9 * hidden)
    return shares @ v, shares


q, k, v = rng.normal(size=(3, 8, 16))  # eight tokens, vectors of sixteen numbers
by_hand, shares = attention(q, k, v)
theirs = keras.ops.dot_product_attention(*(z[None, :, None] for z in (q, k, v)))[0, :, 0]
sizes, largest, variances = 2 ** np.arange(2, 11), [], []
for size in sizes:
    many_q, many_k = rng.normal(size=(2, lesson.choose(2000, quick=500), 16, size))
    products = np.einsum("bh,bsh->bs", many_q[:, 0], many_k)
    variances.append(products.var())
    largest.append([softmax(s).max(-1).mean() for s in (products, products / np.sqrt(size))])
with lesson.figure("Scaled by the root, shares stay shares however long the vectors", 1, 2) as axes:
    axes[0].imshow(shares, vmin=0)
    axes[0].set(xlabel="token looked at", ylabel="token that looks", title="shares: bright is much")
    axes[0].grid(False)
    axes[1].semilogx(sizes, largest, "o-", label=["plain products", "over the root"])
    axes[1].axhline(1 / 16, color="black", linestyle="--", label="an equal share")
    axes[1].set(xlabel="numbers in a key", ylabel="largest of sixteen shares", ylim=(0, 1))
    axes[1].legend()
lesson.claim("by hand and by Keras: equal", np.allclose(by_hand, theirs, atol=1e-5))
lesson.compare("variance of a product, over the size", np.mean(variances / sizes), 1, 0.1)
plain, scaled = largest[-1]
lesson.claim(f"largest share: {plain:.2f}, with the root {scaled:.2f}", plain > 0.9 > 0.5 > scaled)

# %% [markdown]
# ## A mask hides the future; heads look at several things at once
#
# A model that writes must not read ahead. The **causal mask** takes a huge number off the scores of
# later tokens, whose shares become zero. So all positions are trained at once: each has seen what
# it will have seen. **Heads** cut the vectors into parts that attend each by itself. Here is a
# whole layer in NumPy, with the weights of `SelfAttention`. Which outputs move with which input?

# %%
lesson.section()
TOKENS, CHANNELS, HEADS = 12, 24, 3
layer = SelfAttention(HEADS, causal=True, deviation=0.4)
x = rng.normal(size=(1, TOKENS, CHANNELS))
theirs = np.array(layer(x))[0]
kernel, bias, output, output_bias = layer.get_weights()
later = np.triu(np.ones((TOKENS, TOKENS)), 1)


def whole_layer(x, hidden):
    heads = np.split(x @ kernel + bias, 3 * HEADS, axis=-1)  # queries, keys, values of each head
    each = [attention(*heads[n::HEADS], hidden) for n in range(HEADS)]
    return np.concatenate([z for z, _ in each], -1) @ output + output_bias, [s for _, s in each]


reach = {}
for name, hidden in (("mask", later), ("none", 0 * later)):
    plain, _ = whole_layer(x[0], hidden)
    reach[name] = np.zeros((TOKENS, TOKENS))
    for changed in range(TOKENS):
        other = x[0] + np.eye(TOKENS)[:, [changed]]
        reach[name][:, changed] = np.abs(whole_layer(other, hidden)[0] - plain).max(-1)
by_hand, heads = whole_layer(x[0], later)
panels = {
    "shares of head A": heads[0],
    "shares of head B": heads[1],
    "outputs that move": reach["mask"],
}
with lesson.figure("Each head looks elsewhere, and none at later tokens", columns=3) as axes:
    for ax, (name, table) in zip(axes, panels.items(), strict=True):
        ax.imshow(np.log10(table + 1e-3), aspect="auto")
        ax.set(xlabel="token looked at", ylabel="token that looks", title=name)
        ax.grid(False)
    axes[2].set(xlabel="token that is changed", ylabel="token whose output moves")
lesson.claim("three heads, masked, by hand: our layer", np.allclose(by_hand, theirs, atol=1e-4))
lesson.claim("with the mask no earlier output moves", np.all(reach["mask"][later > 0] == 0))
lesson.claim("without it all do", np.all(reach["none"] > 0))

# %% [markdown]
# ## Without positions, a sentence is a bag of words
#
# Shuffle the tokens, and attention gives the same outputs, shuffled: it sees who is there, not
# where. So we tell it: by a vector added for each place, or by turning queries and keys by an
# angle in proportion to the place (**rotary** positions), so that a product knows the distance of
# two tokens and nothing else.

# %%
lesson.section()
blind, order = SelfAttention(HEADS, deviation=0.4), rng.permutation(TOKENS)
placed = PositionEmbedding(TOKENS)
placed(x)
placed.set_weights([rng.normal(size=(TOKENS, CHANNELS))])
routes = {"no positions": blind, "positions added": lambda z: blind(placed(z))}
moved = {n: (np.array(f(x))[0, order], np.array(f(x[:, order]))[0]) for n, f in routes.items()}
word = np.full(16, 0.25, "float32")
turned = np.array(rotate(np.tile(word, (1, 64, 1, 1))))[0, :, 0]  # one word at all places
products = turned @ turned.T
rates = 10_000.0 ** (-np.arange(8) / 8)  # of each pair of numbers, in radians a token
known = np.cos(np.arange(64)[:, None] * rates) @ (word[:8] ** 2 + word[8:] ** 2)
with lesson.figure("Attention knows no order, unless positions tell it", columns=2) as axes:
    for name, (first, second) in moved.items():
        axes[0].plot(first.ravel(), second.ravel(), "o", markersize=5, label=name)
    axes[0].set(xlabel="output", ylabel="output of the same token, shuffled")
    for place, marks in ((0, "o"), (20, "s"), (40, "^")):
        there = np.arange(64 - place)[::3]
        axes[1].plot(there, products[place, place + there], marks, label=f"from place {place}")
    axes[1].plot(known, "k", zorder=0, label="known: a sum of cosines")
    axes[1].set(xlabel="distance (tokens)", ylabel="product of a query and a key", ylim=(0, 1.5))
    [ax.legend(frameon=True) for ax in axes]
apart = {name: np.abs(first - second).max() for name, (first, second) in moved.items()}
none, added = apart.values()
lesson.claim(
    f"shuffling moves outputs by {none:.0e}, with places by {added:.0f}", none < 1e-4 < added
)
off = max(np.abs(products[p, p:] - known[: 64 - p]).max() for p in range(64))
lesson.claim(f"turned by place, a product knows the distance alone, to {off:.0e}", off < 1e-3)

# %% [markdown]
# ## Twice the length costs four times the attention
#
# Every token looks at every token: $T^2$ products. The rest of a block, its dense layers, costs in
# proportion to $T$. With $C$ numbers a token a block takes $24 T C^2 + 4 T^2 C$ operations; at
# $T = 6C$ both parts are equal, beyond that attention rules. `tfsci.models.cost` counts a model
# before it is built.

# %%
lesson.section()
WIDTH, VOCABULARY = 128, 32
lengths = 2 ** np.arange(5, 17)


def counted(length):
    sizes = {"num_layers": 1, "width": WIDTH, "num_heads": 4, "vocabulary_size": VOCABULARY}
    return cost.sketch("gpt", **sizes, context_length=int(length)).flops


flops = np.array([counted(length) for length in lesson.track(lengths, "Counting operations")])
dense = (24 * WIDTH + 2 * VOCABULARY) * WIDTH * lengths
square = 4.0 * WIDTH * lengths**2
with lesson.figure("Long sequences: attention overtakes all the rest") as ax:
    ax.loglog(lengths, square, "--", label="attention, known")
    ax.loglog(lengths, dense, "--", label="dense layers, known")
    ax.loglog(lengths, flops, "o", color="black", label="counted")
    ax.axvline(6 * WIDTH, color="C2", label="six times the width")
    ax.set(xlabel="tokens", ylabel="operations of a forward pass")
    ax.legend()
lesson.claim("all counts are as known", np.allclose(flops, dense + square))
growth = flops[1:] / flops[:-1]
lesson.compare("twice as many tokens, short sequences, cost times", growth[0], 2, 0.2)
lesson.compare("and long ones", growth[-1], 4, 0.1)

# %% [markdown]
# ## What it looks at is what it needs: a transformer that copies
#
# Random words, and the same again. Nobody can guess the first half, not better than $\ln V$ nats a
# token. The second half is certain, for who looks at the right token: that which *followed* the
# current one the first time. We train one block with one head, and nobody tells it where to look.

# %%
lesson.section()
V, WORD, STEPS = 16, 8, lesson.choose(8, quick=4)  # hundreds of steps
words = np.tile(rng.integers(0, V, (7000, WORD)), 2).astype("int32")
x, y, places = words[:, :-1], words[:, 1:], np.arange(2 * WORD - 1)
train, (x, y) = Split(x[:6400], y[:6400]), (x[6400:], y[6400:])
sizes = {"num_layers": 1, "width": 64, "num_heads": 1, "vocabulary_size": V}
model = build("gpt", **sizes, context_length=len(places))
crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.003), crossentropy)
looks = [attended(model, x)[0][:, 0].mean(0)]  # the mean over samples, of the only head
for seed in lesson.track(range(STEPS), "Training a transformer"):
    fit(model, pipeline.training(train, 64, seed), 1)
looks.append(attended(model, x)[0][:, 0].mean(0))
losses = keras.ops.sparse_categorical_crossentropy(y, model(x), from_logits=True)
losses, known = np.mean(losses, 0), np.where(places < WORD - 1, np.log(V), 0)
last = places[WORD - 1 :]
with lesson.figure("Nobody told it where to look: it found the token to copy", columns=2) as axes:
    axes[0].imshow(looks[1], vmin=0, vmax=1)
    axes[0].plot(
        last - WORD + 1, last, "s", markersize=18, mfc="none", mec="C1", mew=3, label="right"
    )
    axes[0].set(xlabel="token looked at", ylabel="token that looks", xticks=places[::2])
    axes[0].legend(labelcolor="white")
    axes[0].grid(False)
    axes[1].plot(places + 1, losses, "o-", label="the transformer")
    axes[1].plot(places + 1, known, "k--", drawstyle="steps-mid", label="known")
    axes[1].set(xlabel="token that is foretold", ylabel="loss (nats)", xticks=places[1::2])
    axes[1].legend()
before, after = (look[last, last - WORD + 1].mean() for look in looks)
lesson.claim(
    f"the right token gets {before:.0%}, once trained {after:.0%}", after > 0.8 > 0.2 > before
)
lesson.compare("loss of the first words", losses[: WORD - 1].mean(), np.log(V), 0.1, "nats")
lesson.compare("loss of their copies", losses[WORD - 1 :].mean(), 0, 0.1, "nats")
x[:, 3] = (x[:, 3] + 1) % V
follows = np.mean(np.argmax(model(x)[:, WORD + 2], -1) == x[:, 3])
lesson.claim(f"change a token, and its copy is foretold changed: {follows:.1%}", follows > 0.98)

# %% [markdown]
# ## Exercises, and where to go next
#
# `tfsci lessons check` tells whether you are right. Change this file, or the notebook's cells
# (`tfsci lessons notebook 10`), and run it again. Next: `11_language_models.py`, where the next
# token is no longer certain.

# %%
lesson.end()
