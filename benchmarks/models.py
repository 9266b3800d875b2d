"""Our models beside PyTorch's, eager and compiled: same layers, batch and optimizer, float32.

    python benchmarks/models.py              all, some tens of minutes on 2 cores
    python benchmarks/models.py gpt text     some of: cnn resnet gpt vit lstm text jit

cnn     Oak Ridge's network, 32 images of 128×128×3
resnet  ResNet-50, 8 images of 224×224×3, and its share of the rate of a matrix product
gpt     4 layers, width 256, 8 heads, 8 × 128 tokens of 512, and its share
vit     ViT-tiny, 8 images of 224×224×3
lstm    2 layers of 256, 32 sequences of 128 steps
text    tokens/s that the GPT writes, with and without its cache
jit     each model with XLA over without

All kinds of a model take turns, three times, each in a process of its own; a figure is the median
of the ratios within a turn.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import networks
from harness import run, say

ROOT = Path(__file__).parents[1]
ROUNDS = 3
# Steps of an epoch, what our rate over PyTorch's better one is to be, and the share of the machine.
STEPS = {"cnn": 20, "resnet": 2, "gpt": 10, "vit": 3, "lstm": 5}
WANTED = {"cnn": 2.0, "resnet": 1.2, "gpt": 1.1, "vit": 1.1, "lstm": 1.0}
SHARES = {"resnet": 0.6, "gpt": 0.65}
TORCH = ("eager", "compiled")


def compare(network: str) -> None:
    """Prints a model's rate over that of PyTorch's better kind."""
    kinds = ("ours", *TORCH, *(["product"] if network in SHARES else []))
    turns = [{kind: figure(network, kind) for kind in kinds} for _ in range(ROUNDS)]

    def typical(kind: str) -> float:
        return statistics.median(turn[kind] for turn in turns)

    ratio = statistics.median(turn["ours"] / max(turn[kind] for kind in TORCH) for turn in turns)
    rates = ", ".join(f"{kind} {typical(kind):.1f}" for kind in ("ours", *TORCH))
    say(f"{network}: ours / PyTorch's better", ratio, f"≥ {WANTED[network]}", f"{rates} samples/s")
    if network in SHARES:
        work = 3 * figure(network, "flops")
        share = statistics.median(turn["ours"] * work / turn["product"] for turn in turns)
        note = f"of {typical('product') / 1e9:.0f} GFLOP/s in products of 2048×2048"
        say("  share of the machine", share, f"≥ {SHARES[network]}", note)


def compare_jit() -> None:
    """Prints each model's rate with XLA over that without."""
    for network in networks.NETWORKS:
        turns = [
            figure(network, "xla") / figure(network, "graph")
            for _ in range(1 if network == "resnet" else ROUNDS)
        ]
        say(f"{network}: with XLA / without", statistics.median(turns), "", "")


def compare_text() -> None:
    """Prints tokens/s that the GPT writes."""
    turns = [{kind: figure("gpt", kind) for kind in ("cached", "whole")} for _ in range(ROUNDS)]
    ratio = statistics.median(turn["cached"] / turn["whole"] for turn in turns)
    say("gpt: writing with its cache / without", ratio, "≥ 10", "127 tokens, one sequence")
    say("  tokens/s", statistics.median(turn["cached"] for turn in turns), "≥ 500", "")


def figure(network: str, kind: str) -> float:
    """Returns what `measure` prints in a process of its own."""
    command = [sys.executable, __file__, "--measure", network, kind]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{network}, {kind}: {done.stdout}{done.stderr}")
    return float(done.stdout.rpartition(":")[2])


def measure(network: str, kind: str) -> None:
    """Prints samples/s of a kind, tokens/s, FLOP/s of a matrix product, or FLOP of a sample."""
    (name, options, batch_size), steps = networks.NETWORKS[network], STEPS[network]
    if kind in TORCH:
        import torch

        wrap = torch.compile if kind == "compiled" else lambda model: model
        rate = networks.rate_of_torch(network, batch_size, steps, wrap)
    else:
        from tfsci import startup

        startup.import_tensorflow()
        if kind == "product":
            rate = product()
        elif kind == "flops":
            from tfsci.models import cost

            rate = cost.sketch(name, **options).flops
        elif kind in ("cached", "whole"):
            rate = tokens_per_second(cached=kind == "cached")
        else:
            jit = {"xla": True, "graph": False, "ours": None}[kind]
            rate = networks.rate_of_ours(network, batch_size, steps, jit=jit)
    print(f":{rate}")


def product() -> float:
    """Returns FLOP/s of products of 2048×2048 float32 matrices in TensorFlow: the best of ten."""
    import tensorflow as tf

    a = tf.random.normal((2048, 2048))
    seconds = []
    for _ in range(11):
        start = time.perf_counter()
        tf.matmul(a, a).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds[1:])


def tokens_per_second(cached: bool) -> float:
    """Returns the rate at which a GPT continues one token to a full context: the best of five."""
    import numpy as np

    from tfsci import models
    from tfsci.models.generation import Generator

    name, options, _ = networks.NETWORKS["gpt"]
    write = Generator(models.build(name, **options), use_cache=cached)
    number, seconds = options["context_length"] - 1, []
    for seed in range(6):
        start = time.perf_counter()
        write(np.array([1]), number, seed=seed)
        seconds.append(time.perf_counter() - start)
    return number / min(seconds[1:])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    compared = {network: lambda network=network: compare(network) for network in networks.NETWORKS}
    run(__doc__, compared | {"text": compare_text, "jit": compare_jit}, {"measure": measure})
