"""One rank against two of one core each: Horovod, tf.distribute and PyTorch's DDP, same work.

    python benchmarks/scaling.py           both networks, about 8 minutes on 2 cores
    python benchmarks/scaling.py gpt       one of: cnn gpt

Oak Ridge's CNN without dropout, 16 images of 128×128×3 a rank; a GPT of 3.3 M parameters,
4 sequences of 128 tokens a rank. All kinds take turns, five times; each figure is the median over
the turns of a ratio within one. The ceiling is two ranks that exchange nothing and wait for nobody.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import run, say, with_mpi

ROOT = Path(__file__).parents[1]
ROUNDS, STEPS, EPOCHS = 5, 8, 4
LAYERS, WIDTH, HEADS, VOCABULARY, CONTEXT = 4, 256, 8, 512, 128
PER_RANK = {"cnn": 16, "gpt": 4}
PIXELS, CLASSES = (128, 128, 3), 231

# Kind: ranks.
KINDS = {"one": 1, "nothing": 2, "gloo": 2, "mpi": 2, "multiworker": 2, "torch": 1, "ddp": 2}


def samples(network: str, number: int):
    """Random inputs and targets."""
    import numpy as np

    generator = np.random.default_rng(0)
    if network == "cnn":
        x = generator.random((number, *PIXELS), dtype="float32")
        return x, generator.integers(0, CLASSES, number, dtype="int32")
    tokens = generator.integers(0, VOCABULARY, (number, CONTEXT + 1), dtype="int32")
    return tokens[:, :-1], tokens[:, 1:]


def ours(network: str, kind: str) -> float:
    """Samples/s of all ranks through `fit`."""
    from tfsci import startup

    startup.import_tensorflow()
    import keras

    from tfsci import models
    from tfsci.data import pipeline
    from tfsci.data.source import Split
    from tfsci.distributed.strategy import choose
    from tfsci.training import fit

    names = {"one": "single", "multiworker": "multiworker"}
    strategy = choose(names.get(kind, "horovod"))
    if kind == "nothing":
        strategy.average = lambda gradients: gradients
        strategy._exchange_requests = lambda add: None
    with strategy.scope():
        if network == "cnn":
            options = {"variant": "oak-ridge", "input_shape": PIXELS, "num_classes": CLASSES}
            model = models.build("cnn", dropout=0.0, **options)
        else:
            sizes = {"vocabulary_size": VOCABULARY, "context_length": CONTEXT}
            model = models.build("gpt", num_layers=LAYERS, width=WIDTH, num_heads=HEADS, **sizes)
        model.compile(
            keras.optimizers.SGD(0.001, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
    batch_size = PER_RANK[network] * strategy.world_size
    split = Split(*samples(network, STEPS * batch_size))
    train = pipeline.training(split, batch_size, 0, strategy.rank, strategy.num_shards)
    rows = fit(model, train, EPOCHS, strategy=strategy)
    return statistics.median(row["examples_per_second"] for row in rows[1:])


def of_torch(network: str, kind: str) -> float:
    """Samples/s of all ranks in PyTorch, eager, as its tutorials train."""
    import torch
    from torch import distributed, nn

    torch.set_num_threads(1)
    ranks = KINDS[kind]
    if ranks > 1:
        distributed.init_process_group("gloo")
    model = cnn(nn) if network == "cnn" else gpt(torch)
    if ranks > 1:
        model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    x, y = samples(network, STEPS * PER_RANK[network])
    if network == "cnn":
        x = x.transpose(0, 3, 1, 2).copy()
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    rates = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for a, b in zip(x.split(PER_RANK[network]), y.split(PER_RANK[network]), strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(a).flatten(0, -2), b.flatten()).backward()
            optimizer.step()
        rates.append(ranks * len(x) / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def cnn(nn):
    """Oak Ridge's network in PyTorch."""
    return nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(24 * 32 * 32, CLASSES)),
    )


def gpt(torch):
    """The same GPT in PyTorch: pre-norm, one q-k-v projection, tied embedding."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(
                nn.Linear(WIDTH, 4 * WIDTH), nn.GELU("tanh"), nn.Linear(4 * WIDTH, WIDTH)
            )

        def forward(self, x):
            batch, length, _ = x.shape
            split = self.qkv(self.norms[0](x)).view(batch, length, 3, HEADS, WIDTH // HEADS)
            q, k, v = split.permute(2, 0, 3, 1, 4)
            attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(attended.transpose(1, 2).reshape(batch, length, WIDTH))
            return x + self.mlp(self.norms[1](x))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Parameter(torch.zeros(CONTEXT, WIDTH))
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
            self.norm = nn.LayerNorm(WIDTH)

        def forward(self, tokens):
            x = self.blocks(self.tokens(tokens) + self.positions)
            return self.norm(x) @ self.tokens.weight.T

    return Gpt()


def rank(network: str, kind: str) -> None:
    """Trains in this process; rank 0 prints samples/s."""
    rate = (of_torch if kind in ("torch", "ddp") else ours)(network, kind)
    if os.environ.get("RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0")) == "0":
        print(f":{rate}")


def rate_of(network: str, kind: str, port: int) -> float:
    """Samples/s of one kind, in processes of their own, each on one core."""
    ranks = KINDS[kind]
    words = [sys.executable, __file__, "--rank", network, kind]
    environ = os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
    if kind == "mpi":
        root = ["--allow-run-as-root"] if os.getuid() == 0 else []
        commands = [["mpirun", *root, "--bind-to", "core", "-n", "2", *words]]
        environs = [environ]
    else:
        cores = sorted(os.sched_getaffinity(0))
        commands = [["taskset", "-c", str(cores[r]), *words] for r in range(ranks)]
        world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
        own = {"OMP_NUM_THREADS": "1", "TFSCI_ALONE": "1"} | (world if ranks > 1 else {})
        environs = [environ | own | ({"RANK": str(r)} if ranks > 1 else {}) for r in range(ranks)]
    started = [
        subprocess.Popen(
            command, env=each, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command, each in zip(commands, environs, strict=True)
    ]
    printed = [process.communicate() for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"{network}, {kind}: {printed}")
    return float(printed[0][0].rpartition(":")[2])


def compare(network: str) -> None:
    """Prints the ratios of one network."""
    kinds = [kind for kind in KINDS if kind != "mpi" or with_mpi()]
    turns = []
    for turn in range(ROUNDS):
        turns.append(
            {kind: rate_of(network, kind, 29500 + 10 * turn + i) for i, kind in enumerate(kinds)}
        )

    def ratio(kind: str, other: str) -> float:
        return statistics.median(turn[kind] / turn[other] for turn in turns)

    def rate(kind: str) -> str:
        return f"{statistics.median(turn[kind] for turn in turns):.0f} samples/s"

    say(f"{network}: 1 rank / PyTorch", ratio("one", "torch"), "> 1", rate("one"))
    say("  2 ranks that exchange nothing / 1 rank", ratio("nothing", "one"), "", rate("nothing"))
    for kind, name in (("gloo", "Horovod, Gloo"), ("mpi", "Horovod, MPI")):
        if kind in kinds:
            say(f"  2 ranks ({name}) / nothing", ratio(kind, "nothing"), "≥ 0.92", rate(kind))
    say(
        "  2 workers (multiworker) / nothing",
        ratio("multiworker", "nothing"),
        "",
        rate("multiworker"),
    )
    say("  PyTorch, 2 ranks (DDP) / PyTorch, 1", ratio("ddp", "torch"), "", rate("ddp"))
    say("  2 ranks (Horovod, Gloo) / DDP", ratio("gloo", "ddp"), "> 1", "")


if __name__ == "__main__":
    run(
        __doc__,
        {"cnn": lambda: compare("cnn"), "gpt": lambda: compare("gpt")},
        {"rank": rank},
    )
