"""Learning-rate schedules: pure functions of the step.

Each factor below multiplies the peak learning rate; progress runs from 0 to 1 over the training.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(progress: float) -> float:
    """Returns 1."""
    return 1.0


def cosine(progress: float) -> float:
    """Returns (1 + cos π·progress) / 2 (Loshchilov and Hutter 2017, eq. 5, without restarts)."""
    return (1 + math.cos(math.pi * progress)) / 2


def step(progress: float, boundaries: tuple[float, ...] = (1 / 3, 2 / 3, 8 / 9)) -> float:
    """Returns a factor that falls to a tenth of itself at each boundary.

    The default is the ImageNet recipe of 90 epochs, drops at 30, 60 and 80 (Goyal et al. 2017,
    section 5.1).
    """
    return 0.1 ** sum(progress >= boundary for boundary in boundaries)


DECAYS = {"constant": constant, "cosine": cosine, "step": step}


def scaled(learning_rate: float, rule: str, world_size: int) -> float:
    """Returns the learning rate for a global batch that has grown with the number of replicas.

    Args:
        learning_rate: What is right for one replica.
        rule: ``"linear"`` (η·n, Goyal et al. 2017), ``"sqrt"`` (η·√n, Krizhevsky 2014) or
            ``"none"``.
        world_size: Number of replicas, n.
    """
    factors = {"none": 1, "sqrt": math.sqrt(world_size), "linear": world_size}
    if rule not in factors:
        raise ValueError(f"--scale-lr {rule}: expected one of {', '.join(factors)}")
    return learning_rate * factors[rule]


def schedule(
    peak: float, total_steps: int, warmup_steps: int = 0, decay: str = "constant", start: float = 0
) -> Schedule:
    """Returns the learning rate as a function of the step.

    Over the warm-up the rate rises in equal parts from `start`, which it never takes, to `peak`,
    which step `warmup_steps` is the first to take: start + (peak − start)·(k + 1)/(w + 1).

    Args:
        peak: Learning rate after the warm-up.
        total_steps: Steps of the whole training.
        warmup_steps: Steps of the warm-up, w.
        decay: A row of `DECAYS`, over the steps after the warm-up.
        start: Where the warm-up rises from.

    Returns:
        A function from the step k, 0 … total_steps − 1, to the learning rate.

    Raises:
        ValueError: The decay is unknown, or the warm-up is longer than the training.
    """
    if decay not in DECAYS:
        raise ValueError(f"--schedule {decay}: expected one of {', '.join(DECAYS)}")
    if warmup_steps > total_steps:
        raise ValueError(
            f"--warmup-epochs: {warmup_steps} steps of warm-up in a training of {total_steps}; "
            "expected at most as many epochs as --epochs"
        )

    def rate(k: int) -> float:
        if k < warmup_steps:
            return start + (peak - start) * (k + 1) / (warmup_steps + 1)
        return peak * DECAYS[decay]((k - warmup_steps) / max(1, total_steps - warmup_steps))

    return rate
