"""Tells the watch over the ranks what a training is at."""

# ruff: noqa: D102  (Keras names and documents the hooks of a callback)

import keras

from tfsci.distributed.watch import Watch


class Watching(keras.callbacks.Callback):
    """Comes first of the callbacks given to `fit`, on every process.

    Args:
        watch: Of this process.
        per_epoch: Steps in a whole epoch.
        first_step: Steps done before.
    """

    async_safe = True

    def __init__(self, watch: Watch, per_epoch: int, first_step: int = 0):
        super().__init__()
        self._watch, self._per_epoch, self._done = watch, per_epoch, first_step

    def on_train_begin(self, logs=None):
        self._watch.count_steps(self.model.optimizer)

    def on_train_batch_begin(self, batch, logs=None):
        self._watch.doing = f"training step {self._done + 1}"

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        epoch, within = divmod(self._done, self._per_epoch)
        after = f"step {self._done}" if within else f"epoch {epoch}"
        self._watch.doing = f"what follows {after}" if within else f"validation after {after}"

    def on_epoch_end(self, epoch, logs=None):
        self._watch.doing = f"saving after epoch {epoch + 1}"
