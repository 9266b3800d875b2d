import os
from pathlib import Path

import pytest

from tfsci.data.folders import entries, split_folders


def refuses(call, message, error=ValueError):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def make(root, *folders):
    for folder in folders:
        (root / folder).mkdir()
    return root


class TestEntries:
    def test_are_in_the_order_of_their_names_without_hidden_ones(self, tmp_path):
        make(tmp_path, "b", "A", ".git")
        for name in ("a", "10", ".DS_Store"):
            (tmp_path / name).touch()
        assert [entry.name for entry in entries(tmp_path)] == ["10", "A", "a", "b"]

    def test_of_nothing(self):
        message = "gone: no such folder; check the path"
        refuses(lambda: entries(Path("gone")), message, FileNotFoundError)

    def test_of_a_file(self, tmp_path):
        path = tmp_path / "a.png"
        path.touch()
        refuses(lambda: entries(path), f"{path}: a file; expected a folder")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_of_what_is_unreadable(self, tmp_path):
        tmp_path.chmod(0)
        message = f"{tmp_path}: can't be read (Permission denied); check its permissions"
        refuses(lambda: entries(tmp_path), message)
        tmp_path.chmod(0o755)


class TestSplitFolders:
    @pytest.mark.parametrize("validation", ["val", "Valid", "validation"])
    def test_in_order_of_the_splits(self, tmp_path, validation):
        make(tmp_path, "test", validation, "TRAIN")
        assert split_folders(tmp_path) == [
            ("train", tmp_path / "TRAIN"),
            ("validation", tmp_path / validation),
            ("test", tmp_path / "test"),
        ]

    def test_without_splits(self, tmp_path):
        assert split_folders(make(tmp_path, "cat", "dog")) == [(None, tmp_path)]

    @pytest.mark.parametrize("folder", ["val", "test"])
    def test_without_train(self, tmp_path, folder):
        refuses(
            lambda: split_folders(make(tmp_path, folder)),
            f"{tmp_path}: has {folder}/ but no train/; add it or name {folder}/ otherwise",
        )

    def test_with_two_of_one_split(self, tmp_path):
        message = f"{tmp_path}: has both val/ and valid/; expected one of them"
        refuses(lambda: split_folders(make(tmp_path, "train", "val", "valid")), message)

    def test_with_others_beside(self, tmp_path):
        refuses(
            lambda: split_folders(make(tmp_path, "train", "a")),
            f"{tmp_path}: has a/ beside train/; expected train/, val/ and test/ alone, or class "
            "folders alone; move one of the two",
        )
