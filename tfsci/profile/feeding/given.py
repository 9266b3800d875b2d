"""The pipeline to measure: out of a user's own script, or of a data spec."""

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def scripted(place: str) -> "tf.data.Dataset":
    """Runs a script, not as ``__main__``, and returns one of its datasets.

    Args:
        place: ``FILE.py:NAME``; NAME is a `tf.data.Dataset`, or a function without arguments that
            returns one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The script fails, or has nothing of that name.

    Example:
        >>> scripted("train.py:batches")  # doctest: +SKIP
        <_PrefetchDataset element_spec=...>
    """
    import tensorflow as tf

    file, colon, name = place.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise ValueError(f"{place}: expected FILE.py:NAME, a dataset or a function that returns it")
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file; expected FILE.py:NAME")
    sys.path.insert(0, str(Path(file).absolute().parent))  # as python FILE.py has it
    found = vars(_own(file, lambda: _imported(file)))
    if name not in found:
        known = [each for each, value in found.items() if isinstance(value, tf.data.Dataset)]
        known += [each for each, value in found.items() if _is_own(value, file)]
        raise ValueError(
            f"{place}: nothing of that name in it; it has {', '.join(known) or 'no datasets'}"
        )
    given = found[name]
    if callable(given) and not isinstance(given, tf.data.Dataset):
        given = _own(file, given)
    if not isinstance(given, tf.data.Dataset):
        kind = type(given).__name__
        raise ValueError(f"{place}: expected a tf.data.Dataset, or a function without arguments "
                         f"that returns one; got {kind}")  # fmt: skip
    return given


def _imported(file: str):
    """Returns a script as a module, which AutoGraph looks for among those imported."""
    name = f"{Path(file).stem}_"  # not that of a package
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None:
        raise ImportError("not a Python file; expected a name that ends with .py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built_in(
    spec: str, batch_size: int, augment: str | None = None, data_dir: str | None = None
) -> "tf.data.Dataset":
    """Returns the training batches of a data spec, as one process gets them.

    Args:
        spec: See `tfsci.data.catalog`.
        batch_size: Samples of a batch.
        augment: What is done to them, see `tfsci.data.augment`.
        data_dir: Where prepared sets lie.

    Raises:
        ValueError: The spec, the size or the augmentation does not fit.
    """
    from tfsci.data import augment as augmentation
    from tfsci.data import catalog, pipeline

    changes = augmentation.parse(augment) if augment else None
    source = catalog.load(spec, data_dir=data_dir)
    return pipeline.training(source.train, batch_size, augment=changes).dataset


def _own(file: str, call):
    """Calls what the user has written; an error says where it came from, in a line."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        at = f", line {lines[-1]}" if lines else ""
        what = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {what[0]}" if what else type(error).__name__
        raise ValueError(f"{file}{at}: {said}") from error


def _is_own(value: object, file: str) -> bool:
    code = getattr(value, "__code__", None)
    return bool(code and code.co_filename == file and not code.co_argcount)
