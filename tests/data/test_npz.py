import os
from pathlib import Path

import numpy as np
import pytest

from tfsci.data import npz

RNG = np.random.default_rng(0)
SAMPLE = RNG.random((3, 8, 8), dtype=np.float32)


def save_sample(path, data=SAMPLE, label=0, save=np.savez):
    path.parent.mkdir(exist_ok=True)
    save(path, data=data, label=np.atleast_1d(label))
    return path


def save_rows(path, x, y, save=np.savez):
    save(path, x=x, y=y)
    return path


def read_all(collection):
    x, y = zip(*(collection.read(part) for part in collection.parts), strict=True)
    return np.concatenate(x), np.concatenate(y)


def refuses(call, message, error=ValueError):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


class TestSamples:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_channels_move_behind(self, tmp_path, save):
        save_sample(tmp_path / "b.npz", 2 * SAMPLE, 7, save)
        save_sample(tmp_path / "a.npz", SAMPLE, 230, save)
        collection = npz.collect(tmp_path, classes=231)
        assert (collection.shape, collection.dtype) == ((8, 8, 3), "float32")
        assert (collection.num_classes, collection.class_names) == (231, None)
        assert [part.path.name for part in collection.parts] == ["a.npz", "b.npz"]
        assert [part.split for part in collection.parts] == [None, None]
        x, y = read_all(collection)
        expected = SAMPLE.transpose(1, 2, 0)
        np.testing.assert_array_equal(x, [expected, 2 * expected])
        assert (x.dtype, y.tolist()) == (np.float32, [230, 7])
        assert np.issubdtype(y.dtype, np.integer)

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            ((5,), (5,)),
            ((28, 27), (28, 27, 1)),
            ((1, 6, 5), (6, 5, 1)),
            ((4, 6, 5), (6, 5, 4)),
            ((6, 5, 3), (6, 5, 3)),
            ((3, 6, 3), (3, 6, 3)),
            ((2, 6, 5), (2, 6, 5)),
            ((3, 2, 2, 2), (3, 2, 2, 2)),
        ],
    )
    def test_shapes(self, tmp_path, shape, expected):
        data = RNG.random(shape, dtype=np.float32)
        collection = npz.collect(save_sample(tmp_path / "a.npz", data))
        x, _ = collection.read(collection.parts[0])
        assert collection.shape == x.shape[1:] == expected
        if shape == (4, 6, 5):
            assert x[0, 2, 3, 1] == data[1, 2, 3]

    @pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", ">f8", "f4"])
    def test_numbers_become_float32(self, tmp_path, dtype):
        data = np.array([0, 1, 1], dtype)
        collection = npz.collect(save_sample(tmp_path / "a.npz", data))
        x, _ = collection.read(collection.parts[0])
        assert (collection.dtype, x.dtype, x.tolist()) == ("float32", np.float32, [[0, 1, 1]])

    def test_bytes_stay_bytes(self, tmp_path):
        collection = npz.collect(save_sample(tmp_path / "a.npz", np.arange(4, dtype=np.uint8)))
        x, _ = collection.read(collection.parts[0])
        assert (collection.dtype, x.dtype, x.tolist()) == ("uint8", np.uint8, [[0, 1, 2, 3]])

    def test_in_fortran_order_are_the_same(self, tmp_path):
        data = np.asfortranarray(RNG.random((4, 5), dtype=np.float32))
        collection = npz.collect(save_sample(tmp_path / "a.npz", data))
        np.testing.assert_array_equal(collection.read(collection.parts[0])[0][0, :, :, 0], data)

    @pytest.mark.parametrize("label", [3, [3], 3.0, np.uint8(3), np.array([[3]])])
    def test_labels_of_one_number(self, tmp_path, label):
        np.savez(tmp_path / "a.npz", data=SAMPLE, label=label)
        collection = npz.collect(tmp_path)
        assert collection.read(collection.parts[0])[1].tolist() == [3]
        assert collection.num_classes is None

    def test_folders_of_splits(self, tmp_path):
        for i, folder in enumerate(["test", "Train", "valid"]):
            save_sample(tmp_path / folder / "a.npz", label=i)
        collection = npz.collect(tmp_path)
        assert [part.split for part in collection.parts] == ["train", "validation", "test"]
        assert read_all(collection)[1].tolist() == [1, 2, 0]
        assert npz.files(tmp_path) == [
            tmp_path / folder / "a.npz" for folder in ("Train", "valid", "test")
        ]

    def test_other_files_are_ignored(self, tmp_path):
        for name in ("b.npz", "a.NPZ", ".c.npz"):
            with open(tmp_path / name, "wb") as file:
                np.savez(file, data=SAMPLE, label=0)
        (tmp_path / "README.txt").write_text("about")
        assert [path.name for path in npz.files(tmp_path)] == ["a.NPZ", "b.npz"]


class TestRows:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_in_blocks_are_the_whole(self, tmp_path, monkeypatch, save):
        x, y = RNG.random((23, 2, 3), dtype=np.float32), np.arange(23)
        monkeypatch.setattr(npz, "BLOCK_BYTES", 5 * 24 + 1)
        collection = npz.collect(save_rows(tmp_path / "a.npz", x, y, save), classes=23)
        assert [part.rows for part in collection.parts] == [(i, min(i + 5, 23)) for i in y[::5]]
        for part in collection.parts[::-1]:
            got = collection.read(part)
            np.testing.assert_array_equal(got[0][..., 0], x[slice(*part.rows)])
            np.testing.assert_array_equal(got[1], y[slice(*part.rows)])

    def test_of_several_files_in_splits(self, tmp_path):
        for folder, rows in (("train", 3), ("test", 2)):
            (tmp_path / folder).mkdir()
            save_rows(tmp_path / folder / "a.npz", np.ones((rows, 5)), np.arange(rows))
        collection = npz.collect(tmp_path)
        assert [(part.split, part.rows) for part in collection.parts] == [
            ("train", (0, 3)),
            ("test", (0, 2)),
        ]
        assert (collection.shape, collection.dtype) == ((5,), "float32")
        assert read_all(collection)[1].tolist() == [0, 1, 2, 0, 1]

    def test_blocks_count_what_their_samples_become(self, tmp_path, monkeypatch):
        monkeypatch.setattr(npz, "BLOCK_BYTES", 80)
        for dtype, rows in ((np.uint8, 8), (bool, 2), (np.float16, 2), (np.float64, 1)):
            save_rows(tmp_path / "a.npz", np.ones((8, 10), dtype), np.zeros(8, int))
            assert npz.collect(tmp_path / "a.npz").parts[0].rows == (0, rows)


def damaged(path, change):
    """Writes a sample file whose bytes a function has changed."""
    raw = bytearray(save_sample(path).read_bytes())
    path.write_bytes(change(raw) or raw)
    return path


def flip(raw):
    raw[raw.index(SAMPLE.tobytes()) + 100] ^= 1


class TestDamagedFiles:
    @pytest.fixture
    def read(self, tmp_path):
        """Reads b.npz in a set whose first file is whole."""
        save_sample(tmp_path / "a.npz", label=1)
        (tmp_path / "b.npz").touch()
        collection = npz.collect(tmp_path, classes=2)
        return lambda: collection.read(collection.parts[1])

    def test_of_no_bytes(self, tmp_path, read):
        message = f"{tmp_path / 'b.npz'}: empty (0 bytes); copy it again or remove it"
        refuses(read, message)
        refuses(lambda: npz.collect(tmp_path / "b.npz"), message)

    def test_of_another_kind(self, tmp_path, read):
        path = tmp_path / "b.npz"
        path.write_text("no archive at all")
        message = f"{path}: no .npz file; write it with np.savez or remove it"
        refuses(read, message)
        refuses(lambda: npz.collect(path), message)

    @pytest.mark.parametrize("kept", [10, 700, -1])
    def test_cut_short(self, tmp_path, read, kept):
        path = damaged(tmp_path / "b.npz", lambda raw: raw[:kept])
        message = f"{path}: cut short or damaged (File is not a zip file); copy it again"
        refuses(read, message)
        refuses(lambda: npz.collect(path), message)

    def test_with_another_crc(self, tmp_path, read):
        path = damaged(tmp_path / "b.npz", flip)
        refuses(read, f"{path}: cut short or damaged (its CRC differs); copy it again")

    def test_that_are_gone(self, tmp_path, read):
        (tmp_path / "b.npz").unlink()
        message = f"{tmp_path / 'b.npz'}: no such file; list the folder anew"
        refuses(read, message, FileNotFoundError)

    def test_that_hold_other_arrays(self, tmp_path, read):
        path = tmp_path / "b.npz"
        np.savez(path, images=SAMPLE, label=1)
        refuses(
            read,
            f"{path}: expected the arrays data and label, as in {tmp_path / 'a.npz'}; it has "
            "images, label; rename them or remove the file",
        )
        refuses(
            lambda: npz.collect(path),
            f"{path}: expected the arrays data and label, or x and y; it has images, label; "
            "rename them",
        )

    @pytest.mark.parametrize(
        ("data", "came"),
        [
            (SAMPLE[:, :4], "float32 (3, 4, 8)"),
            (SAMPLE.astype(float), "float64 (3, 8, 8)"),
        ],
    )
    def test_of_other_shapes_and_types(self, tmp_path, read, data, came):
        path = save_sample(tmp_path / "b.npz", data)
        refuses(
            read,
            f"{path}: data has samples of {came}, but those of {tmp_path / 'a.npz'} are float32 "
            "(3, 8, 8); make them alike or remove one",
        )

    @pytest.mark.parametrize(
        ("label", "came"), [(-1, "-1"), (2, "2"), (0.5, "0.5"), (np.nan, "nan")]
    )
    def test_with_labels_that_are_no_class(self, tmp_path, read, label, came):
        path = save_sample(tmp_path / "b.npz", label=label)
        refuses(
            read,
            f"{path}: label has {came}; expected whole numbers from 0 to 1; correct it or remove "
            "the file",
        )

    def test_with_several_labels(self, tmp_path, read):
        path = save_sample(tmp_path / "b.npz", label=[0, 1])
        refuses(read, f"{path}: label has shape (2,); expected one number; write it anew")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_with_data_that_are_not_finite(self, tmp_path, read, value):
        data = SAMPLE.copy()
        data[2, 7, 7] = value
        path = save_sample(tmp_path / "b.npz", data)
        refuses(
            read, f"{path}: data holds NaN, infinity or numbers beyond float32; mend or remove it"
        )

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (np.array([{}, None]), "a pickled (object) array"),
            (np.ones(2, complex), "of type complex128"),
            (np.array(["a"]), "of type <U1"),
        ],
    )
    def test_of_what_are_no_real_numbers(self, tmp_path, read, data, what):
        path = save_sample(tmp_path / "b.npz", data)
        message = f"{path}: data.npy is {what}; expected real numbers; save it as such"
        refuses(read, message)
        refuses(lambda: npz.collect(path), message)


class TestRefusedSets:
    def test_rows_of_unequal_numbers(self, tmp_path):
        path = save_rows(tmp_path / "a.npz", np.ones((10, 4)), np.zeros(9, int))
        refuses(
            lambda: npz.collect(path),
            f"{path}: x has shape (10, 4) and y (9,); expected y of shape (10,), a class for each "
            "sample; write it anew",
        )

    def test_rows_that_differ_between_files(self, tmp_path):
        save_rows(tmp_path / "a.npz", np.ones((2, 4)), np.zeros(2, int))
        save_rows(tmp_path / "b.npz", np.ones((2, 5)), np.zeros(2, int))
        refuses(
            lambda: npz.collect(tmp_path),
            f"{tmp_path / 'b.npz'}: x has samples of float64 (5,), but those of "
            f"{tmp_path / 'a.npz'} are float64 (4,); make them alike or remove one",
        )

    def test_rows_in_fortran_order(self, tmp_path):
        x = np.asfortranarray(np.ones((5, 4)))
        path = save_rows(tmp_path / "a.npz", x, np.zeros(5, int))
        refuses(
            lambda: npz.collect(path),
            f"{path}: x is in Fortran order; save np.ascontiguousarray(x)",
        )

    def test_rows_without_axes(self, tmp_path):
        path = save_rows(tmp_path / "a.npz", np.ones(5), np.zeros(5, int))
        refuses(
            lambda: npz.collect(path), f"{path}: x has shape (5,); expected another axis at least"
        )

    def test_numbers_beyond_float32(self, tmp_path):
        collection = npz.collect(save_rows(tmp_path / "a.npz", np.full((1, 2), 1e40), [0]))
        with pytest.raises(ValueError, match=r"a.npz: x holds NaN, infinity or numbers beyond"):
            collection.read(collection.parts[0])

    def test_labels_without_an_upper_limit(self, tmp_path):
        collection = npz.collect(save_rows(tmp_path / "a.npz", np.ones((2, 2)), [2**31 - 1, -3]))
        with pytest.raises(ValueError, match=r"y has -3; expected whole numbers from 0 upwards;"):
            collection.read(collection.parts[0])

    def test_missing_folder(self):
        message = "gone: no such folder; check the path"
        refuses(lambda: npz.collect(Path("gone")), message, FileNotFoundError)

    def test_folder_without_files(self, tmp_path):
        message = f"{tmp_path}: has no .npz files; expected some; check the path"
        refuses(lambda: npz.files(tmp_path), message)

    def test_no_classes(self, tmp_path):
        message = "classes: expected at least 1; received 0"
        refuses(lambda: npz.collect(tmp_path, classes=0), message)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable_file(self, tmp_path):
        path = save_sample(tmp_path / "a.npz")
        path.chmod(0)
        refuses(
            lambda: npz.collect(path),
            f"{path}: can't be read (Permission denied); check it",
        )
