import json
import os
from pathlib import Path

import numpy as np
import pytest

from tfsci.data import store
from tfsci.data.example import Feature
from tfsci.data.records import Index


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(bytes(100))
    index = Index.of(0, [1, 2], [3, 4])
    manifest = store.Manifest(
        "made", [("a.tfrecord", 100)], Feature("x", "uint8", (2, 2, 1)), Feature("y", "int32", ()),
        5, 0.75, class_names=list("abcde"),
    )  # fmt: skip
    assert not store.is_prepared(tmp_path)
    store.publish(tmp_path, manifest, dict.fromkeys(("train", "validation", "test"), index))
    return tmp_path


def test_what_is_published_is_read_back(folder):
    assert store.is_prepared(folder)
    source = store.open_source(folder)
    assert (source.name, source.num_classes, source.known_answer) == ("made", 5, 0.75)
    assert source.input_shape == (2, 2, 1)
    assert source.class_names == tuple("abcde")
    np.testing.assert_array_equal(source.test.index.y, [3, 4])
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "name": 1}'])
def test_a_damaged_manifest_is_named(folder, content):
    (folder / "tfsci.json").write_text(content)
    with pytest.raises(ValueError, match=r"tfsci\.json: damaged, or of another version; remove"):
        store.open_source(folder)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x93NUMPY", b"\x80\4."])
def test_a_damaged_index_is_named_and_never_unpickled(folder, content):
    (folder / "tfsci-index.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"tfsci-index\.npz: missing or damaged"):
        store.open_source(folder)


def test_files_of_another_size_are_named(folder):
    os.truncate(folder / "a.tfrecord", 99)
    with pytest.raises(ValueError, match="has 99 bytes instead of 100; remove"):
        store.open_source(folder)
    (folder / "a.tfrecord").unlink()
    with pytest.raises(ValueError, match=r"a\.tfrecord: is missing"):
        store.open_source(folder)


def test_ensure_prepares_what_is_not_there(tmp_path):
    made = []
    target = tmp_path / "name/set"
    for _ in range(2):
        store.ensure(target, lambda: made.append(1), "name", lambda _: bool(made))
    assert made == [1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="prepare it where that can be: tfsci data prepare name"):
        store.ensure(tmp_path / "name/set", pytest.fail, "name")


def test_a_read_only_file_system_is_told(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ValueError, match=r"name is not prepared, and .* can't be written to"):
        store.ensure(tmp_path / "name/set", pytest.fail, "name")


def test_where_sets_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert store.data_dir() == Path("/home/me/tensorflow_datasets")
    monkeypatch.setenv("TFDS_DATA_DIR", "/shared")
    assert store.data_dir() == Path("/shared")
    assert store.data_dir("~/mine") == Path("/home/me/mine")
    monkeypatch.chdir(tmp_path)
    assert store.data_dir("here") == tmp_path / "here"


def test_a_removed_set_is_no_prepared_one(folder):
    store.remove(folder)
    assert not folder.exists()


def test_the_manifest_is_plain_json(folder):
    content = json.loads((folder / "tfsci.json").read_text())
    assert content["x"] == ["x", "uint8", [2, 2, 1]]
