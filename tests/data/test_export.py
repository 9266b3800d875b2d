import json
import shutil

import numpy as np
import pytest

from tfsci.data import npz, samples
from tfsci.data.export import export

ISING = "ising:size=8,sweeps=2,samples=60"


def read_back(folder):
    """x and y of all samples in order, as `npz:DIR` reads them."""
    collection = npz.collect(folder)
    pairs = [collection.read(part) for part in collection.parts]
    return tuple(np.concatenate(values) for values in zip(*pairs, strict=True))


def given(spec, folder):
    """x and y of a set, its splits one after the other."""
    samples_ = samples.load(spec, data_dir=folder)
    pairs = [pair for split in samples_.sizes for pair in samples_.read(split)]
    return tuple(np.concatenate(values) for values in zip(*pairs, strict=True))


class TestExport:
    @pytest.mark.parametrize("spec", [ISING, "damage:3,size=16,samples=100", "digits"])
    def test_is_read_back_as_it_was(self, spec, tmp_path):
        sizes = export(spec, tmp_path / "out", data_dir=tmp_path)
        expected, found = given(spec, tmp_path), read_back(tmp_path / "out")
        assert sum(sizes.values()) == len(found[1])
        for ours, theirs in zip(expected, found, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_diffraction_is_oak_ridges_layout(self, tmp_path):
        sizes = export("diffraction", tmp_path, limit=10)
        assert sizes == {"train": 7, "validation": 2, "test": 1}
        paths = sorted(tmp_path.glob("*.npz"))
        assert [path.name for path in paths] == [f"{i:05}.npz" for i in range(10)]
        for path in paths:
            with np.load(path) as arrays:
                assert sorted(arrays.files) == ["data", "label"]
                data, label = arrays["data"], arrays["label"]
            assert (data.dtype, data.shape) == ("float32", (3, 128, 128))
            assert (label.dtype, label.shape) == ("int64", (1,))
            assert 0 <= data.min() < data.max() <= 1 and 0 <= label[0] < 7

    def test_a_size_that_is_given_is_kept(self, tmp_path):
        export("diffraction:size=32,samples=10", tmp_path)
        with np.load(tmp_path / "00000.npz") as arrays:
            assert arrays["data"].shape == (3, 32, 32)

    def test_the_first_samples_are_those_of_the_whole_set(self, tmp_path):
        export(ISING, tmp_path / "all")
        export(ISING, tmp_path / "some", limit=20)
        (whole, _), (some, _) = read_back(tmp_path / "all"), read_back(tmp_path / "some")
        rows = [*range(14), *range(42, 46), *range(54, 56)]  # 70/20/10 of 20 and of 60
        np.testing.assert_array_equal(some, whole[rows])

    def test_goes_on_where_it_was(self, tmp_path):
        export(ISING, tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.glob("*.npz")}
        kept = tmp_path / "00001.npz"
        kept.write_bytes(b"as it was")
        (tmp_path / "00002.npz").unlink()
        (tmp_path / "00059.npz").unlink()
        (tmp_path / ".00003.npz.part").write_bytes(b"cut short")
        told = []
        export(ISING, tmp_path, update=lambda *numbers: told.append(numbers))
        assert told[-1] == (60, 60)
        assert kept.read_bytes() == b"as it was"
        assert set(tmp_path.glob("*.npz")) == set(before)
        for path in (tmp_path / "00002.npz", tmp_path / "00059.npz"):
            assert path.read_bytes() == before[path]

    def test_says_what_it_is(self, tmp_path):
        export(ISING, tmp_path)
        assert json.loads((tmp_path / "export.json").read_text()) == {
            "spec": ISING,
            "format": "npz",
            "samples": {"train": 42, "validation": 12, "test": 6},
            "num_classes": 2,
            "class_names": ["ordered", "disordered"],
        }


class TestRefusals:
    def refuses(self, folder, message, spec=ISING, **arguments):
        with pytest.raises(ValueError) as caught:
            export(spec, folder, **arguments)
        assert message in str(caught.value)

    def test_a_folder_that_holds_something(self, tmp_path):
        (tmp_path / "thesis.tex").touch()
        self.refuses(tmp_path, f"{tmp_path}: is not empty")
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_a_file(self, tmp_path):
        path = tmp_path / "file"
        path.touch()
        self.refuses(path, f"{path}: is no folder")

    def test_another_export(self, tmp_path):
        export(ISING, tmp_path)
        self.refuses(tmp_path, f"holds another export (of {ISING}), not", limit=20)

    @pytest.mark.parametrize("spec", ["burgers:samples=10", "sequences:samples=10"])
    def test_targets_that_are_no_class(self, spec, tmp_path):
        self.refuses(tmp_path / "out", "has targets of shape (128,)", spec)
        assert not (tmp_path / "out").exists()

    def test_a_limit_that_leaves_a_split_empty(self, tmp_path):
        self.refuses(tmp_path / "out", "expected at least 10", limit=3)
        assert not (tmp_path / "out").exists()

    def test_a_disk_that_is_too_small(self, tmp_path, monkeypatch):
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        with pytest.raises(OSError, match="choose another folder or a --limit"):
            export(ISING, tmp_path / "out")
        assert not (tmp_path / "out").exists()
