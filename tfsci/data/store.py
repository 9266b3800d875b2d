"""Prepared sets on disk: a folder of TFRecord files, whole or absent, and what describes it.

A set is prepared when `tfsci.json` is there, which is written last. Preparing holds a lock, so of
many processes that need a set one makes it and the others wait.
"""

import contextlib
import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tfsci.data.example import Feature
from tfsci.data.records import Arrays, Index
from tfsci.data.source import SPLITS, Source
from tfsci.lock import locked

_MANIFEST, _INDEX, _FORMAT = "tfsci.json", "tfsci-index.npz", 1


@dataclass(frozen=True)
class Manifest:
    """What describes a prepared set.

    Attributes:
        name: The data spec.
        files: Name and bytes of each TFRecord file.
        x: How inputs are stored.
        y: How targets are stored.
        num_classes: As in `Source`, like the next three.
        known_answer: Same.
        measure: Same.
        class_names: Same.
    """

    name: str
    files: Sequence[tuple[str, int]]
    x: Feature
    y: Feature
    num_classes: int | None = None
    known_answer: float | None = None
    measure: str = "accuracy"
    class_names: Sequence[str] | None = None


def data_dir(given: str | Path | None = None) -> Path:
    """Returns where prepared sets lie: `given`, $TFDS_DATA_DIR or ~/tensorflow_datasets.

    It is where TensorFlow Datasets looks, too.
    """
    chosen = given or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser().absolute()


def is_prepared(folder: Path) -> bool:
    """Whether the set in `folder` is there and whole."""
    return (folder / _MANIFEST).is_file()


def ensure(
    folder: Path,
    prepare: Callable[[], None],
    what: str,
    ready: Callable[[Path], bool] = is_prepared,
) -> None:
    """Prepares a set once; of several processes the others wait until it is there.

    Args:
        folder: Where the set is to be.
        prepare: Makes it, and ends with `publish`.
        what: The set, for messages.
        ready: Whether it is there.

    Raises:
        ValueError: The folder can't be written to.
    """
    if ready(folder):
        return
    with contextlib.ExitStack() as stack:
        try:
            lock = folder.parent / f".{folder.name}.lock"
            waiting = f"Waiting while another process prepares {what}"
            stack.enter_context(locked(lock, waiting))
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
                raise
            raise ValueError(
                f"{what} is not prepared, and {folder.parent} can't be written to; prepare it "
                f"where that can be: tfsci data prepare {what} --data-dir DIR, then pass the same "
                "--data-dir"
            ) from None
        if not ready(folder):
            prepare()


def publish(folder: Path, manifest: Manifest, splits: Mapping[str, Index]) -> None:
    """Writes the index and then the manifest, which makes the set a prepared one."""
    write_index(folder, splits)
    with _replacing(folder / _MANIFEST) as path:
        path.write_text(json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1))


def write_index(folder: Path, splits: Mapping[str, Index], name: str = _INDEX) -> None:
    """Writes where the samples of each split lie."""
    arrays = {
        f"{split}_{column}": values
        for split, index in splits.items()
        for column, values in index._asdict().items()
    }
    with _replacing(folder / name) as path, path.open("wb") as stream:
        np.savez(stream, **arrays)


def describe(folder: Path) -> Manifest:
    """Returns the manifest of a prepared set.

    Raises:
        ValueError: It is damaged, or of another version of tfsci.
    """
    try:
        content = json.loads((folder / _MANIFEST).read_text())
        if content.pop("format") != _FORMAT:
            raise ValueError
        for key in ("x", "y"):
            key_, dtype, shape = content[key]
            content[key] = Feature(key_, dtype, tuple(shape))
        return Manifest(**content)
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{folder / _MANIFEST}: damaged, or of another version; remove {folder} and prepare "
            "the set anew"
        ) from None


def read_index(folder: Path, name: str = _INDEX) -> dict[str, Index]:
    """Returns where the samples of each split lie."""
    try:
        with (folder / name).open("rb") as stream:
            arrays = np.load(stream, allow_pickle=False)
            names = dict.fromkeys(key.rsplit("_", 1)[0] for key in arrays.files)
            return {n: Index(*(arrays[f"{n}_{c}"] for c in Index._fields)) for n in names}
    except (ValueError, KeyError, OSError, EOFError, AttributeError, zipfile.BadZipFile):
        raise ValueError(
            f"{folder / name}: missing or damaged; remove {folder} and prepare the set anew"
        ) from None


def open_source(folder: Path) -> Source:
    """Returns a prepared set.

    Raises:
        ValueError: A file is missing or has another size than when it was written.
    """
    manifest = describe(folder)
    for name, size in manifest.files:
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            came = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise ValueError(f"{path}: {came}; remove {folder} and prepare the set anew")
    files = tuple(folder / name for name, _ in manifest.files)
    index = read_index(folder)

    return Source(
        manifest.name,
        *(Arrays(files, index[name], manifest.x, manifest.y) for name in SPLITS),
        manifest.num_classes,
        manifest.known_answer,
        manifest.measure,
        tuple(manifest.class_names) if manifest.class_names else None,
    )


def remove(folder: Path) -> None:
    """Removes a set; it is no prepared one from the first moment on."""
    (folder / _MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
