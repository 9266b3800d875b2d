# %% [markdown]
# # 7 · Transfer and multi-task learning with neural operators
#
# **You will learn** what an operator is and how a DeepONet learns one; what no such network can do,
# however long it trains; how to move to new physics with a tenth of the data; and how a task with
# few examples learns from its neighbours.
#
# **Takes** at most 5 minutes on two cores. **Needs** nothing but `tfsci`; no download.
#
# A solver computes one solution. An operator network learns *the map*, from any state to the one
# later on. We judge it by an equation whose exact solution is known.

# %%
from tfsci import lessons

lesson = lessons.start("07")

import keras
import numpy as np
from scipy.integrate import cumulative_trapezoid

from tfsci import models
from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.simulate import burgers
from tfsci.training import fit, schedules
from tfsci.training.losses import KnownSquaredError

# %% [markdown]
# ## An operator is a sum of products: branch times trunk
#
# A function maps a number to a number; an **operator** maps a function $u$ to a function $G(u)$. A
# DeepONet writes it as $G(u)(y) = \sum_k b_k(u)\, t_k(y) / \sqrt{K}$. The **branch** $b$ reads $u$
# at some sensors, the **trunk** $t$ reads the place $y$ where the answer is wanted.
#
# Take the antiderivative, $G(u)(y) = \int_{-1}^{y} u$, of sums of waves. The branch measures how
# much of each wave is in $u$; the trunk is each wave's antiderivative. We write these into a
# DeepONet as its weights. No training, and it integrates.

# %%
lesson.section()
POINTS, MODES = 64, 4
x = burgers.grid(POINTS)
m = np.arange(1, MODES + 1)
phase = np.pi * np.outer(x, m)
waves = np.stack([np.cos(phase), np.sin(phase)], 2).reshape(POINTS, -1)  # cos, sin, cos, sin …
terms = waves.shape[1]
branch = waves * 2 / POINTS  # u @ branch: how much of each wave, (sensors, terms)
mixed, offset = np.zeros((terms, terms)), np.zeros(terms)
mixed[1::2, ::2], mixed[::2, 1::2] = np.diag(1 / (np.pi * m)), np.diag(-1 / (np.pi * m))
offset[1::2] = np.cos(np.pi * m) / (np.pi * m)
trunk = waves @ mixed + offset  # of each wave the antiderivative, 0 at y = −1

u = burgers.initial_conditions(range(100), points=POINTS, modes=MODES)
by_hand = u @ branch @ trunk.T
periodic = {"input_shape": (POINTS,), "period": burgers.LENGTH, "harmonics": MODES}
integral = models.build("deeponet", variant="linear", terms=terms, points=x, **periodic)
integral.get_layer("branch").set_weights([branch * np.sqrt(terms), np.zeros(terms)])
integral.get_layer("trunk").set_weights([mixed, offset])
by_keras = np.asarray(integral(u))[..., 0]
dense = burgers.initial_conditions(range(100), points=128 * POINTS, modes=MODES)
summed = cumulative_trapezoid(dense, dx=burgers.LENGTH / dense.shape[1], initial=0)[:, ::128]

with lesson.figure("Eight products, and the network integrates", columns=2) as axes:
    axes[0].plot(x, trunk[:, 1::2])
    axes[0].set(xlabel="y", ylabel="trunk", title="what the trunk knows: integrals of sines")
    axes[1].plot(x, u[3], ":", label="u")
    axes[1].plot(x, summed[3], "k", label="its integral")
    axes[1].plot(x[::3], by_keras[3, ::3], "o", label="DeepONet")
    axes[1].set(xlabel="y", ylabel="u and its integral", title="what comes out")
    axes[1].legend()
off = np.abs(by_keras - [by_hand, summed]).max((1, 2))
lesson.compare("the network minus the product by hand, at most", off[0], 0, within=1e-5)
lesson.compare("the network minus a sum over a fine grid, at most", off[1], 0, within=1e-5)

# %% [markdown]
# ## What no matrix can do: the network learns where shocks will be
#
# The **Burgers equation**, $u_t + u\,u_x = \nu\,u_{xx}$: waves carry themselves along, steepen into
# shocks, and $\nu$, the viscosity, smooths them. From $u(x, 0)$ to $u(x, 1)$ is an operator that is
# *not* linear: fast crests catch up with slow troughs. Cole and Hopf found the exact solution. We
# train on random states and test on others. Beside the DeepONet stand the start itself, as if
# nothing had happened, and the best matrix, by least squares.

# %%
lesson.section()
VISCOSITY, BATCH, UNSEEN = 0.05, 50, 2_000_000_000
count, steps = lesson.choose((4000, 6000), quick=(1000, 900))


def simulated(count, first=0, viscosity=VISCOSITY, times=(1.0,), points=POINTS):
    """States at the start, (count, points), and at the times, (count, points, times)."""
    u = burgers.generate(range(first, first + count), 0, points, (0, *times), viscosity, MODES)
    return Split(u[:, 0], u[:, 1:].transpose(0, 2, 1))


def trained(split, steps, start=None, loss="mse", **options):
    """A network after so many steps from random weights, or from another's."""
    keras.utils.set_random_seed(0)
    net = models.build("deeponet", points=x, **periodic, **options)
    if start:
        net.set_weights(start.get_weights())
    batches = pipeline.training(split, BATCH, seed=0)
    epochs, rate = max(1, steps // batches.steps), 4e-3
    net.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    falling = schedules.schedule(rate, epochs * batches.steps, decay="cosine")
    fit(net, batches, epochs, learning_rate=falling)
    return net


def error(answer, exact):
    """Root mean square over that of the exact solution."""
    return np.sqrt(np.mean((np.asarray(answer) - exact) ** 2) / np.mean(exact**2))


train, test = simulated(count), simulated(500, UNSEEN)
net = trained(train, steps)
matrix = np.linalg.lstsq(train.x, train.y[..., 0], rcond=1e-3)[0]
answers = {"nothing\nhappens": test.x[..., None], "best\nmatrix": (test.x @ matrix)[..., None]}
answers["DeepONet"] = np.asarray(net(test.x))
errors = {name: error(answer, test.y) for name, answer in answers.items()}
between = models.build("deeponet", points=burgers.grid(4 * POINTS), **periodic)
between.set_weights(net.get_weights())
elsewhere = error(between(test.x), simulated(500, UNSEEN, points=4 * POINTS).y)

with lesson.figure("The network sees shocks coming; a matrix cannot", columns=2) as axes:
    axes[0].plot(x, test.x[1], ":", color="gray", label="start")
    axes[0].plot(x, test.y[1], color="black", label="exact, later")
    axes[0].plot(x, (test.x @ matrix)[1], "--", label="best matrix")
    axes[0].plot(x[::2], answers["DeepONet"][1, ::2], "o", label="DeepONet")
    axes[0].set(xlabel="x", ylabel="u")
    axes[0].legend()
    bars = axes[1].bar(list(errors), list(errors.values()), color=["gray", "C0", "C1"])
    axes[1].bar_label(bars, [f"{value:.0%}" for value in errors.values()])
    axes[1].set(xlabel="what predicts", ylabel="relative error on unseen states")
moved, linear, found = errors.values()
lesson.claim(f"the network misses by {found:.1%}, a matrix by {linear:.0%}", found < linear / 3)
lesson.claim(f"between its points it is as good: {elsewhere:.1%}", elsewhere < 1.1 * found)

# %% [markdown]
# ## What no DeepONet can do: few terms have a floor
#
# Whatever branch and trunk compute, with $K$ terms every answer is a mixture of $K$ functions and a
# constant. So the error has a **floor**, known before any training: what is left of the exact
# answers when their means and their $K$ largest principal components are taken out (Eckart and
# Young). Shocks that *move* need many components: the less viscous, the more.

# %%
lesson.section()


def floor(terms, exact=test.y[..., 0]):
    """The relative error that remains at least."""
    power = np.linalg.svd(exact - exact.mean(1, keepdims=True), compute_uv=False) ** 2
    return np.sqrt(power[terms:].sum() / np.sum(exact**2))


tried, reached = lesson.choose([1, 2, 4, 8, 16, 32], quick=[1, 2, 16]), []
for number in lesson.track(tried, "Training networks with more terms"):
    reached.append(error(trained(train, steps // 3, terms=number)(test.x), test.y))
least = [floor(number) for number in tried]

with lesson.figure("Few terms: nothing beats the floor. Many: training is the limit") as ax:
    ax.loglog(tried, reached, "o-", label="DeepONet, trained")
    ax.loglog(tried, least, color="black", linestyle="--", label="floor: principal components")
    ax.set(xlabel="terms of the sum", ylabel="relative error on unseen states", ylim=(3e-3, 1))
    ax.set_xticks(tried, list(map(str, tried)))
    ax.legend()
above = np.array(reached) / least
lesson.claim("no network is below the floor", np.all(above >= 1))
lesson.claim(f"with {tried[0]} and {tried[1]} terms they are nearly on it", max(above[:2]) < 1.2)
lesson.say(f"With {tried[-1]} terms the floor is {least[-1]:.2g}, the error {reached[-1]:.2g}.")

# %% [markdown]
# ## Transfer: a tenth of the data is enough for a new viscosity
#
# Now the fluid is twice as viscous, and our network is wrong. Simulations at the new viscosity are
# dear: we have a tenth as many, or fewer. Train a new network on them, or go on from the weights
# that we have? Both take as many steps. The dashed line is a new network with *all* data.

# %%
lesson.section()
THICKER = 2 * VISCOSITY
few = [count // part for part in lesson.choose([80, 40, 20, 10], quick=[10])]
new_test = simulated(500, UNSEEN, THICKER)
as_it_is, scratch, tuned = error(net(new_test.x), new_test.y), [], []
for number in lesson.track(few, "Training with little data"):
    little = simulated(number, count, THICKER)
    for start, ends in ((None, scratch), (net, tuned)):
        ends.append(error(trained(little, steps // 4, start)(new_test.x), new_test.y))
with_all = error(trained(simulated(count, 0, THICKER), steps // 4)(new_test.x), new_test.y)

with lesson.figure("Going on beats starting anew, at every amount of data") as ax:
    ax.loglog(few, scratch, "s-", label="from scratch")
    ax.loglog(few, tuned, "o-", label="fine-tuned")
    ax.axhline(as_it_is, color="gray", linestyle=":", label="network for the old viscosity")
    ax.axhline(with_all, color="black", linestyle="--", label=f"from scratch with all {count}")
    ax.set(xlabel="simulations at the new viscosity", ylabel="relative error on unseen states")
    ax.set_xticks(few, list(map(str, few)))
    ax.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["2%", "5%", "10%", "20%", "50%"])
    ax.minorticks_off()
    ax.legend()
lesson.claim(
    f"with a tenth: fine-tuned {tuned[-1]:.1%}, from scratch {scratch[-1]:.1%}; before "
    f"{as_it_is:.0%}; fine-tuning is better wherever we looked",
    tuned[-1] < min(0.8 * scratch[-1], as_it_is / 4) and np.all(np.array(tuned) < scratch),
)

# %% [markdown]
# ## Multi-task: where few simulations ran to the end, the others help
#
# Long simulations are dear. Say that all ran to three quarters of the time and few to the end. One
# network has four **heads**, one a time, on a common trunk and branch; its loss leaves out what is
# unknown (`KnownSquaredError`: targets that are NaN). The other network learns the last time alone,
# from the few. Both take as many steps.

# %%
lesson.section()
TIMES, ended = (0.25, 0.5, 0.75, 1.0), lesson.choose(100, quick=50)
several, all_times = simulated(count // 2, times=TIMES), simulated(500, UNSEEN, times=TIMES)
several.y[ended:, :, -1] = np.nan
known = {"alone": several.y[:ended, :, -1:], "together": several.y}
ends = {}
for name, wanted in lesson.track(list(known.items()), "Training alone and together"):
    examples, heads = Split(several.x[: len(wanted)], wanted), wanted.shape[-1]
    task = trained(examples, steps // 2, loss=KnownSquaredError(), num_outputs=heads)
    answer = np.asarray(task(all_times.x))
    ends[name] = error(answer[..., -1], all_times.y[..., -1])

with lesson.figure("Neighbours teach what few examples cannot", columns=2) as axes:
    for k, time in enumerate(TIMES):
        axes[0].plot(x, all_times.y[1, :, k], color="black", alpha=0.25 + 0.25 * k)
        axes[0].plot(x[::2], answer[1, ::2, k], "o", label=f"t = {time}")
    axes[0].set(xlabel="x", ylabel="u", title="four heads (dots) and the exact solution")
    axes[0].legend(fontsize=14)
    bars = axes[1].bar(list(ends), list(ends.values()), color=["C0", "C1"])
    axes[1].bar_label(bars, [f"{value:.1%}" for value in ends.values()])
    axes[1].set(xlabel=f"{ended} simulations ran to the end", ylabel="relative error at the end")
alone, together = ends.values()
lesson.claim(f"at the end: together {together:.1%}, alone {alone:.1%}", together < 0.85 * alone)

# %% [markdown]
# ## Exercises, and where to go next
#
# They are printed below; `tfsci lessons check` tells whether you are right. Change this file, or
# the notebook (`tfsci lessons notebook 07`), and run it again. Next: `08_distributed.py` trains on
# many processes at once.

# %%
lesson.end()
