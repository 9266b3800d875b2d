import os

import numpy as np
import pytest
import tensorflow as tf

from tfsci.data import convert, store
from tfsci.data.collection import Collection, Part


def collection(labels, splits=None, read=None, **facts) -> Collection:
    """Sample i is 2×2×1 pixels of value i."""
    splits = splits or [None] * len(labels)
    parts = tuple(Part(f"file-{i}", split) for i, split in enumerate(splits))

    def one(part):
        i = parts.index(part)
        return np.full((1, 2, 2, 1), i, "float32"), np.array([labels[i]])

    return Collection(parts, (2, 2, 1), "float32", read or one, **facts)


def contents(source):
    """The number and the label of each sample of each split."""
    found = {}
    for name, split in source.splits.items():
        x, y = split.reader()(tf.range(split.num_samples, dtype=tf.int64))
        numbers = x.numpy()[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(x, np.broadcast_to(x[:, :1, :1], x.shape))
        found[name] = dict(zip(numbers.tolist(), y.numpy().tolist(), strict=True))
    return found


LABELS = [i % 3 for i in range(60)]


@pytest.mark.parametrize("bytes_a_file", [1, 100, 10**9])
def test_every_sample_is_written_once(tmp_path, monkeypatch, bytes_a_file):
    monkeypatch.setattr(convert, "_SHARD_BYTES", bytes_a_file)
    folder = tmp_path / "set"
    convert.convert("npz:here", collection(LABELS), folder)
    source = store.open_source(folder)
    found = contents(source)
    assert {k: len(v) for k, v in found.items()} == {"train": 42, "validation": 12, "test": 6}
    together = found["train"] | found["validation"] | found["test"]
    assert together == dict(enumerate(LABELS))
    assert source.num_classes == 3
    assert not list(tmp_path.glob("*.incomplete"))
    files = len(list(folder.glob("*.tfrecord")))
    assert files == {1: 60, 100: -(-60 // 7), 10**9: 1}[bytes_a_file]  # 16 bytes a sample


def test_the_first_samples_hold_every_class_in_its_share(tmp_path):
    labels = sorted([0] * 70 + [1] * 30)
    convert.convert("npz:here", collection(labels), tmp_path / "set")
    train = store.open_source(tmp_path / "set").train
    for number in (10, 20, 50):
        _, y = train.reader()(tf.range(number, dtype=tf.int64))
        assert abs(np.mean(y == 1) - 0.3) < 2 / number


def test_folders_splits_are_kept_and_the_missing_one_is_cut_from_training(tmp_path):
    splits = ["train"] * 40 + ["test"] * 20
    convert.convert("folder:here", collection(LABELS, splits), tmp_path / "set")
    found = contents(store.open_source(tmp_path / "set"))
    assert sorted(found["test"]) == list(range(40, 60))
    assert sorted([*found["train"], *found["validation"]]) == list(range(40))
    assert 6 <= len(found["validation"]) <= 10  # 20 % of each class


def test_a_killed_conversion_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "_SHARD_BYTES", 160)  # ten samples a file
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    whole, reads = collection(LABELS), []

    def interrupted(part):
        reads.append(part)
        if len(reads) == 35:
            raise KeyboardInterrupt
        return whole.read(part)

    with pytest.raises(KeyboardInterrupt):
        convert.convert("npz:here", collection(LABELS, read=interrupted), tmp_path / "set")
    assert not store.is_prepared(tmp_path / "set")
    reads.clear()
    convert.convert("npz:here", collection(LABELS, read=lambda p: reads.append(p) or whole.read(p)),
                    tmp_path / "set")  # fmt: skip
    assert 10 <= len(reads) <= 30  # three files were whole, or more before the pool ended
    found = contents(store.open_source(tmp_path / "set"))
    assert found["train"] | found["validation"] | found["test"] == dict(enumerate(LABELS))


def test_a_faulty_file_is_named_and_nothing_is_left(tmp_path):
    def faulty(part):
        raise ValueError(f"{part.path}: NaN in data")

    with pytest.raises(ValueError, match="file-0: NaN in data"):
        convert.convert("npz:here", collection(LABELS, read=faulty), tmp_path / "set")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("labels", "splits", "message"),
    [
        ([0] * 20 + [1], None, "class 1 is in train alone, with 1 samples|class 1 is in"),
        ([0] * 20 + [1], ["train"] * 20 + ["test"], "class 1 is in test alone, with 1 samples"),
        ([0, 0], None, "no sample is left for"),
    ],
)
def test_a_class_in_one_split_alone_is_refused(tmp_path, labels, splits, message):
    with pytest.raises(ValueError, match=message):
        convert.convert("npz:here", collection(labels, splits), tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    class Full:
        def __init__(self, path):
            pass

        def __enter__(self):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(tf.io, "TFRecordWriter", Full)
    with pytest.raises(OSError, match="No space left on device"):
        convert.convert("npz:here", collection(LABELS), tmp_path / "set")
    assert not store.is_prepared(tmp_path / "set")


def test_a_fingerprint_changes_with_files_and_options(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1"), b.write_bytes(b"22")
    keys = [convert.fingerprint([a, b], {"size": 1}), convert.fingerprint([a, b], {"size": 2}),
            convert.fingerprint([a], {"size": 1})]  # fmt: skip
    os.utime(a, ns=(1, 1))
    keys.append(convert.fingerprint([a, b], {"size": 1}))
    a.write_bytes(b"333")
    os.utime(a, ns=(1, 1))
    keys.append(convert.fingerprint([a, b], {"size": 1}))
    assert len(set(keys)) == 5
    assert convert.fingerprint([a, b], {"size": 1}) == keys[-1]
