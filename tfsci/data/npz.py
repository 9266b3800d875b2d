"""Data sets in ``.npz`` files: a sample a file, or many samples a file that are read in blocks."""

import dataclasses
import functools
import math
import os
from pathlib import Path

import numpy as np

from tfsci.data.collection import Collection, Part
from tfsci.data.folders import entries, split_folders
from tfsci.data.npz_archive import Archive, Blocks, naming

BLOCK_BYTES = 64 << 20

# Oak Ridge's files hold a sample each; others hold many.
_LAYOUTS = _SAMPLE, _ROWS = (("data", "label"), ("x", "y"))


def files(path: Path) -> list[Path]:
    """Lists the files of ``npz:PATH``, by split and name; opens none.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It can't be read, or holds no .npz file.
    """
    return [part.path for part in _listing(path)]


def collect(path: Path, classes: int | None = None) -> Collection:
    """Describes the data set of ``npz:PATH``.

    Its files hold a sample each, ``data`` of any shape and ``label`` of one number; or many
    samples each, ``x`` of shape (n, …) and ``y`` of shape (n,). Samples of one, three or four
    channels in front get them moved behind, and samples of two axes get one of length 1. Numbers
    other than uint8 become float32.

    Args:
        path: A file, or a folder of files, or of train/, val/ and test/ with files.
        classes: Number of classes; where it is None, labels have no upper limit.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: A file that had to be opened is not as described: the first one, and with
            many samples a file all of them. The others are looked at when they are read.
    """
    if classes is not None and classes < 1:
        raise ValueError(f"classes: expected at least 1; received {classes}")
    parts = _listing(path)
    expected = _expect(parts[0].path, classes)
    if expected.keys == _ROWS:
        opened = {part.path: _open_rows(part.path, expected) for part in parts}
        parts = [
            dataclasses.replace(part, rows=rows)
            for part in parts
            for rows in opened[part.path][0].rows
        ]
        read = functools.partial(_read_rows, expected, opened)
    else:
        read = functools.partial(_read_sample, expected)
    example = _arrange(np.empty((0, *expected.shape), expected.dtype))
    return Collection(tuple(parts), example.shape[1:], str(example.dtype), read, classes)


@dataclasses.dataclass(frozen=True)
class _Expected:
    """What all files of a set share, as its first file has it; `shape` is that of one sample."""

    first: Path
    keys: tuple[str, str]
    shape: tuple[int, ...]
    dtype: np.dtype
    classes: int | None

    def check_names(self, names: list[str]) -> None:
        if not set(self.keys) <= set(names):
            raise ValueError(
                f"expected the arrays {' and '.join(self.keys)}, as in {self.first}; it has "
                f"{_few(names)}; rename them or remove the file"
            )

    def check_samples(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        if (shape, dtype) != (self.shape, self.dtype):
            raise ValueError(
                f"{self.keys[0]} has samples of {dtype} {shape}, but those of {self.first} are "
                f"{self.dtype} {self.shape}; make them alike or remove one"
            )

    def finish(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Brings samples and labels into the form that is promised, or refuses their values."""
        x = _arrange(x)
        if x.dtype != np.uint8 and not np.isfinite(x).all():
            raise ValueError(
                f"{self.keys[0]} holds NaN, infinity or numbers beyond float32; mend or remove it"
            )
        end = 2**31 if self.classes is None else self.classes
        good = (y >= 0) & (y < end) & (y == np.floor(y))
        if not good.all():
            upwards = "upwards" if self.classes is None else f"to {end - 1}"
            raise ValueError(
                f"{self.keys[1]} has {y[~good][0]}; expected whole numbers from 0 {upwards}; "
                "correct it or remove the file"
            )
        return x, y.astype(np.int32)


def _expect(path: Path, classes: int | None) -> _Expected:
    with naming(path), open(path, "rb") as file:
        archive = Archive(file)
        keys = next((keys for keys in _LAYOUTS if set(keys) <= set(archive.names)), None)
        if keys is None:
            raise ValueError(
                f"expected the arrays data and label, or x and y; it has {_few(archive.names)}; "
                "rename them"
            )
        x = archive.member(keys[0])
        shape = x.shape[1:] if keys == _ROWS else x.shape
        if not shape:
            raise ValueError(f"{keys[0]} has shape {x.shape}; expected another axis at least")
    return _Expected(path, keys, shape, x.dtype, classes)


def _read_sample(expected: _Expected, part: Part) -> tuple[np.ndarray, np.ndarray]:
    with naming(part.path):
        # Unbuffered: an array is read once, to where it stays.
        with open(part.path, "rb", buffering=0) as file:
            archive = Archive(file)
            expected.check_names(archive.names)
            x, y = (archive.read(key) for key in expected.keys)
        expected.check_samples(x.shape, x.dtype)
        if y.size != 1:
            raise ValueError(f"label has shape {y.shape}; expected one number; write it anew")
        return expected.finish(x[np.newaxis], y.reshape(1))


def _open_rows(path: Path, expected: _Expected) -> tuple[Blocks, Blocks]:
    with naming(path), open(path, "rb") as file:
        archive = Archive(file)
        expected.check_names(archive.names)
        x, y = (archive.member(key) for key in expected.keys)
        expected.check_samples(x.shape[1:], x.dtype)
        if x.fortran_order and x.shape[0] > 1:
            raise ValueError("x is in Fortran order; save np.ascontiguousarray(x)")
        if y.shape != x.shape[:1]:
            raise ValueError(
                f"x has shape {x.shape} and y {y.shape}; expected y of shape {x.shape[:1]}, "
                "a class for each sample; write it anew"
            )
    # Samples that become float32 may be larger then.
    item_bytes = 1 if x.dtype == np.uint8 else max(4, x.dtype.itemsize)
    step = max(1, BLOCK_BYTES // (item_bytes * math.prod(expected.shape)))
    return Blocks(path, x, step), Blocks(path, y, step)


def _read_rows(
    expected: _Expected, opened: dict[Path, tuple[Blocks, Blocks]], part: Part
) -> tuple[np.ndarray, np.ndarray]:
    with naming(part.path):
        x, y = (blocks.read(part.rows[0]) for blocks in opened[part.path])
        return expected.finish(x, y)


def _arrange(x: np.ndarray) -> np.ndarray:
    """Returns samples with their channels last, as uint8 or float32."""
    if x.dtype != np.uint8:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32, copy=False)
    if x.ndim == 3:
        return x[..., np.newaxis]
    channels = (1, 3, 4)
    if x.ndim == 4 and x.shape[1] in channels and x.shape[3] not in channels:
        return x.transpose(0, 2, 3, 1)
    return x


def _few(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "") or "none"


def _listing(path: Path) -> list[Part]:
    if os.path.isfile(path):
        return [Part(path)]
    parts = []
    for split, folder in split_folders(path):
        names = [entry.name for entry in entries(folder) if entry.name.lower().endswith(".npz")]
        if not names:
            raise ValueError(f"{folder}: has no .npz files; expected some; check the path")
        parts += [Part(folder / name, split) for name in names]
    return parts
