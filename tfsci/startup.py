"""Imports TensorFlow without its start-up chatter."""

import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow, and Keras on it, quietly.

    TensorFlow writes to the process's standard error before any setting of its own can stop it.
    What it says while it is imported is kept back, and shown if the import fails.

    Returns:
        The module `tensorflow`.

    Raises:
        ValueError: ``KERAS_BACKEND`` names another backend.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise ValueError(
            f"KERAS_BACKEND={backend}: training needs the tensorflow backend; unset the variable"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors come as exceptions all the same
    with _stderr_kept_back():
        import keras  # noqa: F401
        import tensorflow as tf
    return tf


class QuietImport(importlib.abc.MetaPathFinder):
    """Put before `sys.meta_path`: a script's own ``import tensorflow`` is as quiet as ours."""

    def find_spec(self, name, path, target=None):
        """Returns the spec of TensorFlow alone, with a loader that keeps its chatter back."""
        if name != "tensorflow":
            return None
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader.exec_module = _stderr_kept_back()(spec.loader.exec_module)
        return spec


@contextlib.contextmanager
def _stderr_kept_back():
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept, os.fdopen(os.dup(2), "wb") as terminal:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            terminal.write(kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)
