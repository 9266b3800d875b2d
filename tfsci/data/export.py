"""Any labelled data set into files of Oak Ridge's layout, a sample a file.

``DIR/00000.npz`` holds ``data``, float32 with the channels in front, and ``label``, int64 of shape
(1,). The training samples come first, then those of validation and test; ``export.json`` says how
many. ``npz:DIR`` reads them, and cuts them anew.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfsci.data import samples

RECORD = "export.json"

# Where the spec does not say otherwise: Oak Ridge's patterns have 128×128 pixels.
_DEFAULTS = {"diffraction": {"size": 128}}


def export(
    spec: str,
    folder: Path,
    limit: int | None = None,
    data_dir: str | Path | None = None,
    update: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Writes a data set as ``.npz`` files, each whole or absent.

    An export that was cut short goes on where it was when it is called again with the same
    arguments: files that are there are not written again.

    Args:
        spec: The data spec.
        folder: New, or empty, or of an export of the same set.
        limit: Use the first so many samples, 70/20/10 of the three splits.
        data_dir: Where prepared sets lie.
        update: Is told how many samples are done, and of how many.

    Returns:
        Number of files by split.

    Raises:
        ValueError: The set has no labels, or the folder holds something else.
        OSError: The folder can't be written to, or is too small.
    """
    _check_folder(folder)
    given = samples.load(spec, limit, data_dir, **_DEFAULTS.get(spec.partition(":")[0], {}))
    total, done = sum(given.sizes.values()), 0
    x, y = next(given.read("test", 1))
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"--data {spec}: has targets of shape {y.shape[1:]} and type {y.dtype}; export writes "
            "one class for each sample"
        )
    _claim(folder, given, 4 * int(np.prod(x.shape[1:])) + 1024)
    width = max(5, len(str(total - 1)))
    there = {entry.name for entry in os.scandir(folder)}
    for split, size in given.sizes.items():
        names = [f"{number:0{width}}.npz" for number in range(done, done + size)]
        batches = given.read(split) if not there.issuperset(names) else ()
        row = 0
        for x, y in batches:
            for data, label in zip(x, y, strict=True):
                if names[row] not in there:
                    _write(folder / names[row], data, label)
                row += 1
            update(done + row, total)
        done += size
    update(total, total)
    return given.sizes


def _check_folder(folder: Path) -> None:
    """Refuses what no export can go to, before a set is loaded for it."""
    if not os.path.lexists(folder) or (folder / RECORD).is_file():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder}: is no folder; expected a new one, or an empty one")
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ValueError(
            f"{folder}: is not empty, and no export that was cut short; expected a new folder, or "
            "an empty one"
        )


def _claim(folder: Path, given: samples.Samples, bytes_a_file: int) -> None:
    """Writes what the folder is for, or finds the same there."""
    record = {
        "spec": given.spec,
        "format": "npz",
        "samples": given.sizes,
        "num_classes": given.num_classes,
        "class_names": given.class_names and list(given.class_names),
    }
    path = folder / RECORD
    if path.is_file():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = {}
        if found != record:
            came = found.get("spec") if isinstance(found, dict) else None
            count = sum(given.sizes.values())
            raise ValueError(
                f"{folder}: holds another export (of {came or 'what can not be read'}), not "
                f"{given.spec} with {count:,} samples; choose another folder"
            )
        return
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    needed, free = bytes_a_file * sum(given.sizes.values()), shutil.disk_usage(there).free
    if needed > free:
        raise OSError(
            f"{folder}: the files need {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "choose another folder or a --limit"
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{RECORD}.part"
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    part.replace(path)


def _write(path: Path, data: np.ndarray, label: np.ndarray) -> None:
    if data.ndim == 3:  # (H, W, C) to (C, H, W)
        data = np.moveaxis(data, -1, 0)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, data=np.ascontiguousarray(data, "float32"), label=np.array([label], int))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
