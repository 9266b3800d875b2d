"""Keeps the state of an elastic training in the memory of every rank."""

# ruff: noqa: D102  (Keras names and documents the hooks of a callback)

from tfsci.distributed.strategy import Strategy
from tfsci.training.callbacks import Steps
from tfsci.training.checkpoint import Position
from tfsci.training.elastic import Elastic
from tfsci.training.fit import metric_totals
from tfsci.training.run_folder import HISTORY_COLUMNS

_PER_EPOCH = 10


class Commits(Steps):
    """Keeps it ten times an epoch; comes on every process, before what saves on disk.

    Args:
        elastic: Where it is kept.
        per_epoch: Steps in a whole epoch.
        position: Where the round began.
        strategy: How the processes work together.
    """

    def __init__(self, elastic: Elastic, per_epoch: int, position: Position, strategy: Strategy):
        super().__init__(per_epoch, position.step)
        self._elastic, self._strategy = elastic, strategy
        self._rows = list(position.history)
        self._every = -(-per_epoch // _PER_EPOCH)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        within = self.done % self.per_epoch
        if within and within % self._every == 0:
            self._keep([t.tolist() for t in metric_totals(self.model, self._strategy)])

    def on_epoch_end(self, epoch, logs=None):
        known = {name: logs[name] for name in HISTORY_COLUMNS if name in logs}
        self._rows = [*self._rows[:epoch], {"epoch": epoch + 1, **known}]
        self._keep([])

    def _keep(self, totals):
        # Where no gradients of a step that is not done yet are kept.
        if self.done % (self.model.optimizer.gradient_accumulation_steps or 1) == 0:
            self._elastic.keep(self.model, Position(self.done, list(self._rows), totals))
