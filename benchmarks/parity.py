"""One script, every strategy, one loss curve: trains with each and draws all over each other.

    python benchmarks/parity.py [PICTURE.png]        about 4 minutes on 2 cores

Same seed, same global batches, no dropout. Each strategy is to give the losses of one process to
1e-5; the ways that are wrong on purpose are to be visibly apart. Horovod over MPI takes part where
`mpirun` is there and Horovod is built with MPI. Exit code 1 where a promise is not kept.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import with_mpi

from tfsci import command
from tfsci.training.options import Options

BOUND, APART = 1e-5, 1e-2
EPOCHS, BATCH = 8, 48
COLUMNS = ("loss", "val_loss")
COLOURS = ("#0072B2", "#009E73", "#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#000000", "#8A6D3B")

# Name: processes, options of the training.
RIGHT = {
    "one process": (1, {"strategy": "single"}),
    "one process, gradients accumulated over 2": (
        1,
        {"strategy": "single", "batch_size": 24, "accumulate": 2},
    ),
    "2 mirrored replicas": (1, {"replicas": 2}),
    "2 workers (multiworker)": (2, {"strategy": "multiworker"}),
    "1 rank (Horovod)": (1, {"strategy": "horovod"}),
    "2 ranks (Horovod, Gloo)": (2, {"strategy": "horovod"}),
    "4 ranks (Horovod, Gloo)": (4, {"strategy": "horovod"}),
    "2 ranks (Horovod, MPI)": (2, {"strategy": "horovod"}),
}
WRONG = (
    "gradients added up, not averaged",
    "every rank reads the same rows",
    "starts not broadcast",
)


def train(name: str, folder: str) -> None:
    """Trains in this process, rightly or wrongly."""
    from tfsci import startup

    startup.import_tensorflow()
    import keras

    from tfsci.data import pipeline
    from tfsci.distributed import horovod, launch, preflight, strategy
    from tfsci.training import run

    _, options = RIGHT.get(name, (2, {"strategy": "horovod"}))
    if name == WRONG[0]:
        average = horovod.Horovod.average
        horovod.Horovod.average = lambda self, g: [each * 2 for each in average(self, g)]
    if name == WRONG[1]:
        training = pipeline.training
        pipeline.training = lambda split, size, seed, _, *rest: training(
            split, size, seed, 0, *rest
        )
    if name == WRONG[2]:  # and the check that would find it is left out
        set_seed, rank = keras.utils.set_random_seed, launch.detect().rank
        keras.utils.set_random_seed = lambda seed: set_seed(seed + rank)
        horovod.Horovod.broadcast = strategy.Strategy.broadcast
        preflight.check_weights = lambda *_: None
    settings = {"batch_size": BATCH, **options}
    run(
        Options(epochs=EPOCHS, schedule="constant", output=folder, quiet=True, **settings),
        "cnn",
        dropout=0.0,
    )


def start(name: str, folder: Path) -> None:
    """Trains in processes of their own."""
    processes, _ = RIGHT.get(name, (2, None))
    words = [sys.executable, __file__, "--train", name, str(folder)]
    environ = {**os.environ, "TFSCI_ALONE": "1"}
    if "MPI" in name:
        root = ["--allow-run-as-root"] if os.getuid() == 0 else []
        launcher = ["mpirun", *root, "--oversubscribe", "-n", str(processes)]
        runs = [subprocess.Popen([*launcher, *words], env=environ)]
    elif processes == 1:
        runs = [subprocess.Popen(words, env=environ)]
    else:
        world = {"WORLD_SIZE": str(processes)}
        runs = [
            subprocess.Popen(words, env={**environ, **world, "RANK": str(rank)},
                             stdout=subprocess.DEVNULL if rank == 0 else None)
            for rank in range(processes)
        ]  # fmt: skip
    codes = [run.wait() for run in runs]
    if any(codes):
        raise RuntimeError(f"{name}: a process failed")


def losses(folder: Path) -> list[list[float]]:
    """Training and validation loss of a run, a row an epoch."""
    with (folder / "history.csv").open() as file:
        return [[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)]


def draw(path: Path, curves: dict[str, list[list[float]]]) -> None:
    """Draws the training losses over each other, and how far each is from one process."""
    from matplotlib.figure import Figure

    known = np.array(curves["one process"])
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, EPOCHS + 1)
    colours = iter(COLOURS)
    for name, curve in curves.items():
        wrong = name in WRONG
        style = {"linestyle": "--" if wrong else "-", "marker": "x" if wrong else "o"}
        style |= {"color": "#D55E00" if wrong else next(colours), "markersize": 4}
        style |= {"alpha": 1 - 0.3 * WRONG.index(name) if wrong else 1}
        left.plot(epochs, np.array(curve)[:, 0], label=name, **style)
        if name != "one process":
            apart = np.abs(np.array(curve) - known).max(axis=1)
            right.plot(epochs, np.maximum(apart, 1e-9), **style)
    right.axhline(BOUND, color="#666666", linestyle=":")
    right.text(EPOCHS, 1.5 * BOUND, "the bound, 1e-5", ha="right", color="#666666")
    left.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    right.set(xlabel="epoch", ylabel="apart from one process (nats)", yscale="log")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, alpha=0.3)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    figure.savefig(path, dpi=100)


def main() -> None:
    """Trains all and compares."""
    if sys.argv[1:2] == ["--train"]:
        return train(*sys.argv[2:])
    if len(sys.argv) > 2 or any(word.startswith("-") for word in sys.argv[1:]):
        print(__doc__)
        sys.exit(2)
    names = [name for name in RIGHT if "MPI" not in name or with_mpi()]
    curves, kept = {}, True
    with tempfile.TemporaryDirectory() as folder:
        for i, name in enumerate([*names, *WRONG]):
            start(name, Path(folder) / str(i))
            curves[name] = losses(Path(folder) / str(i))
            apart = np.abs(np.array(curves[name]) - curves["one process"]).max()
            good = apart > APART if name in WRONG else apart <= BOUND
            kept &= good
            wanted = f"> {APART:g}" if name in WRONG else f"≤ {BOUND:g}"
            print(f"{name:44}{apart:9.1e}  {wanted}{'' if good else '  NOT KEPT'}", flush=True)
    missing = [name for name in RIGHT if name not in names]
    for name in missing:
        print(f"{name:44}  left out: no mpirun, or Horovod is built without MPI")
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]), curves)
    sys.exit(not kept)


if __name__ == "__main__":
    command.run(main)
