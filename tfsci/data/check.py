"""Reads all of a data set, to say everything that is wrong with it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from tfsci import startup
from tfsci.data import catalog, convert, datasets, folders, images, npz, samples, store
from tfsci.data.collection import Collection, Part
from tfsci.data.pipeline import without_autotune
from tfsci.data.report import Report, Table
from tfsci.data.simulated import SIMULATORS, Simulated
from tfsci.data.source import SPLITS, Source

_GROUP = 1024  # parts that are handed to the threads at once

Update = Callable[[int, int], None]


def check(
    spec: str,
    data_dir: str | Path | None = None,
    update: Update = lambda done, total: None,
) -> Report:
    """Reads all samples of a data set.

    Of ``npz:`` and ``folder:`` the user's own files are read, even where a conversion would be
    refused. Of prepared sets the checksum of every record is compared, too.

    Args:
        spec: The data spec.
        data_dir: Where prepared sets lie.
        update: Is told how much is done, and of how much.

    Raises:
        ValueError: The spec makes no sense.
        FileNotFoundError: There is nothing where it points.
    """
    name, place, options = catalog.parse(spec)
    report, by_chance = Report(spec), name in ("text", *SIMULATORS)
    if name in ("npz", "folder"):
        module, option = {"npz": (npz, "classes"), "folder": (images, "size")}[name]
        options = catalog.whole_options(spec, options, option)
        _check_files(report, module, Path(place).expanduser().absolute(), options, update)
        return report
    if name in SIMULATORS:
        folder = datasets.folder_of(Simulated.of(name, options), store.data_dir(data_dir))
        if store.is_prepared(folder):
            _check_sizes(report, folder)
    if not report.problems:
        given = samples.load(spec, data_dir=data_dir)
        if given.source and hasattr(given.source.train, "files"):
            given = samples.of_source(_undamaged(report, given.source))
        _check_samples(report, given, by_chance, update)
    return report


def _check_samples(report: Report, given: samples.Samples, by_chance: bool, update: Update) -> None:
    total, done, starts, ends = sum(given.sizes.values()), 0, {}, {}
    hashes, labels, low, high = [], [], [], []

    def place(i: int) -> str:
        return f"sample {i - max(start for start in starts.values() if start <= i)}"

    report.class_names = given.class_names
    for split in SPLITS:
        starts[split], part = done, given.source and given.source.splits[split]
        for x, y in _readable(report, given, split):
            for row, kind, line in _faults(x, y, given.num_classes):
                row += done - starts[split]
                file = f" in {part.files[part.index.file[row]]}" if hasattr(part, "files") else ""
                report.problem(kind, f"{split} sample {row}{file}: {line}")
            hashes.append(_hashes(x))
            labels.append(y)
            low.append(x.min())
            high.append(x.max())
            done += len(x)
            update(done, total)
        ends[split] = done
    if done:
        report.values = float(min(low)), float(max(high))
        is_class = labels[0].ndim == 1 and labels[0].dtype.kind in "iu"
        rows = {split: np.arange(starts[split], ends[split]) for split in SPLITS}
        table = Table(
            np.concatenate(hashes), np.concatenate(labels) if is_class else None, rows, place
        )
        report.judge(table, given.num_classes, by_chance, complete="files" not in report.problems)


def _readable(report: Report, given: samples.Samples, split: str) -> Iterator:
    try:
        yield from given.read(split)
    except ValueError as error:
        report.problem("files", str(error))


def _faults(x: np.ndarray, y: np.ndarray, num_classes: int | None) -> Iterator:
    """Yields the rows of a batch that something is wrong with, what about, and what."""
    for what, values in (("input", x), ("target", y)):
        for row in _rows(~np.isfinite(values)):
            yield row, "not finite", f"its {what} is not finite"
    for values in (x, y):  # tokens are labels, too
        if values.dtype.kind in "iu" and num_classes is not None:
            wrong = (values < 0) | (values >= num_classes)
            for row in _rows(wrong):
                came = values[row][wrong[row]].flat[0]
                yield row, "labels", f"has label {came}; expected 0 to {num_classes - 1}"


def _check_sizes(report: Report, folder: Path) -> None:
    """Names all files of a prepared set that are missing or cut short."""
    anew = f"remove {folder} and prepare the set anew"
    try:
        files = store.describe(folder).files
        store.read_index(folder)
    except ValueError as error:
        report.problem("files", str(error))
        return
    for name, size in files:
        path = folder / name
        if not path.is_file():
            report.problem("files", f"{path}: is missing; {anew}")
        elif (found := path.stat().st_size) != size:
            report.problem("files", f"{path}: has {found} bytes instead of {size}; {anew}")


def _undamaged(report: Report, source: Source) -> Source:
    """Returns a source without the samples of damaged files, which become problems."""
    tf = startup.import_tensorflow()
    damaged = []
    for number, path in enumerate(source.train.files):
        records = without_autotune(tf.data.TFRecordDataset([str(path)]))
        try:
            records.reduce(np.int64(0), lambda count, _: count + 1)
        except tf.errors.OpError as error:
            damaged.append(number)
            line = f"{path}: damaged ({samples.last_line(error)}); "
            report.problem("files", line + f"remove {path.parent} and prepare the set anew")
    parts = {
        name: replace(split, index=split.index.take(~np.isin(split.index.file, damaged)))
        for name, split in source.splits.items()
    }
    return replace(source, **parts)


def _check_files(
    report: Report, module: ModuleType, path: Path, options: dict[str, int], update: Update
) -> None:
    """Checks people's own files, all of them, in the splits that a conversion would cut."""
    jobs, refused, complete = _jobs(report, module, path, options)
    places, found, splits = [], [], []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(jobs), _GROUP):
            group = jobs[start : start + _GROUP]
            for (_, part, split, _), result in zip(group, pool.map(_look, group), strict=True):
                if isinstance(result, Exception):
                    report.problem("files", str(result))
                    continue
                found.append(result)
                places += [(part, row) for row in range(len(result[0]))]
                splits += [SPLITS.index(split) if split else -1] * len(result[0])
            update(min(start + _GROUP, len(jobs)), len(jobs))
    if found:
        hashes, labels, low, high = zip(*found, strict=True)
        labels, report.values = np.concatenate(labels), (min(low), max(high))

        def place(i: int) -> str:
            part, row = places[i]
            return f"{part.path} row {part.rows[0] + row}" if part.rows else str(part.path)

        rows = convert.split_rows(labels, np.array(splits))
        table = Table(np.concatenate(hashes), labels, rows, place)
        num_classes = options.get("classes") or (report.class_names and len(report.class_names))
        report.judge(table, num_classes, complete=complete)
    # Why .npz files are refused is found in them, too; of folders it may be about the whole.
    if refused and not (module is npz and report.problems):
        report.problem("set", str(refused))


def _jobs(report: Report, module: ModuleType, path: Path, options: dict[str, int]):
    """Returns what to read, why the set is refused, and whether nothing large is left out.

    Of a set that is refused as a whole, the files or the splits' folders are taken one by one.
    """
    refused, complete, collections = None, True, []
    try:
        collections.append((None, module.collect(path, **options)))
    except ValueError as error:
        refused = error
        for split, piece in _pieces(module, path):
            try:
                collections.append((split, module.collect(piece, **options)))
            except ValueError as wrong:
                complete = module is npz  # there it is one file
                if complete or str(wrong) != str(refused):
                    report.problem("files", str(wrong))
        complete = complete and bool(collections)
    names = {name for _, collection in collections for name in collection.class_names or ()}
    report.class_names = tuple(sorted(names)) or None
    jobs = []
    for split, collection in collections:
        first = collections[0][1]
        if (collection.shape, collection.dtype) != (first.shape, first.dtype) and module is npz:
            came, expected = (f"{c.dtype} {c.shape}" for c in (collection, first))
            line = f"{collection.parts[0].path}: has samples of {came}, but those of "
            line += f"{first.parts[0].path} are {expected}; make them alike or remove one"
            report.problem("files", line)
            continue
        labels = collection.class_names and np.searchsorted(
            report.class_names, collection.class_names
        )
        jobs += [(collection, part, split or part.split, labels) for part in collection.parts]
    return jobs, refused, complete


def _pieces(module: ModuleType, path: Path) -> list[tuple[str | None, Path]]:
    try:
        pieces = [(None, path)] if path.is_file() else folders.split_folders(path)
        if module is npz:
            pieces = [(split, file) for split, piece in pieces for file in npz.files(piece)]
    except ValueError:  # it is why the set is refused
        return []
    return pieces


def _look(job: tuple[Collection, Part, str | None, np.ndarray | None]):
    """Returns hashes, labels, and least and greatest value of a part, or what is wrong."""
    collection, part, _, labels = job
    try:
        x, y = collection.read(part)
    except (ValueError, OSError) as error:
        return error
    y = y if labels is None else labels[y]
    return _hashes(x), y, float(x.min()), float(x.max())


def _hashes(x: np.ndarray) -> np.ndarray:
    """Hashes samples: of a million different ones, two are alike by chance in 1 of 40 million."""
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in x)
    return np.frombuffer(digests, "uint64")


def _rows(wrong: np.ndarray) -> np.ndarray:
    return np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
