"""What a process has, in few words and numbers, to be compared with what the others have.

A fingerprint tells different things apart but for one pair in 2³²; it is no proof against forgery.
"""

import importlib.metadata
import json
import platform
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci import __version__
from tfsci.data.source import Indexed, Source, Split
from tfsci.data.stream import Streamed
from tfsci.distributed.strategy import is_seed

if TYPE_CHECKING:
    import keras

_PLACES = 4  # samples of a split that are looked at: pictures take milliseconds each


def versions() -> dict[str, str | None]:
    """Returns the versions of all that a training depends on; None for what is not installed."""
    found = {"tfsci": __version__, "python": platform.python_version()}
    for package in ("tensorflow", "keras", "numpy", "horovod"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def data(source: Source) -> dict[str, object]:
    """Returns what tells one data set, or one version of its files, from another.

    A few samples at fixed places of each split are read, as a training reads them, so that a set
    of any size takes as long. A file that differs elsewhere and has the same size is not noticed.

    Args:
        source: The data.
    """
    names = source.class_names
    if names is not None and len(", ".join(names)) > 80:
        names = [*names[:3], "…", f"fingerprint {_fingerprint([json.dumps(names).encode()])}"]
    return {
        "data": source.name,
        **{f"{name} samples": split.num_samples for name, split in source.splits.items()},
        "input shape": "×".join(map(str, source.input_shape)),
        "classes": source.num_classes,
        "class names": names and ", ".join(names),
        "bytes of files": _bytes_of_files(source.splits.values()),
        **{
            f"fingerprint of {name} samples": _samples_fingerprint(split)
            for name, split in source.splits.items()
        },
    }


def _bytes_of_files(splits: Iterable[Indexed | Streamed]) -> int | str | None:
    """Returns the size of all files that splits read from, None where they are in memory."""
    paths = set()
    for split in splits:
        paths.update(getattr(split, "files", None) or filter(None, [getattr(split, "path", None)]))
    try:
        return sum(Path(path).stat().st_size for path in paths) if paths else None
    except OSError as error:
        return f"unreadable ({error.strerror})"


def _samples_fingerprint(split: Indexed | Streamed) -> str:
    import tensorflow as tf

    if split.num_samples == 0:
        return "none"
    try:
        if isinstance(split, Streamed):  # what comes later takes reading all before it
            batch = split.open(0, min(_PLACES, split.num_samples), None).batch(_PLACES)
            pair = next(batch.as_numpy_iterator())
        else:
            rows = np.unique(np.linspace(0, split.num_samples - 1, _PLACES).astype("int64"))
            if isinstance(split, Split):  # of all that is in memory a reader makes a copy
                pair = (split.x[rows], split.y[rows])
            else:
                pair = split.reader()(tf.constant(rows))
    except (tf.errors.OpError, OSError, ValueError) as error:
        # Where one rank alone stopped here, the others would wait for it: this way all say so.
        return f"unreadable ({type(error).__name__})"
    return _fingerprint(map(_bytes, pair))


def model(network: "keras.Model") -> dict[str, object]:
    """Returns what tells one structure of a model from another.

    Names count, but those of seeds: ranks know by them which gradients belong together.

    Args:
        network: A built model.
    """
    variables = [
        ("seed" if is_seed(v) else v.path, list(v.shape), str(v.dtype), v.trainable)
        for v in network.variables
    ]
    return {
        "model": network.name,
        "parameters": network.count_params(),
        "optimizer": type(network.optimizer).__name__ if network.optimizer else None,
        "fingerprint of variables": _fingerprint([json.dumps(variables).encode()]),
        "fingerprint of layers": _layers_fingerprint(network),
    }


def _layers_fingerprint(network: "keras.Model") -> str | None:
    import keras

    try:
        config = keras.saving.serialize_keras_object(network)
        # A learning rate is another after a checkpoint, which the chief alone reads.
        config.pop("compile_config", None)
        return _fingerprint([json.dumps(config, sort_keys=True).encode()])
    except (NotImplementedError, TypeError):  # a model of the user's that doesn't tell its layers
        return None


def weights(network: "keras.Model") -> str:
    """Returns a fingerprint of all variables but the seeds, which differ between replicas."""
    return _fingerprint(_bytes(v.numpy()) for v in network.variables if not is_seed(v))


def _bytes(array) -> np.ndarray:
    # NumPy hands out no buffer of bfloat16, and no bytes of a scalar.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _fingerprint(parts: Iterable[bytes | np.ndarray]) -> str:
    value = 0  # CRC-32 reads 4 GB/s where SHA-1 reads 2 and BLAKE2 0.8
    for part in parts:
        value = zlib.crc32(part, value)
    return f"{value:08x}"
