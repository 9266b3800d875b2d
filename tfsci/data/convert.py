"""People's files into prepared sets, once: any number of small files become a few large ones.

A file of the result is written whole or not at all, and one that is there is not written again, so
a conversion that was cut short goes on where it was.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from tfsci.data import store
from tfsci.data.collection import Collection, Part
from tfsci.data.example import Feature, Form
from tfsci.data.records import FOOTER, HEADER, Index
from tfsci.data.source import FRACTIONS, SPLITS, stratified_split
from tfsci.progress import Progress

_SHARD_BYTES = 64 << 20


def fingerprint(files: Sequence[Path], options: object) -> str:
    """Returns a key that changes with the files' names, sizes and times and with the options."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in files:
        facts = path.stat()
        digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def convert(spec: str, collection: Collection, folder: Path) -> None:
    """Writes a collection as a prepared set; the caller holds its lock.

    Args:
        spec: The data spec.
        collection: What to read.
        folder: Where the set is to be.

    Raises:
        ValueError: A file is not what it should be, or a class is in one split alone.
    """
    from tfsci import startup

    startup.import_tensorflow()
    work = folder.with_name(folder.name + ".incomplete")
    work.mkdir(parents=True, exist_ok=True)
    features = (
        Feature("image", collection.dtype, collection.shape),
        Feature("label", "int32", ()),
    )
    groups = list(_groups(collection))
    names = [f"samples-{i:05}-of-{len(groups):05}.tfrecord" for i in range(len(groups))]
    progress, done = Progress(f"Converting {spec}", len(collection.parts)), 0
    cores = len(os.sched_getaffinity(0))
    try:
        with ThreadPoolExecutor(cores) as pool:
            jobs = {
                pool.submit(_write, collection, group, work / name, features): len(group)
                for group, name in zip(groups, names, strict=True)
            }
            try:
                for job in as_completed(jobs):
                    job.result()
                    done += jobs[job]
                    progress.update(done)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        files, index, labels, given = _gather(work, names)
        splits = split_rows(labels, given)
        check_classes(spec, labels, splits, collection)
        manifest = store.Manifest(
            spec,
            files,
            *features,
            collection.num_classes or int(labels.max()) + 1,
            class_names=collection.class_names,
        )
        for name in names:
            (work / name).with_suffix(".npz").unlink()
        shutil.rmtree(folder, ignore_errors=True)  # one that is not whole, as this was called
        work.rename(folder)
        store.publish(folder, manifest, {k: index.take(rows) for k, rows in splits.items()})
    except ValueError:  # the files have to change first, and then this is of no use
        shutil.rmtree(work, ignore_errors=True)
        raise
    finally:
        progress.close()


def _groups(collection: Collection) -> Iterator[list[Part]]:
    """Yields the parts of each file of the result."""
    sample = int(np.prod(collection.shape)) * np.dtype(collection.dtype).itemsize
    group, size = [], 0
    for part in collection.parts:
        group.append(part)
        size += sample * (part.rows[1] - part.rows[0] if part.rows else 1)
        if size >= _SHARD_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write(
    collection: Collection, parts: Sequence[Part], path: Path, features: tuple[Feature, Feature]
) -> None:
    """Writes a TFRecord file and, after it, where its samples lie and what they are."""
    import tensorflow as tf

    beside = path.with_suffix(".npz")
    if beside.is_file():
        return
    form = Form(*features)
    places, labels, splits, end = [], [], [], 0
    temporary = path.with_suffix(".part")
    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for part in parts:
                for image, label in zip(*collection.read(part), strict=True):
                    record, place = form.fill(image, label)
                    writer.write(record)
                    places.append(end + HEADER + place)
                    labels.append(label)
                    splits.append(SPLITS.index(part.split) if part.split else -1)
                    end += HEADER + len(record) + FOOTER
    except tf.errors.OpError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.message) from None
    temporary.replace(path)
    temporary = beside.with_suffix(".part.npz")
    np.savez(temporary, x=places, label=labels, split=splits)
    temporary.replace(beside)


def _gather(work: Path, names: Sequence[str]):
    """Returns names and sizes of the files, and index, label and split of all samples."""
    parts, splits, files = [], [], []
    for number, name in enumerate(names):
        path = work / name
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as beside:
            parts.append(Index.of(number, beside["x"], beside["label"]))
            splits.append(beside["split"])
        files.append((name, path.stat().st_size))
    index = Index.join(parts)
    return files, index, index.y, np.concatenate(splits)


def split_rows(labels: np.ndarray, given: np.ndarray) -> dict[str, np.ndarray]:
    """Returns which samples are in each split: as the folders say, else 70/20/10 in every class.

    A split that the folders lack is cut from the training samples.
    """
    rows = {name: np.flatnonzero(given == i) for i, name in enumerate(SPLITS)}
    if (given < 0).all():
        rows["train"] = np.arange(len(labels))
    missing = [name for name in SPLITS[1:] if not len(rows[name])]
    shares = dict(zip(SPLITS, FRACTIONS, strict=True))
    cut = [1 - sum(shares[name] for name in missing), *(shares[name] for name in missing)]
    for name in set(SPLITS) - {"train", *missing}:
        rows[name] = rows[name][stratified_split(labels[rows[name]], (1.0,))[0]]
    train = rows["train"]
    parts = stratified_split(labels[train], cut)
    return rows | {n: train[part] for n, part in zip(("train", *missing), parts, strict=True)}


def check_classes(
    spec: str, labels: np.ndarray, splits: dict[str, np.ndarray], collection: Collection
) -> None:
    """Raises a ValueError where a split is empty, or a class can't be trained on and tested."""
    held = {name: np.unique(labels[rows]) for name, rows in splits.items()}
    for name in SPLITS:
        if not len(held[name]):
            raise ValueError(f"--data {spec}: no sample is left for {name}; more are needed")
    for label in np.unique(labels):
        where = [name for name in SPLITS if label in held[name]]
        if where == ["train"] or "train" not in where:
            names = collection.class_names
            name = f"class {label}" + (f" ({names[label]})" if names else "")
            count = int((labels == label).sum())
            raise ValueError(
                f"--data {spec}: {name} is in {' and '.join(where)} alone, with {count} samples; "
                "every class needs some to train on and some to test on, 10 or more"
            )
