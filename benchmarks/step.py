"""What a training step costs beside what it must; every figure a ratio within one run.

    python benchmarks/step.py              all, about 5 minutes on 2 cores
    python benchmarks/step.py fit stall    some of: fit stall saving ranks start

fit     `tfsci.training.fit` against the bare compiled step, Oak Ridge's CNN, batch 32
stall   the same against stock Keras `fit` on the same tf.data pipeline
saving  checkpoints after every epoch of 100 steps against none
ranks   two Horovod ranks of one core each against one process with two, same global batch
start   seconds that `import tfsci` and --help take
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import run, say

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
BATCH, SHAPE, CLASSES = 32, (128, 128, 3), 231


def oak_ridge():
    """Oak Ridge's two-layer CNN without dropout, compiled as a training compiles it."""
    import keras

    from tfsci.models import build

    keras.utils.set_random_seed(0)
    model = build("cnn", variant="oak-ridge", input_shape=SHAPE, num_classes=CLASSES, dropout=0.0)
    model.compile(
        keras.optimizers.SGD(0.001, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    return model


def images(batches: int):
    """Random images and labels for so many batches."""
    import numpy as np

    from tfsci.data.source import Split

    generator = np.random.default_rng(0)
    x = generator.random((batches * BATCH, *SHAPE), dtype="float32")
    return Split(x, generator.integers(0, CLASSES, len(x), dtype="int32"))


def bench_fit() -> None:
    """Steps/s of `fit`, input pipeline and progress lines included, over the bare step's."""
    from tfsci import startup

    tf = startup.import_tensorflow()
    from tfsci.data import pipeline
    from tfsci.training import callbacks, fit

    model, steps = oak_ridge(), 30
    train = pipeline.training(images(steps), BATCH)
    batch = next(iter(train.dataset))
    progress = callbacks.Progress(1, steps, BATCH)
    progress.on_epoch_end = lambda epoch, logs: None
    fit(model, train, 1, callbacks=[progress])
    bare = tf.function(model.train_step)
    bare(batch)

    def seconds_bare() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            logs = bare(batch)
        float(logs["loss"])
        return time.perf_counter() - start

    def seconds_fit() -> float:
        (row,) = fit(model, train, 1, callbacks=[progress])
        return steps * BATCH / row["examples_per_second"]

    pairs = [(seconds_bare(), seconds_fit()) for _ in range(7)]
    ratio = statistics.median(a / b for a, b in pairs)
    rate = steps * BATCH / min(a for a, _ in pairs)
    say("fit / bare compiled step", ratio, "≥ 0.97", f"bare {rate:.0f} images/s")


def bench_stall() -> None:
    """Time of stock Keras' epochs over ours, for epochs of 1.4 and 5.5 s of steps."""
    from tfsci import startup

    tf = startup.import_tensorflow()
    import keras

    from tfsci.data import pipeline
    from tfsci.training import fit

    class Pace(keras.callbacks.Callback):
        """Makes every step last 70 ms: how long an epoch waits depends on how long it lasts."""

        def on_epoch_begin(self, epoch, logs=None):
            self.end = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.end += 0.07
            time.sleep(max(0, self.end - time.perf_counter()))

    model, batch = oak_ridge(), tf.data.Dataset.from_tensors(tuple(images(1)))

    def ours(steps: int) -> None:
        fit(
            model,
            pipeline.Batches(batch.repeat(), steps, BATCH, steps * BATCH),
            1,
            callbacks=[Pace()],
        )

    def stock(steps: int) -> None:
        model.fit(batch.repeat(steps), verbose=0, shuffle=False, callbacks=[Pace()])

    def seconds_of(run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    ours(5)
    for seconds, runs in ((1.4, 8), (5.5, 5)):
        steps, ratios = round(seconds / 0.07), []
        for _ in range(runs):
            mine = seconds_of(lambda: ours(steps))  # noqa: B023
            ratios.append(seconds_of(lambda: stock(steps)) / mine)  # noqa: B023
        waited = sum(ratio > 1.1 for ratio in ratios)
        note = f"the longest of {runs} epochs; {waited} waited"
        say(f"stock fit / ours, epochs of {seconds} s", max(ratios), "≥ 1.7", note)


def bench_saving() -> None:
    """Seconds of epochs that end with a checkpoint of 45 MB over those of epochs that do not."""
    from tfsci import startup

    startup.import_tensorflow()
    from tfsci.data import pipeline
    from tfsci.distributed.strategy import Strategy
    from tfsci.training import fit
    from tfsci.training.callbacks import History
    from tfsci.training.checkpoint import Writer
    from tfsci.training.interrupts import Interrupts
    from tfsci.training.run_folder import RunFolder
    from tfsci.training.saving import Checkpoints

    epochs, steps, strategy = 2, 100, Strategy()
    model, split = oak_ridge(), images(steps)

    def seconds(callbacks) -> float:
        train = pipeline.training(split, BATCH, 0)
        start = time.perf_counter()
        fit(model, train, epochs, strategy=strategy, callbacks=callbacks)
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        run_folder = RunFolder(Path(folder) / "run", {})
        writer, history = Writer(run_folder.checkpoints), History(run_folder, ())
        interrupts = Interrupts(strategy, None, 1e6)
        saving = Checkpoints(steps, epochs, 0, strategy, interrupts, history, writer)
        seconds([])
        ratios = [seconds([history, saving]) / seconds([]) for _ in range(3)]
    say("epochs with / without a checkpoint", statistics.median(ratios), "≤ 1.02", "")


def bench_ranks() -> None:
    """Images/s of two ranks over those of one process; and of ranks that exchange nothing."""
    kinds = {"one": [], "exchange": [], "nothing": []}
    for _ in range(3):
        for kind, rates in kinds.items():
            launcher = [] if kind == "one" else [BIN / "horovodrun", "-np", "2"]
            command = [*launcher, sys.executable, __file__, "--rank", kind]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rates.append(float(done.stdout.rpartition(":")[2]))
    one, exchange, nothing = (statistics.median(rates) for rates in kinds.values())
    note = f"{one:.0f} images/s alone, {exchange:.0f} on two"
    say("two ranks / one process", exchange / one, "≥ 0.85", note)
    note = "what duplicated optimizer updates and memory traffic leave"
    say("  ranks that exchange nothing / one process", nothing / one, "", note)
    note = "the exchange, and waiting for the slower rank"
    say("  two ranks / ranks that exchange nothing", exchange / nothing, "", note)


def rank(kind: str) -> None:
    """Trains in this rank of `bench_ranks`; the chief prints images/s."""
    from tfsci import startup

    startup.import_tensorflow()
    from tfsci.data import pipeline
    from tfsci.distributed.strategy import choose
    from tfsci.training import fit

    strategy = choose()
    if kind == "nothing":
        strategy.average = lambda gradients: gradients
    train = pipeline.training(images(10), BATCH, 0, strategy.rank, strategy.num_shards)
    rows = fit(oak_ridge(), train, 6, strategy=strategy)
    if strategy.is_chief:
        print(f":{max(row['examples_per_second'] for row in rows[1:])}")


def bench_start() -> None:
    """Seconds to import the package and to print help, and whether TensorFlow was loaded."""
    check = "; import sys; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    for what, command in {
        "import tfsci": ["-c", "import tfsci" + check],
        "tfsci --help": ["-m", "tfsci", "--help"],
        "train_cnn.py --help": [ROOT / "scripts" / "train_cnn.py", "--help"],
    }.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            done = subprocess.run([sys.executable, *command], capture_output=True, cwd=ROOT)
            times.append(time.perf_counter() - start)
            if done.returncode:
                sys.exit(f"{what}: failed, or loaded TensorFlow")
        say(what, statistics.median(times), "< 0.3 s", "")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    run(
        __doc__,
        {
            "fit": bench_fit,
            "stall": bench_stall,
            "saving": bench_saving,
            "ranks": bench_ranks,
            "start": bench_start,
        },
        {"rank": rank},
    )
