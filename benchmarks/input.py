"""How fast samples come, and what they cost; every speed is a ratio within one run.

    python benchmarks/input.py             all, about 5 minutes on 2 cores
    python benchmarks/input.py npz feed    some of: npz feed make memory

npz     2,000 files of Oak Ridge's layout: ours against PyTorch's DataLoader with two workers
        (pip install torch), in the first pass, which converts them, and in later ones
feed    each built-in set, as training batches, against the rate Oak Ridge's CNN trains at
make    seconds to make 10,000 samples of each simulated set on all cores
memory  peak resident memory while a set of 4 GB is read, in order and shuffled
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from harness import run, say

ROOT = Path(__file__).parents[1]
BATCH, SHAPE, CLASSES = 32, (128, 128, 3), 231
FILES, SAMPLES = 2_000, 10_000
SETS = ("digits", "diffraction", "damage", "galaxies", "ising", "sequences", "burgers")
WANTED = {"diffraction": "< 60 s", "ising": "< 60 s"}

# PyTorch runs in a process of its own: it and TensorFlow each bring an OpenMP.
TORCH = """
import sys, time
from pathlib import Path
import numpy as np
from torch.utils.data import DataLoader, Dataset
class Files(Dataset):
    def __init__(self, folder): self.files = sorted(Path(folder).glob("*.npz"))
    def __len__(self): return len(self.files)
    def __getitem__(self, i):
        with np.load(self.files[i]) as content: return content["data"], content["label"][0]
for _ in range(3):
    files = Files(sys.argv[1])
    loader = DataLoader(files, batch_size=32, shuffle=True, num_workers=2, persistent_workers=True)
    for _ in range(4):
        start, count = time.perf_counter(), 0
        for x, y in loader: count += len(y)
        print(count / (time.perf_counter() - start), flush=True)
    del loader
"""


def bench_npz() -> None:
    """Samples/s of an epoch of shuffled batches over PyTorch's, from a warm page cache."""
    import numpy as np

    from tfsci import startup

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        files = Path(folder, "files")
        files.mkdir()
        generator = np.random.default_rng(0)
        for i in range(FILES):
            data = generator.random((3, 128, 128), "float32")
            np.savez(files / f"{i:05}.npz", data=data, label=np.array([i % CLASSES]))
        startup.import_tensorflow()
        from tfsci.data import catalog, pipeline
        from tfsci.data.records import Index

        firsts, laters = [], []
        for attempt in range(3):
            start = time.perf_counter()
            source = catalog.load(f"npz:{files}", data_dir=Path(folder, f"prepared-{attempt}"))
            index = Index.join([split.index for split in source.splits.values()])
            batches = pipeline.training(replace(source.train, index=index), BATCH, seed=1)
            stream = iter(batches.dataset)
            for epoch in range(4):
                for _ in range(batches.steps):
                    next(stream)
                rate = batches.num_samples / (time.perf_counter() - start)
                (laters if epoch else firsts).append(rate)
                start = time.perf_counter()
        command = [sys.executable, "-c", TORCH, str(files)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"npz: PyTorch is needed (pip install torch): {done.stderr[-200:]}")
        rates = [float(text) for text in done.stdout.split()]
        theirs = [statistics.median(group) for group in (rates[::4], [*rates[1::4], *rates[2::4]])]
        for what, ours, torch, wanted, note in (
            ("first pass", statistics.median(firsts), theirs[0], "≥ 1", ", conversion included"),
            ("later passes", statistics.median(laters), theirs[1], "≥ 5", ""),
        ):
            say(f"npz, {what} / PyTorch", ours / torch, wanted, f"{ours:.0f} to {torch:.0f}{note}")


def bench_feed() -> None:
    """Samples/s that each set's training pipeline gives over what Oak Ridge's CNN takes."""
    from tfsci import startup

    tf = startup.import_tensorflow()
    import keras
    import numpy as np

    from tfsci.data import catalog, pipeline
    from tfsci.models import build

    model = build("cnn", variant="oak-ridge", input_shape=SHAPE, num_classes=CLASSES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss, jit_compile=False)
    step = tf.function(model.train_step)
    batch = (np.random.rand(BATCH, *SHAPE).astype("float32"), np.zeros(BATCH, "int32"))

    def rate(run, count: int) -> float:
        run(count // 10)
        start = time.perf_counter()
        run(count)
        return count * BATCH / (time.perf_counter() - start)

    def train(count: int) -> None:
        for _ in range(count):
            logs = step(batch)
        float(logs["loss"])

    for name in SETS:
        source = catalog.load(name)
        dataset = pipeline.training(source.train, BATCH).dataset

        def feed(count: int, dataset=dataset) -> None:
            for _ in dataset.take(count):
                pass

        pairs = [(rate(feed, 1000), rate(train, 30)) for _ in range(3)]
        ratio = statistics.median(ours / cnn for ours, cnn in pairs)
        ours, cnn = (statistics.median(column) for column in zip(*pairs, strict=True))
        say(f"{name}, feed / CNN", ratio, "≥ 20", f"{ours:.0f} against {cnn:.0f} samples/s")


def bench_make() -> None:
    """Seconds to make 10,000 samples of each simulated set, with all cores of this process."""
    from tfsci.data.simulated import SIMULATORS, Simulated

    for name in SIMULATORS:
        simulated = Simulated.of(name, {"samples": str(SAMPLES)})
        start = time.perf_counter()
        count = sum(len(y) for split in simulated.sizes for _, y in simulated.chunks(split))
        say(f"{name}, {count} samples", time.perf_counter() - start, WANTED.get(name, "< 30 s"), "")


def bench_memory() -> None:
    """Peak resident memory in MB of a process that reads a 4 GB set."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        if shutil.disk_usage(folder).free < 6e9:
            sys.exit(f"memory: {folder} needs 6 GB; set TMPDIR to a larger disk")
        command = [sys.executable, __file__, "--memory"]
        subprocess.run([*command, "write", folder], check=True)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.tfrecord"))
        for how in ("import", "evaluate", "train"):
            done = subprocess.run(
                [*command, how, folder], capture_output=True, text=True, check=True
            )
            what = {"import": "TensorFlow alone"}.get(how, f"{size / 1e9:.2f} GB, {how}")
            say(f"{what}, peak MB", float(done.stdout), "" if how == "import" else "< 1000", "")


def memory(how: str, folder: str) -> None:
    """Writes the set of `bench_memory`, or reads it all and prints the peak."""
    import numpy as np

    from tfsci import startup

    startup.import_tensorflow()
    from tfsci.data import convert, pipeline, store
    from tfsci.data.collection import Collection, Part

    if how == "write":
        block = np.random.default_rng(0).random((100, *SHAPE), "float32")
        parts = tuple(Part(Path(str(i)), rows=(0, 100)) for i in range(204))
        collection = Collection(parts, SHAPE, "float32", lambda part: (block, np.arange(100) % 7))
        convert.convert("npz:made", collection, Path(folder, "set"))
    elif how != "import":
        source = store.open_source(Path(folder, "set"))
        count = 0
        for split in (source.train, source.validation, source.test):
            batches = getattr(pipeline, {"evaluate": "evaluation", "train": "training"}[how])(
                split, BATCH
            )
            for _ in batches.dataset.take(batches.steps):
                count += BATCH
        if count < 20_000:
            sys.exit(f"only {count} samples were read")
    if how != "write":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    run(
        __doc__,
        {"npz": bench_npz, "feed": bench_feed, "make": bench_make, "memory": bench_memory},
        {"memory": memory},
    )
