"""Traces some steps of a training with TensorFlow's profiler."""

from pathlib import Path

import keras
import tensorflow as tf


class TraceSteps(keras.callbacks.Callback):
    """Traces steps after a warm-up, into a folder that TensorBoard reads.

    Args:
        folder: Where the trace goes; made if it is missing.
        steps: Number of steps to trace.
        skip: Steps before them.
    """

    def __init__(self, folder: Path, steps: int, skip: int = 3):
        super().__init__()
        self._folder, self._first, self._last = folder, skip, skip + steps
        self._step, self._tracing = 0, False

    def on_train_batch_begin(self, batch, logs=None):
        if self._step == self._first:
            tf.profiler.experimental.start(str(self._folder))
            self._tracing = True
        self._step += 1

    def on_train_batch_end(self, batch, logs=None):
        if self._step == self._last:
            self._stop()

    def on_train_end(self, logs=None):
        self._stop()

    def _stop(self):
        if self._tracing:
            tf.profiler.experimental.stop()
            self._tracing = False
