"""The state of a training on disk: plain arrays, never pickled, each file whole or absent."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from tfsci.training.run_folder import replacing

_KEEP = 2
# What NumPy and the zip file beneath it raise for bytes that are no longer an archive of arrays.
_DAMAGED = (OSError, EOFError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)


def save(folder: Path, model, step: int) -> None:
    """Writes all variables of a model and its optimizer, and drops old checkpoints.

    Args:
        folder: Where checkpoints are kept; made if it is missing.
        model: A compiled and built model.
        step: Steps done.
    """
    folder.mkdir(exist_ok=True)
    with replacing(folder / f"step-{step:09d}.npz") as temporary:
        np.savez(temporary, **{key: v.numpy() for key, v in _variables(model).items()})
    for old in sorted(folder.glob("step-*.npz"))[:-_KEEP]:
        old.unlink()


def restore_latest(folder: Path, model) -> int | None:
    """Loads the newest whole checkpoint.

    Args:
        folder: Where checkpoints are kept.
        model: The model that was saved, compiled and built alike.

    Returns:
        Steps done, or None where no checkpoint can be read.

    Raises:
        ValueError: A checkpoint is of another model.
    """
    variables = _variables(model)
    for path in sorted(folder.glob("step-*.npz"), reverse=True):
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = dict(file)
        except _DAMAGED:
            print(f"{path} is damaged and passed over")
            continue
        shapes = {key: getattr(array, "shape", None) for key, array in arrays.items()}
        if shapes != {key: tuple(v.shape) for key, v in variables.items()}:
            raise ValueError(f"{path} is of another model; name another --output")
        for key, variable in variables.items():
            variable.assign(arrays[key])
        return int(path.stem.removeprefix("step-"))
    return None


def _variables(model) -> dict:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    pairs = (("model", model.variables), ("optimizer", model.optimizer.variables))
    return {f"{owner}{i:05d}": v for owner, group in pairs for i, v in enumerate(group)}
