"""TensorFlow Datasets: simulated sets prepared by it, and any set that it knows by name."""

import contextlib
import functools
import io
import itertools
import logging
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from tfsci import startup
from tfsci.data import store
from tfsci.data.example import Feature, locate
from tfsci.data.records import Index, Records, scan
from tfsci.data.simulated import Simulated
from tfsci.data.source import FRACTIONS, SPLITS, Indexed, Source, as_input
from tfsci.data.stream import Streamed

VERSION = "1.0.0"  # of the simulated sets; another one where their samples change
_SHARD_BYTES = 16 << 20  # so that a set of some 100 MB is a few files
_SIZE = 224  # of images that differ in size, where the spec does not say
_RECORDS = "tfsci-records.npz"  # where records lie, not arrays within them
_NAMES = {"validation": ("validation", "val", "dev"), "test": ("test",)}


def import_tfds() -> ModuleType:
    """Returns `tensorflow_datasets`, which it makes quiet.

    Raises:
        ModuleNotFoundError: It is not installed; the message says how to.
    """
    startup.import_tensorflow()
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ModuleNotFoundError(
            f"prepared sets need TensorFlow Datasets ({error}): pip install 'tfsci[data]'"
        ) from None
    import absl.logging

    absl.logging.set_verbosity(absl.logging.ERROR)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # tells of each try of a download
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = 3  # of 10, each after a longer wait: minutes where no network is
    tfds.disable_progress_bar()
    return tfds


def folder_of(simulated: Simulated, data_dir: Path) -> Path:
    """Returns where a simulated set is prepared."""
    return data_dir / simulated.name / simulated.config / VERSION


def prepare_simulated(simulated: Simulated, data_dir: Path) -> None:
    """Makes a simulated set in `folder_of`; the caller holds its lock."""
    from tfsci.data.builders import BUILDERS

    builder = BUILDERS[simulated.name](simulated=simulated, data_dir=data_dir)
    folder = folder_of(simulated, data_dir)
    for leftover in folder.parent.glob(f"incomplete.*_{VERSION}"):  # by a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    x, y = simulated.features
    sample = np.dtype(x.dtype).itemsize * int(np.prod(x.shape))
    _prepare(builder, simulated.spec, 1 + sample * simulated.sizes["train"] // _SHARD_BYTES)
    num_classes, names = simulated.row.classes(simulated.options)
    files = _files(builder)
    index = {
        split: Index.join([_locate(path, i, (x, y)) for i, path in group])
        for split, group in files.items()
    }
    manifest = store.Manifest(
        simulated.spec,
        [(path.name, path.stat().st_size) for group in files.values() for _, path in group],
        x, y, num_classes, simulated.known_answer, simulated.row.measure, names,
    )  # fmt: skip
    store.publish(folder, manifest, index)


def load(name: str, data_dir: Path, size: int | None = None) -> Source:
    """Returns a set of TensorFlow Datasets, which it prepares first where it is not yet.

    Splits that the set lacks are cut from its training samples.

    Args:
        name: As `tfds.load` takes it, with config and version.
        data_dir: Where prepared sets lie.
        size: Resize images to so many pixels along each edge; by default those of differing
            sizes to 224.

    Raises:
        ValueError: There is no such set, or no pair of input and label in it.
        OSError: It could not be downloaded.
    """
    tfds, spec = import_tfds(), f"tfds:{name}"
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (ValueError, ImportError, AttributeError, AssertionError) as error:  # as TFDS has it
        raise ValueError(
            f"--data {spec}: {_first_line(error)} The sets there are: "
            "https://www.tensorflow.org/datasets/catalog"
        ) from None
    folder = Path(builder.data_dir)

    def prepare():
        print(f"Preparing {spec} in {folder}", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            tfds.enable_progress_bar()
        _prepare(builder, spec)
        if _is_indexed(builder):
            _records(builder)

    store.ensure(folder, prepare, spec, lambda _: builder.is_prepared())
    keys, features = builder.info.supervised_keys, builder.info.features
    if not keys or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        raise ValueError(
            f"--data {spec}: has no pair of input and label; expected a set that "
            "tfds.load(…, as_supervised=True) takes"
        )
    x, y = (features[key] for key in keys)
    size, shape = _shape(tfds, spec, x, size)
    if _is_indexed(builder):
        files = tuple(path for group in _files(builder).values() for _, path in group)
        parse = functools.partial(_parser, tfds, keys, features, size, shape)
        places = _three(_records(builder))
        splits = {k: Records(files, index, parse, shape) for k, index in places.items()}
    elif "ARRAY_RECORD" in str(builder.info.file_format):
        raise ValueError(
            f"--data {spec}: prepared in {folder} as array_record, which tf.data can't read; "
            "prepare it as tfrecord, in another --data-dir"
        )
    else:
        splits = _streamed(tfds, builder, size, shape)
    labelled = isinstance(y, tfds.features.ClassLabel)
    return Source(
        spec,
        *(splits[part] for part in SPLITS),
        y.num_classes if labelled else None,
        measure="accuracy" if labelled else "error",
        class_names=tuple(y.names) if labelled else None,
    )


def _is_indexed(builder) -> bool:
    return str(builder.info.file_format).endswith("TFRECORD")


def _prepare(builder, what: str, num_shards: int | None = None) -> None:
    tfds = import_tfds()
    config = tfds.download.DownloadConfig(num_shards=num_shards)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=config)
    except (KeyboardInterrupt, ValueError, MemoryError):
        raise
    except Exception as error:  # a download fails in as many ways as there are libraries
        text = f"{what} could not be prepared in {builder.data_dir} ({_first_line(error)})"
        if what.startswith("tfds:"):
            text += (
                "; without a network here, prepare it where there is one (tfsci data prepare "
                f"{what} --data-dir DIR) and pass the same --data-dir"
            )
        raise OSError(text) from error


def _files(builder) -> dict[str, list[tuple[int, Path]]]:
    """Returns the files of each split, numbered through."""
    number = itertools.count()
    return {
        split: [(next(number), Path(path)) for path in info.filepaths]
        for split, info in builder.info.splits.items()
    }


def _locate(path: Path, file: int, features: tuple[Feature, ...]) -> Index:
    """Returns where inputs and targets lie in a file of examples."""
    places = []
    with path.open("rb") as stream:
        for start, length in zip(*(column.tolist() for column in scan(path)[1:]), strict=True):
            stream.seek(start)
            x, y = locate(stream.read(length), features)
            places.append((start + x, y if features[1].is_label else start + y))
    return Index.of(file, *np.array(places, "int64").T)


def _records(builder) -> dict[str, Index]:
    """Returns where the records of each split lie, which it keeps for the next time."""
    folder = Path(builder.data_dir)
    with contextlib.suppress(ValueError):
        return store.read_index(folder, _RECORDS)
    index = {
        split: Index.join([scan(path, i) for i, path in group])
        for split, group in _files(builder).items()
    }
    with contextlib.suppress(OSError):
        store.write_index(folder, index, _RECORDS)
    return index


def _three(splits: dict) -> dict:
    """Returns training, validation and test; what is missing is cut from the training samples."""
    found = {k: next((n for n in names if n in splits), None) for k, names in _NAMES.items()}
    rest = splits.get("train", next(iter(splits.values())))
    total = len(rest.x)
    shares = dict(zip(SPLITS, FRACTIONS, strict=True))
    parts = {k: splits[name] for k, name in found.items() if name}
    for name in reversed(_NAMES):
        if name not in parts:
            end = len(rest.x)
            start = end - round(shares[name] * total)
            parts[name], rest = rest.take(slice(start, end)), rest.take(slice(start))
    return {"train": rest, **parts}


def _shape(tfds, spec: str, x, size: int | None) -> tuple[int | None, tuple[int, ...]]:
    image = isinstance(x, tfds.features.Image)
    shape = tuple(x.shape)
    if image and (size or None in shape[:2]):
        size = size or _SIZE
        shape = (size, size, shape[2] or 3)
    elif size:
        raise ValueError(f"--data {spec}: size={size}: its inputs are no images")
    if None in shape or np.dtype(x.np_dtype).kind not in "buif":
        raise ValueError(
            f"--data {spec}: inputs of shape {tuple(x.shape)} and type {np.dtype(x.np_dtype)}; "
            "expected images, or numbers of one shape"
        )
    return size, shape


def _parser(tfds, keys, features, size, shape):
    import tensorflow as tf

    pair = tfds.features.FeaturesDict({key: features[key] for key in keys})

    def one(record):
        values = pair.deserialize_example(record)
        return _as_pair(values[keys[0]], values[keys[1]], size, shape)

    def parse(records):
        x, y = (tf.TensorSpec(s, d) for s, d in _signature(pair, keys, size, shape))
        return tf.map_fn(one, records, fn_output_signature=(x, y))

    return parse


def _signature(pair, keys, size, shape):
    x, y = (np.dtype(pair[key].np_dtype) for key in keys)
    kind = "float32" if size or x in ("uint8", "int8") else x
    return (shape, kind), (pair[keys[1]].shape, "int32" if y.kind in "iu" else y)


def _as_pair(x, y, size, shape):
    import tensorflow as tf

    if size:
        x = tf.image.resize(x, (size, size), antialias=True) / (255 if x.dtype == tf.uint8 else 1)
    y = tf.cast(y, tf.int32) if y.dtype.is_integer else y
    return tf.ensure_shape(as_input(x), shape), y


def _streamed(tfds, builder, size, shape) -> dict[str, Indexed]:
    counts = {name: info.num_examples for name, info in builder.info.splits.items()}
    stretches = {n: Index(*[np.arange(c)] * 3) for n, c in counts.items()}
    names = {name: name for name in counts}
    parts, homes = _three(stretches), {}
    for part, index in parts.items():
        home = next(n for n in (part, *_NAMES.get(part, ()), "train", *names) if n in names)
        homes[part] = (home, int(index.x[0]) if len(index.x) else 0, len(index.x))

    def opener(name: str, first: int):
        def open_(start: int, stop: int, seed: int | None):
            instruction = tfds.core.ReadInstruction(
                name, from_=first + start, to=first + stop, unit="abs"
            )
            dataset = builder.as_dataset(
                split=instruction,
                shuffle_files=seed is not None,
                as_supervised=True,
                read_config=tfds.ReadConfig(shuffle_seed=seed, try_autocache=False),
            )
            return dataset.map(lambda x, y: _as_pair(x, y, size, shape))

        return open_

    return {p: Streamed(n, shape, opener(name, first)) for p, (name, first, n) in homes.items()}


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
