"""Traces some steps of a `fit`."""

from pathlib import Path

import keras

from tfsci.profile.tracing import Tracer


class TraceSteps(keras.callbacks.Callback):
    """Traces steps after a warm-up.

    Args:
        folder: Where the trace goes; made if missing. All ranks may be given the same.
        steps: Number of steps to trace.
        skip: Steps before them.

    Example:
        >>> model.fit(dataset, callbacks=[TraceSteps("run/profile")])  # doctest: +SKIP
        >>> tfsci.profile.report("run/profile").text  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path, steps: int = 10, skip: int = 3):
        super().__init__()
        self._tracer = Tracer(folder, steps, skip)

    def on_train_batch_begin(self, batch, logs=None):
        """Marks the start of a step."""
        self._tracer.begin_step()

    def on_train_batch_end(self, batch, logs=None):
        """Marks its end."""
        self._tracer.end_step()

    def on_train_end(self, logs=None):
        """Keeps what there is where the training is shorter."""
        self._tracer.stop()
