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
from pathlib import Path

import networks
from harness import run, say, with_mpi

ROOT = Path(__file__).parents[1]
ROUNDS, STEPS = 5, 8
PER_RANK = {"cnn": 16, "gpt": 4}

# Kind: ranks.
KINDS = {"one": 1, "nothing": 2, "gloo": 2, "mpi": 2, "multiworker": 2, "torch": 1, "ddp": 2}


def ours(network: str, kind: str) -> float:
    """Samples/s of all ranks through `fit`."""
    from tfsci import startup

    startup.import_tensorflow()
    from tfsci.distributed.strategy import choose

    names = {"one": "single", "multiworker": "multiworker"}
    strategy = choose(names.get(kind, "horovod"))
    if kind == "nothing":
        strategy.average = lambda gradients: gradients
        strategy._exchange_requests = lambda add: None
    batch_size = PER_RANK[network] * strategy.world_size
    return networks.rate_of_ours(network, batch_size, STEPS, strategy, jit=False)


def of_torch(network: str, kind: str) -> float:
    """Samples/s of all ranks in PyTorch, eager, as its tutorials train."""
    import torch
    from torch import distributed, nn

    torch.set_num_threads(1)
    ranks = KINDS[kind]
    wrap = nn.parallel.DistributedDataParallel if ranks > 1 else lambda model: model
    if ranks > 1:
        distributed.init_process_group("gloo")
    return ranks * networks.rate_of_torch(network, PER_RANK[network], STEPS, wrap)


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
