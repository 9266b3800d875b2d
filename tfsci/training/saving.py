"""Saves a training as it goes, and stops it where it is asked to."""

from tfsci.distributed.strategy import Strategy
from tfsci.training.callbacks import History, Steps
from tfsci.training.checkpoint import Position, Writer
from tfsci.training.fit import metric_totals
from tfsci.training.interrupts import Interrupted, Interrupts


class Checkpoints(Steps):
    """Saves after every epoch and when asked to; comes last, on every process.

    Args:
        per_epoch: Steps in a whole epoch.
        epochs: Epochs in all.
        first_step: Steps done before.
        strategy: How the processes work together.
        interrupts: What asks to save or stop.
        history: The chief's history, None elsewhere.
        writer: The chief's, None elsewhere.

    Raises:
        Interrupted: Where it was asked to stop, once all is on disk.
        OSError: A checkpoint can't be written.
    """

    def __init__(
        self,
        per_epoch: int,
        epochs: int,
        first_step: int,
        strategy: Strategy,
        interrupts: Interrupts,
        history: History | None = None,
        writer: Writer | None = None,
    ):
        super().__init__(per_epoch, first_step)
        self._last_step = epochs * per_epoch
        self._strategy, self._interrupts = strategy, interrupts
        self._history, self._writer = history, writer

    def on_train_batch_begin(self, batch, logs=None):
        self._interrupts.ask()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self._strategy.asked() and self.done % self.per_epoch:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        self._save()

    def on_train_end(self, logs=None):
        if self._writer:
            self._writer.wait()

    def _save(self):
        """Saves, where no gradients of a step that is not done yet are kept."""
        step = self.done
        if step % (self.model.optimizer.gradient_accumulation_steps or 1):
            return
        within = step % self.per_epoch
        self._strategy.average_statistics(self.model)
        totals = [t.tolist() for t in metric_totals(self.model, self._strategy)] if within else []
        if self._writer:
            rows = self._history.rows[: step // self.per_epoch]
            self._writer.save(self.model, Position(step, rows, totals))
        self._interrupts.saved()
        reasons = sorted(self._strategy.asked() - {"save"})
        self._strategy.answered()
        if reasons and step < self._last_step:
            self._stop(reasons[0])

    def _stop(self, reason: str):
        if self._writer:
            self._writer.wait()
        self._strategy.gather(None)  # nobody leaves before the checkpoint is there
        step, per_epoch = self.done, self.per_epoch
        raise Interrupted(
            f"stopped by {reason} after step {step} of {self._last_step} (epoch "
            f"{(step - 1) // per_epoch + 1}), and saved",
            reason,
            self._writer and self._writer.folder.parent,
        )
