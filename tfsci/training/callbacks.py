"""What happens around the steps: one small callback a concern."""

import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfsci.data.pipeline import Batches
from tfsci.distributed.strategy import Strategy
from tfsci.training.fit import evaluate, metric_totals, set_metric_totals
from tfsci.training.run_folder import HISTORY_COLUMNS, RunFolder
from tfsci.training.schedules import Schedule


class Steps(keras.callbacks.Callback):
    """Counts the steps for the callbacks after it, over all epochs and over interruptions.

    Attributes:
        per_epoch: Steps in a whole epoch.
        done: Steps done.
    """

    async_safe = True  # Keras may then hand out logs while the next step runs

    def __init__(self, per_epoch: int, done: int = 0):
        super().__init__()
        self.per_epoch, self.done = per_epoch, done

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1


class AddMetrics(keras.callbacks.Callback):
    """Adds to the metrics what an interrupted epoch had brought, once Keras has built them."""

    def __init__(self, totals, strategy: Strategy):
        super().__init__()
        self._totals, self._strategy = totals, strategy

    def on_train_batch_end(self, batch, logs=None):
        if self._totals:
            here = metric_totals(self.model, self._strategy)
            pairs = zip(here, self._totals, strict=True)
            totals = [total + np.asarray(earlier) for total, earlier in pairs]
            set_metric_totals(self.model, totals, self._strategy)
            self._totals = ()


class EpochResults(keras.callbacks.Callback):
    """Puts into the logs of an epoch what holds over all processes, and its validation.

    Comes before the callbacks that read them.
    """

    async_safe = True

    def __init__(self, batch_size: int, validation: Batches | None, strategy: Strategy):
        super().__init__()
        self._batch_size, self._validation, self._strategy = batch_size, validation, strategy
        self._traced = False

    def on_epoch_begin(self, epoch, logs=None):
        self._start = self._end = time.perf_counter()
        self._untimed = self._batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self._end = time.perf_counter()
        # The first step of a process traces the model: the clock starts after it. In later epochs
        # the first step counts: its batch is waited for, while more are prefetched.
        if not self._traced and batch + 1 < self.params["steps"]:
            self._start, self._untimed = self._end, batch + 1
        self._traced, self._batches = True, batch + 1

    def on_epoch_end(self, epoch, logs=None):
        names = list(logs)
        *sums, processes = self._strategy.sum([*logs.values(), 1.0])
        logs.update({name: total / processes for name, total in zip(names, sums, strict=True)})
        timed = (self._batches - self._untimed) * self._batch_size
        rate = timed / max(self._end - self._start, 1e-9)
        self._strategy.average_statistics(self.model)
        if self._validation is not None:
            results = evaluate(self.model, self._validation, self._strategy)
            logs.update({f"val_{name}": value for name, value in results.items()})
        logs["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())
        logs["examples_per_second"] = rate


class EpochRows(keras.callbacks.Callback):
    """Keeps the logs of every epoch."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **logs})


class SetLearningRate(keras.callbacks.Callback):
    """Sets the optimizer's learning rate before each step, so that a saved one holds a number."""

    def __init__(self, schedule: Schedule, steps: Steps):
        super().__init__()
        self._schedule, self._steps, self._last = schedule, steps, None

    def on_train_batch_begin(self, batch, logs=None):
        rate = self._schedule(self._steps.done)
        if rate != self._last:
            self.model.optimizer.learning_rate = self._last = rate


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops at the first step whose loss is NaN or infinite, and names it."""

    async_safe = True

    def __init__(self, steps: Steps):
        super().__init__()
        self._steps = steps

    def on_train_batch_end(self, batch, logs=None):
        loss = logs["loss"]
        if not math.isfinite(loss):
            step, per_epoch = self._steps.done, self._steps.per_epoch
            epoch, before = divmod(step - 1, per_epoch)
            raise FloatingPointError(
                f"the loss is {loss} at step {step} (epoch {epoch + 1}, batch {before + 1} "
                f"of {per_epoch}): lower --learning-rate or lengthen --warmup-epochs"
            )


class History(keras.callbacks.Callback):
    """Writes ``history.csv`` after every epoch.

    Attributes:
        rows: What it holds.

    Args:
        folder: The chief's run folder.
        rows: Of the epochs before.
    """

    def __init__(self, folder: RunFolder, rows: Sequence[dict[str, float]] = ()):
        super().__init__()
        self._folder, self.rows = folder, list(rows)

    def on_epoch_end(self, epoch, logs=None):
        known = {name: logs[name] for name in HISTORY_COLUMNS if name in logs}
        self.rows = [*self.rows[:epoch], {"epoch": epoch + 1, **known}]
        self._folder.write_history(self.rows)


class Progress(keras.callbacks.Callback):
    """A bar that moves with the steps on a terminal, and a line for each epoch everywhere.

    Args:
        epochs: Epochs in all.
        steps: Steps in an epoch.
        batch_size: Samples of a global batch.
        first_step: Steps done before.
        seconds: How often a long epoch says where it is, where there is no terminal.
        clock: Returns seconds.
    """

    async_safe = True

    def __init__(
        self,
        epochs: int,
        steps: int,
        batch_size: int,
        first_step: int = 0,
        seconds: float = 30,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self._epochs, self._steps, self._batch_size = epochs, steps, batch_size
        self._first_step = first_step
        self._terminal = sys.stdout.isatty()
        self._interval = 0.1 if self._terminal else seconds
        self._clock = clock

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1
        self._start = self._said = self._clock()
        self._before = max(0, self._first_step - epoch * self._steps)

    def on_train_batch_end(self, batch, logs=None):
        now = self._clock()
        if now - self._said < self._interval:
            return
        self._said = now
        rate = (batch + 1) * self._batch_size / (now - self._start)
        done = (self._before + batch + 1) / self._steps
        text = f"{self._head()}  {_numbers(logs)}  {rate:,.0f} examples/s"
        if self._terminal:
            columns = shutil.get_terminal_size().columns
            bar = "█" * round(20 * done) + "░" * (20 - round(20 * done))
            print(f"\r\x1b[K{f'{text}  {bar} {done:4.0%}'[: columns - 1]}", end="", flush=True)
        else:
            print(f"{text}  {done:.0%} of the epoch", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        start = "\r\x1b[K" if self._terminal else ""
        rate = logs["examples_per_second"]
        print(f"{start}{self._head()}  {_numbers(logs)}  {rate:,.0f} examples/s", flush=True)

    def _head(self) -> str:
        width = len(str(self._epochs))
        return f"epoch {self._epoch:{width}}/{self._epochs}"


def _numbers(logs) -> str:
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return "  ".join(f"{name} {logs[name]:.4f}" for name in names if name in logs)
