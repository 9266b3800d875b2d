"""Samples of a data set as NumPy arrays, in order, for what looks at each of them once.

A simulated set that is not prepared is made on the way: nothing is written, and its known answer,
which may take longer than its samples, is not computed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfsci import startup
from tfsci.data import catalog, datasets, store
from tfsci.data.simulated import SIMULATORS, Simulated
from tfsci.data.source import Source
from tfsci.data.stream import Streamed

BATCH = 100
_COLUMNS, _MOST_COLUMNS = 8, 12  # of pictures
_LOOKED_AT = 2_000  # samples that are searched for those of a rare class


@dataclass(frozen=True)
class Samples:
    """Three splits, each to be read from its beginning.

    Attributes:
        spec: The data spec.
        sizes: Number of samples by split.
        num_classes: As in `Source`.
        class_names: Same.
        read: Gives the batches (x, y) of a split in order, as a model gets them; of its first so
            many samples where a number comes after the split. Raises a ValueError where a batch
            can't be read.
        source: What is read; None where samples are made on the way.
    """

    spec: str
    sizes: dict[str, int]
    num_classes: int | None
    class_names: tuple[str, ...] | None
    read: Callable[..., Iterator[tuple[np.ndarray, np.ndarray]]]
    source: Source | None = None


def load(
    spec: str, limit: int | None = None, data_dir: str | Path | None = None, **defaults: object
) -> Samples:
    """Returns the samples that a data spec names.

    Args:
        spec: A data spec.
        limit: As for `catalog.load`, like the next, and what is raised.
        data_dir: Same.
        **defaults: Options of a simulated set, where the spec does not give them.
    """
    name, _, options = catalog.parse(spec)
    if name in SIMULATORS:
        options = {key: str(value) for key, value in defaults.items()} | options
        simulated = Simulated.of(name, options)
        spec = simulated.spec
        if not store.is_prepared(datasets.folder_of(simulated, store.data_dir(data_dir))):
            if limit is not None and limit < simulated.options["samples"]:
                simulated = Simulated.of(name, options | {"samples": str(limit)})
            return _made(simulated, spec)
    return of_source(catalog.load(spec, limit, data_dir))


def of_source(source: Source) -> Samples:
    """Returns the samples of a source."""
    tf = startup.import_tensorflow()

    def read(name: str, number: int | None = None):
        split = source.splits[name] if number is None else source.splits[name].first(number)
        if isinstance(split, Streamed):
            whole = split.open(0, split.num_samples, None).batch(BATCH)
            yield from whole.as_numpy_iterator()
            return
        reader = split.reader()
        for start in range(0, split.num_samples, BATCH):
            stop = min(start + BATCH, split.num_samples)
            try:
                x, y = reader(tf.range(start, stop, dtype=tf.int64))
            except tf.errors.OpError as error:
                raise ValueError(
                    f"{source.name}: samples {start} to {stop - 1} of {name} can't be read "
                    f"({last_line(error)})"
                ) from error
            yield x.numpy(), y.numpy()

    sizes = {name: split.num_samples for name, split in source.splits.items()}
    return Samples(source.name, sizes, source.num_classes, source.class_names, read, source)


def last_line(error: Exception) -> str:
    """Returns what an error of TensorFlow's says, without where in its graph it came up."""
    lines = re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*?\]", "", error.message).split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else type(error).__name__


def choose(
    given: Samples, split: str, number: int | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns samples to look at: as many of each class, or the first ones.

    Args:
        given: Where they come from.
        split: Which split.
        number: How many at most; by default a few rows of tokens or fields, and more pictures.

    Returns:
        x, y, and how many to draw side by side, so that each row or each column is of one class.
    """
    batches = given.read(split)
    x, y = next(batches)
    number = number or (40 if x.ndim > 2 else 12)
    classes = given.num_classes if y.ndim == 1 and y.dtype.kind in "iu" else None
    each = number // classes if classes else 0
    if each > _COLUMNS:
        each -= each % _COLUMNS
    for more_x, more_y in batches:
        enough = np.bincount(y, minlength=classes).min() >= each if each else len(y) >= number
        if enough or len(y) >= max(number, _LOOKED_AT):
            break
        x, y = np.concatenate([x, more_x]), np.concatenate([y, more_y])
    if not each:
        return x[:number], y[:number], _COLUMNS
    rows = [np.flatnonzero(y == label)[:each] for label in range(classes)]
    if each < classes <= _MOST_COLUMNS and min(map(len, rows)) == each:
        return x[np.ravel(rows, "F")], y[np.ravel(rows, "F")], classes
    rows = np.concatenate(rows)
    return x[rows], y[rows], min(each, _COLUMNS)


def _made(simulated: Simulated, spec: str) -> Samples:
    def read(name: str, number: int | None = None):
        size = min(simulated.sizes[name], number or np.inf)
        # Workers are worth their start where there is work for several.
        chunks = [simulated.make(name, 0, size)] if size <= BATCH else simulated.chunks(name)
        for x, y in chunks:
            yield _as_input(x), y

    num_classes, names = simulated.row.classes(simulated.options)
    return Samples(spec, simulated.sizes, num_classes, names, read)


def _as_input(x: np.ndarray) -> np.ndarray:
    """What `source.as_input` does, without TensorFlow."""
    if x.dtype == np.uint8:
        return x.astype("float32") / np.float32(255)
    return x.astype("float32") if x.dtype == np.int8 else x
