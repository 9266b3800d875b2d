import shutil

import numpy as np
import pytest
from PIL import Image

from tfsci.data import catalog, check, report, samples
from tfsci.data.check import check as run

ISING = "ising:size=8,sweeps=2,samples=60"
RNG = np.random.default_rng(0)


def save(path, label=0, data=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = RNG.random((3, 8, 8), dtype="float32") if data is None else data
    np.savez(path, data=data, label=np.array([label]))
    return path


def npz_set(folder, number=20, classes=2):
    return [save(folder / f"{i:03}.npz", i % classes) for i in range(number)]


def picture(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
    return path


def lines(found):
    return list(report.first_lines(found))


class TestNpz:
    def test_a_good_set(self, tmp_path):
        npz_set(tmp_path)
        found = run(f"npz:{tmp_path}")
        assert (found.problems, found.notes) == ({}, {})
        assert found.samples == {"train": 14, "validation": 4, "test": 2}
        assert found.counts["train"] == {0: 7, 1: 7}
        assert found.counts["test"] == {0: 1, 1: 1}
        assert 0 <= found.values[0] < found.values[1] < 1

    def test_all_faulty_files_are_named_at_once_and_the_first_one_may_be_faulty(self, tmp_path):
        paths = npz_set(tmp_path, 30)
        paths[0].write_bytes(b"")
        paths[4].write_bytes(paths[4].read_bytes()[:300])
        save(paths[6], 0, np.full((3, 8, 8), np.nan, "float32"))
        save(paths[8], -1)
        save(paths[10], 0, np.zeros((3, 9, 9), "float32"))
        paths[12].write_bytes(b"GIF89a")
        problems = lines(run(f"npz:{tmp_path}").problems)
        assert [line.partition(":")[0] for line in sorted(problems)] == [
            str(paths[i]) for i in (0, 4, 6, 8, 10, 12)
        ]
        said = dict(line.split(": ", 1) for line in problems)
        assert said[str(paths[0])] == "empty (0 bytes); copy it again or remove it"
        assert said[str(paths[4])].startswith("cut short or damaged")
        assert "NaN" in said[str(paths[6])]
        assert said[str(paths[8])].startswith("label has -1; expected whole numbers from 0")
        assert "(9, 9, 3)" in said[str(paths[10])] and "(8, 8, 3)" in said[str(paths[10])]

    def test_a_file_that_is_unlike_the_first(self, tmp_path):
        paths = npz_set(tmp_path)
        save(paths[3], 1, np.zeros((3, 8, 8), "uint8"))
        (line,) = lines(run(f"npz:{tmp_path}").problems)
        assert line.startswith(f"{paths[3]}: data has samples of uint8")

    def test_labels_beyond_the_number_of_classes(self, tmp_path):
        paths = npz_set(tmp_path, 30, classes=3)
        (*rest, _) = lines(run(f"npz:{tmp_path},classes=2").problems)
        assert len(rest) == 9  # ten files of class 2
        assert rest[0] == (
            f"{paths[2]}: label has 2; expected whole numbers from 0 to 1; correct it or remove "
            "the file"
        )

    def test_more_than_twenty_of_a_kind_are_counted(self, tmp_path):
        for path in npz_set(tmp_path, 45)[20:]:
            path.write_bytes(b"")
        found = run(f"npz:{tmp_path}")
        assert len(found.problems["files"]) == 25
        assert lines(found.problems)[20:] == ["… and 5 more (files)"]

    def test_the_same_sample_in_two_splits(self, tmp_path):
        train, test = npz_set(tmp_path / "train"), npz_set(tmp_path / "test")
        val = npz_set(tmp_path / "val")
        shutil.copy(train[3], test[5])
        shutil.copy(train[4], train[8])
        found = run(f"npz:{tmp_path}")
        assert lines(found.problems) == [
            f"the same sample is in train ({train[3]}) and in test ({test[5]})"
        ]
        assert lines(found.notes) == ["samples that are copies of another one of their split: 1"]
        assert found.samples == {"train": 20, "validation": len(val), "test": 20}

    def test_the_same_sample_twice_in_a_set_that_is_cut_here(self, tmp_path):
        paths = npz_set(tmp_path, 20)
        same = np.zeros((3, 8, 8), "float32")
        for path in paths[:18:2]:  # nine of the ten of a class, so in every split
            save(path, 0, same)
        (line,) = lines(run(f"npz:{tmp_path}").problems)
        assert line.startswith("the same sample is in train (") and "and in test (" in line

    def test_classes_that_are_in_one_split_alone(self, tmp_path):
        npz_set(tmp_path / "train")
        npz_set(tmp_path / "val")
        npz_set(tmp_path / "test")
        save(tmp_path / "train/x.npz", 2)
        save(tmp_path / "test/x.npz", 5)
        found = run(f"npz:{tmp_path}")
        assert lines(found.problems) == [
            "class 2 is in train alone, with 1 sample; it can't be learnt and tested",
            "class 5 is in test alone, with 1 sample; it can't be learnt and tested",
        ]
        assert "of 6 classes no sample is there of class 3, class 4" in lines(found.notes)

    def test_uneven_classes_are_a_note(self, tmp_path):
        npz_set(tmp_path, 20, classes=1)
        for i in range(80):
            save(tmp_path / f"b{i}.npz", 1)
        found = run(f"npz:{tmp_path}")
        assert found.problems == {}
        assert lines(found.notes) == [
            "classes are uneven: 56 training samples of class 1, 14 of class 0"
        ]

    def test_rows_of_one_big_file(self, tmp_path):
        x = RNG.random((40, 8, 8), dtype="float32")
        np.savez(tmp_path / "all.npz", x=x, y=np.arange(40) % 2)
        assert run(f"npz:{tmp_path / 'all.npz'}").problems == {}
        x[:] = x[0]
        np.savez(tmp_path / "all.npz", x=x, y=np.arange(40) % 2)
        (line,) = lines(run(f"npz:{tmp_path / 'all.npz'}").problems)
        assert f"{tmp_path / 'all.npz'} row " in line

    def test_nothing_that_can_be_read(self, tmp_path):
        (tmp_path / "a.npz").write_bytes(b"")
        found = run(f"npz:{tmp_path}")
        path = tmp_path / "a.npz"
        assert lines(found.problems) == [f"{path}: empty (0 bytes); copy it again or remove it"]
        assert found.samples == {}

    def test_progress_is_told(self, tmp_path):
        told = []
        npz_set(tmp_path)
        run(f"npz:{tmp_path}", update=lambda *numbers: told.append(numbers))
        assert told[-1] == (20, 20)


class TestFolder:
    def test_a_good_set(self, tmp_path):
        for i in range(20):
            picture(tmp_path / "cat" / f"{i}.png", (i, 0, 0))
            picture(tmp_path / "dog" / f"{i}.png", (0, i + 1, 0))
        found = run(f"folder:{tmp_path}")
        assert (found.problems, found.class_names) == ({}, ("cat", "dog"))
        assert found.counts["validation"] == {0: 4, 1: 4}
        assert found.values == (0, 20)

    def test_faulty_images_and_a_class_without_test_images(self, tmp_path):
        for split, number in (("train", 10), ("test", 5)):
            for i in range(number):
                for label, name in enumerate(("cat", "dog", "elk")):
                    if (split, name) != ("test", "elk"):
                        picture(tmp_path / split / name / f"{i}.png", (i, label, number))
        bad = tmp_path / "train/cat/3.png"
        bad.write_bytes(b"")
        cut = tmp_path / "test/dog/1.png"
        cut.write_bytes(cut.read_bytes()[:-30])
        problems = lines(run(f"folder:{tmp_path}").problems)
        assert problems[0] == f"{bad}: empty (0 bytes); copy it again or remove it"
        assert problems[1].startswith(f"{cut}: can't be read")
        assert problems[2].startswith(f"{tmp_path}: class elk is in train/ but not in test/")
        assert len(problems) == 3

    def test_one_class_is_refused(self, tmp_path):
        picture(tmp_path / "cat/0.png", "red")
        (line,) = lines(run(f"folder:{tmp_path}").problems)
        assert line.startswith(f"{tmp_path}: has only one class folder, cat/")


class TestSimulated:
    def test_made_on_the_way(self, tmp_path):
        found = run(ISING, tmp_path)
        assert found.problems == {}
        assert found.samples == {"train": 42, "validation": 12, "test": 6}
        assert sum(sum(of.values()) for of in found.counts.values()) == 60
        assert found.values == (-1, 1)
        assert not list(tmp_path.iterdir())  # nothing is prepared for it

    def test_identical_samples_come_by_chance(self, tmp_path):
        found = run("ising:size=2,sweeps=2,samples=60", tmp_path)
        assert found.problems == {}
        assert any("the same sample is in train (sample" in line for line in lines(found.notes))

    def test_targets_that_are_no_classes(self, tmp_path):
        for spec in ("burgers:samples=20", "sequences:samples=20"):
            found = run(spec, tmp_path)
            assert (found.problems, found.counts) == ({}, {})
            assert found.samples == {"train": 14, "validation": 4, "test": 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data dir with a small set, and the set's folder."""
    from tfsci.data import datasets
    from tfsci.data.simulated import Simulated

    root = tmp_path_factory.mktemp("data")
    name, _, options = catalog.parse(ISING)
    simulated = Simulated.of(name, options)
    datasets.prepare_simulated(simulated, root)
    return root, datasets.folder_of(simulated, root)


@pytest.fixture
def copied(prepared, tmp_path):
    root, folder = prepared
    shutil.copytree(root, tmp_path / "data")
    return tmp_path / "data", tmp_path / "data" / folder.relative_to(root)


class TestPrepared:
    def test_is_what_the_simulator_makes(self, prepared):
        on_disk, made = run(ISING, prepared[0]), run(ISING, prepared[0] / "elsewhere")
        assert on_disk == made

    def test_a_flipped_bit(self, copied):
        root, folder = copied
        (path,) = folder.glob("*train.tfrecord*")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        found = run(ISING, root)
        (line,) = lines(found.problems)
        assert line.startswith(f"{path}: damaged (") and f"remove {folder}" in line
        assert found.samples == {"train": 0, "validation": 12, "test": 6}

    def test_files_that_are_missing_or_cut_short(self, copied):
        root, folder = copied
        (train,), (test,) = folder.glob("*train.tfrecord*"), folder.glob("*test.tfrecord*")
        train.unlink()
        size = test.stat().st_size
        test.write_bytes(test.read_bytes()[:-1])
        problems = lines(run(ISING, root).problems)
        assert f"{train}: is missing; remove {folder} and prepare the set anew" in problems
        assert any(f"{test}: has {size - 1} bytes instead of {size}" in line for line in problems)

    def test_a_damaged_manifest(self, copied):
        root, folder = copied
        (folder / "tfsci.json").write_text("{")
        (line,) = lines(run(ISING, root).problems)
        assert line.startswith(f"{folder / 'tfsci.json'}: damaged")


class TestValues:
    """Of sets that no reader has refused."""

    def given(self, x, y, num_classes=2):
        sizes = {"train": len(x), "validation": 0, "test": 0}
        return samples.Samples(
            "x", sizes, num_classes, None, lambda split: [(x, y)] if split == "train" else []
        )

    def look(self, *arguments):
        found = report.Report("x")
        check._check_samples(found, self.given(*arguments), False, lambda done, total: None)
        return found.problems

    def test_not_finite(self):
        x = np.zeros((4, 2), "float32")
        x[1, 1], x[3, 0] = np.inf, np.nan
        assert self.look(x, np.zeros(4, "int32"))["not finite"] == [
            "train sample 1: its input is not finite",
            "train sample 3: its input is not finite",
        ]
        assert self.look(np.ones_like(x), x, None)["not finite"][0].endswith(
            "its target is not finite"
        )

    def test_labels(self):
        x = np.arange(8, dtype="float32").reshape(4, 2)
        assert self.look(x, np.array([0, 1, 2, -1], "int32"))["labels"] == [
            "train sample 2: has label 2; expected 0 to 1",
            "train sample 3: has label -1; expected 0 to 1",
        ]

    def test_tokens(self):
        tokens = np.array([[0, 1], [1, 7]], "int32")
        assert self.look(tokens, tokens % 2)["labels"] == [
            "train sample 1: has label 7; expected 0 to 1"
        ]

    def test_a_batch_that_can_not_be_read_does_not_end_the_check(self):
        def read(split):
            if split == "validation":
                raise ValueError("set: samples 0 to 9 of validation can't be read (so)")
            yield np.zeros((2, 2), "float32"), np.arange(2)

        found = report.Report("x")
        given = samples.Samples(
            "x", dict.fromkeys(("train", "validation", "test"), 2), 2, None, read
        )
        check._check_samples(found, given, True, lambda done, total: None)
        assert found.problems == {"files": ["set: samples 0 to 9 of validation can't be read (so)"]}
        assert found.samples == {"train": 2, "validation": 0, "test": 2}

    def test_empty_splits(self):
        found = self.look(np.zeros((1, 2), "float32"), np.zeros(1, "int32"))
        assert [line.partition(";")[0] for line in found["empty"]] == [
            "no sample is left for validation",
            "no sample is left for test",
        ]


class TestBadInput:
    @pytest.mark.parametrize(
        ("spec", "error"),
        [
            ("nothing", ValueError),
            ("npz:/nowhere/at/all", FileNotFoundError),
            ("npz:/tmp,classes=x", ValueError),
            ("folder:/nowhere/at/all", FileNotFoundError),
            ("ising:size=x", ValueError),
            ("text:/nowhere/at/all", FileNotFoundError),
        ],
    )
    def test_is_raised(self, spec, error, tmp_path):
        with pytest.raises(error):
            run(spec, tmp_path)
