"""The state of a training on disk: plain arrays, never pickled, each file whole or absent."""

import json
import os
import threading
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfsci.training.run_folder import replacing

# What NumPy and the zip file beneath it raise for bytes that are no longer an archive of arrays.
_DAMAGED = (OSError, EOFError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Position:
    """How far a training is, besides the variables of model and optimizer.

    Attributes:
        step: Steps done.
        history: Rows of ``history.csv``, one for each finished epoch.
        metrics: Variables of the metrics, added up over the processes, in an unfinished epoch.
    """

    step: int = 0
    history: Sequence[dict[str, float]] = ()
    metrics: Sequence[Sequence[float]] = field(default=())


class Writer:
    """Writes checkpoints while the training goes on.

    The copy of the variables is taken before `save` returns, and the file is written by a thread.

    Args:
        folder: Where checkpoints are kept; made when the first one is written.
        keep: How many are kept.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self._keep = Path(folder), keep
        self._thread = self._error = None

    def save(self, model, position: Position) -> None:
        """Copies the state of a training and starts writing it.

        Args:
            model: A compiled and built model.
            position: How far it is.

        Raises:
            OSError: The checkpoint before this one could not be written.
        """
        arrays = {key: np.array(v.numpy()) for key, v in _variables(model).items()}
        self.wait()
        self._thread = threading.Thread(target=self._write, args=(arrays, position))
        self._thread.start()

    def wait(self) -> None:
        """Waits until all is on disk; raises an OSError where it could not be written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, arrays: dict[str, np.ndarray], position: Position) -> None:
        try:
            write(self.folder, arrays, position, self._keep)
        except OSError as error:
            reason = error.strerror or error
            self._error = OSError(
                f"{self.folder}: the checkpoint of step {position.step} can't be written "
                f"({reason}); make room and go on with --resume from the one before"
            )


def write(folder: Path, arrays: dict[str, np.ndarray], position: Position, keep: int) -> None:
    """Writes a checkpoint whole, then drops those older than the last `keep`."""
    folder.mkdir(exist_ok=True)
    text = json.dumps(vars(position)).encode()
    with replacing(_path(folder, position.step)) as temporary, temporary.open("wb") as file:
        np.savez(file, position=np.frombuffer(text, np.uint8), **arrays)
        file.flush()
        os.fsync(file.fileno())  # a node that dies takes along what is not on disk yet
    for old in sorted(folder.glob("step-*.npz"))[:-keep]:
        old.unlink()


def restore_latest(folder: Path, model) -> Position | None:
    """Loads the newest whole checkpoint.

    Args:
        folder: Where checkpoints are kept.
        model: The model that was saved, compiled and built alike.

    Returns:
        How far the training was, or None where no checkpoint can be read.

    Raises:
        ValueError: A checkpoint is of another model.
    """
    variables = _variables(model)
    for path in sorted(folder.glob("step-*.npz"), reverse=True):
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = dict(file)
            position = _position(arrays.pop("position"))
        except (*_DAMAGED, LookupError):
            print(f"{path} is damaged and passed over", flush=True)
            continue
        shapes = {key: getattr(array, "shape", None) for key, array in arrays.items()}
        if shapes != {key: tuple(v.shape) for key, v in variables.items()}:
            raise ValueError(f"{path} is of another model; name another --output")
        for key, variable in variables.items():
            variable.assign(arrays[key])
        return position
    return None


def _position(array: np.ndarray) -> Position:
    return Position(**json.loads(array.tobytes()))


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.npz"


def _variables(model) -> dict:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    pairs = (("model", model.variables), ("optimizer", model.optimizer.variables))
    return {f"{owner}{i:05d}": v for owner, group in pairs for i, v in enumerate(group)}
