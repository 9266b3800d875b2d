import os
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from tfsci.data import images

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path, pixels, mode=None, **options):
    """Writes an image of an array, of shape (height, width) or (height, width, channels)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def plain(height, width, colour=RED):
    return np.full((height, width, np.size(colour)), colour, np.uint8).squeeze()


def pair(root, a, b=None, **options):
    """A set of two classes with an image each."""
    save(root / "a" / "0.png", a, **options)
    save(root / "b" / "0.png", a if b is None else b, **options)
    return root


def first(collection):
    return collection.read(collection.parts[0])[0][0]


def refuses(call, message, error=ValueError):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


class TestListing:
    def test_classes_are_numbered_by_name(self, tmp_path):
        for name in ("fish/2.png", "cat/b.png", "cat/a.JPG", "Dog/x.tiff", "cat/more/0.tif"):
            save(tmp_path / name, plain(4, 4))
        (tmp_path / "cat" / ".hidden.png").touch()
        (tmp_path / "cat" / "notes.txt").touch()
        (tmp_path / ".cache").mkdir()
        collection = images.collect(tmp_path)
        assert collection.class_names == ("Dog", "cat", "fish")
        assert collection.num_classes == 3
        listed = [(str(part.path.relative_to(tmp_path)), part.label) for part in collection.parts]
        assert listed == [
            ("Dog/x.tiff", 0),
            ("cat/a.JPG", 1),
            ("cat/b.png", 1),
            ("cat/more/0.tif", 1),
            ("fish/2.png", 2),
        ]
        assert images.files(tmp_path) == [part.path for part in collection.parts]
        assert {part.split for part in collection.parts} == {None}
        assert [collection.read(part)[1].tolist() for part in collection.parts[::2]] == [
            [0],
            [1],
            [2],
        ]

    @pytest.mark.parametrize("validation", ["val", "valid", "validation"])
    def test_splits(self, tmp_path, validation):
        for folder in ("train", validation, "test"):
            pair(tmp_path / folder, plain(2, 2))
        parts = images.collect(tmp_path).parts
        assert [(part.split, part.label) for part in parts] == [
            (split, label) for split in ("train", "validation", "test") for label in (0, 1)
        ]

    @pytest.mark.parametrize("folders", [["train"], ["train", "test"], ["train", "val"]])
    def test_splits_that_there_are(self, tmp_path, folders):
        for folder in folders:
            pair(tmp_path / folder, plain(2, 2))
        found = dict.fromkeys(part.split for part in images.collect(tmp_path).parts)
        assert list(found) == [{"val": "validation"}.get(folder, folder) for folder in folders]

    def test_a_class_may_be_missing_from_one_of_three_splits(self, tmp_path):
        for folder in ("train", "val", "test"):
            pair(tmp_path / folder, plain(2, 2))
        save(tmp_path / "train" / "a0" / "0.png", plain(2, 2))
        save(tmp_path / "test" / "a0" / "0.png", plain(2, 2))
        collection = images.collect(tmp_path)
        assert collection.class_names == ("a", "a0", "b")
        assert [part.label for part in collection.parts] == [0, 1, 2, 0, 2, 0, 1, 2]


class TestRefusedFolders:
    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable(self, tmp_path):
        pair(tmp_path, plain(2, 2))
        (tmp_path / "b").chmod(0)
        message = f"{tmp_path / 'b'}: can't be read (Permission denied); check its permissions"
        refuses(lambda: images.collect(tmp_path), message)
        (tmp_path / "b").chmod(0o755)

    def test_without_classes(self, tmp_path):
        save(tmp_path / "a.png", plain(2, 2))
        refuses(
            lambda: images.collect(tmp_path),
            f"{tmp_path}: has no class folders; expected a folder of images for each of two or "
            "more classes",
        )

    def test_of_one_class(self, tmp_path):
        save(tmp_path / "cat" / "a.png", plain(2, 2))
        refuses(
            lambda: images.collect(tmp_path),
            f"{tmp_path}: has only one class folder, cat/; expected a folder of images for each "
            "of two or more classes",
        )

    def test_with_an_empty_class(self, tmp_path):
        pair(tmp_path, plain(2, 2))
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "a.bmp").touch()
        refuses(
            lambda: images.collect(tmp_path),
            f"{tmp_path / 'c'}: has no images; expected .jpg, .jpeg, .png, .tif, .tiff files; add "
            "some or remove the folder",
        )

    @pytest.mark.parametrize(("has", "lacks"), [("test", "train"), ("train", "test")])
    def test_with_a_class_in_one_split_alone(self, tmp_path, has, lacks):
        for folder in ("train", "test"):
            pair(tmp_path / folder, plain(2, 2))
        save(tmp_path / has / "c" / "0.png", plain(2, 2))
        refuses(
            lambda: images.collect(tmp_path),
            f"{tmp_path}: class c is in {has}/ but not in {lacks}/; add a folder of its images "
            "there or remove the class",
        )


class TestSize:
    @pytest.mark.parametrize(
        ("a", "b", "expected"),
        [
            ((512, 512), (512, 512), 512),
            ((513, 513), (513, 513), 224),
            ((30, 40), (30, 40), 30),
            ((30, 40), (60, 50), 40),
            ((300, 400), (250, 250), 224),
        ],
    )
    def test_default(self, tmp_path, a, b, expected):
        collection = images.collect(pair(tmp_path, plain(*a, 0), plain(*b, 0)))
        assert collection.shape == (expected, expected, 1)
        assert first(collection).shape == collection.shape

    def test_given(self, tmp_path):
        collection = images.collect(pair(tmp_path, plain(8, 8)), size=5)
        assert collection.shape == first(collection).shape == (5, 5, 3)

    def test_of_nothing_is_refused(self, tmp_path):
        message = "size: expected at least 1; received 0"
        refuses(lambda: images.collect(tmp_path, size=0), message)

    def test_keeps_pixels_of_that_size(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
        collection = images.collect(pair(tmp_path, pixels))
        assert collection.dtype == "uint8"
        np.testing.assert_array_equal(first(collection), pixels)

    def test_keeps_the_centre(self, tmp_path):
        wide = np.concatenate([plain(4, 2, RED), plain(4, 4, GREEN), plain(4, 2, BLUE)], axis=1)
        pair(tmp_path, wide, wide.transpose(1, 0, 2))
        collection = images.collect(tmp_path)
        for part in collection.parts:
            np.testing.assert_array_equal(collection.read(part)[0], [plain(4, 4, GREEN)])

    def test_shrinks_by_averaging(self, tmp_path):
        # Without antialiasing every pixel would be 0 or 255.
        board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
        x = first(images.collect(pair(tmp_path, board.astype(np.uint8)), size=8))
        assert np.all(abs(x.astype(int) - 127.5) < 3)


class TestPixels:
    @pytest.mark.parametrize("mode", ["1", "L", "LA"])
    def test_grey_has_one_channel(self, tmp_path, mode):
        grey = plain(4, 4, 255)
        grey[0, 1] = 0
        collection = images.collect(pair(tmp_path, grey, mode=mode))
        assert (collection.shape, collection.dtype) == ((4, 4, 1), "uint8")
        np.testing.assert_array_equal(first(collection)[..., 0], grey)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
    def test_colour_has_three_and_grey_beside_it_too(self, tmp_path, mode):
        pair(tmp_path, Image.fromarray(plain(4, 4)).convert(mode), plain(4, 4, 9))
        collection = images.collect(tmp_path)
        assert collection.shape == (4, 4, 3)
        np.testing.assert_array_equal(first(collection), plain(4, 4))
        x, _ = collection.read(collection.parts[1])
        np.testing.assert_array_equal(x, np.full((1, 4, 4, 3), 9))

    def test_transparent_palette(self, tmp_path):
        image = Image.fromarray(plain(4, 4)).convert("P")
        pair(tmp_path, image, transparency=bytes([128] * 256))
        np.testing.assert_array_equal(first(images.collect(tmp_path)), plain(4, 4))

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bits_become_fractions(self, tmp_path, suffix):
        deep = np.array([[0, 13107], [65535, 52428]], np.uint16)
        save(tmp_path / "a" / f"0.{suffix}", deep)
        save(tmp_path / "b" / "0.png", plain(2, 2, 51))
        collection = images.collect(tmp_path)
        assert (collection.shape, collection.dtype) == ((2, 2, 1), "float32")
        x = first(collection)
        assert x.dtype == np.float32
        np.testing.assert_allclose(x[..., 0], [[0, 0.2], [1, 0.8]], rtol=1e-6)
        x, _ = collection.read(collection.parts[1])
        np.testing.assert_allclose(x, np.full((1, 2, 2, 1), 0.2), rtol=1e-6)

    def test_16_bits_beside_colour(self, tmp_path):
        pair(tmp_path, np.full((2, 2), 65535, np.uint16), plain(2, 2))
        collection = images.collect(tmp_path)
        assert (collection.shape, collection.dtype) == ((2, 2, 3), "float32")
        np.testing.assert_array_equal(first(collection), np.ones((2, 2, 3)))
        x, _ = collection.read(collection.parts[1])
        np.testing.assert_array_equal(x, np.full((1, 2, 2, 3), (1, 0, 0)))

    def test_floats_stay(self, tmp_path):
        values = np.array([[-1.5, 2], [3e5, 0]], np.float32)
        for name in "ab":
            save(tmp_path / name / "0.tif", values)
        x = first(images.collect(tmp_path))
        np.testing.assert_array_equal(x[..., 0], values)

    def test_32_bit_integers_are_taken_for_16(self, tmp_path):
        save(tmp_path / "a" / "0.tif", np.array([[0, 65535]] * 2, np.int32))
        path = save(tmp_path / "b" / "0.tif", np.array([[0, 65536]] * 2, np.int32))
        collection = images.collect(tmp_path)
        np.testing.assert_array_equal(first(collection)[..., 0], [[0, 1]] * 2)
        refuses(
            lambda: collection.read(collection.parts[1]),
            f"{path}: can't be read (its pixels are 0 to 65536, expected 0 to 65535); copy it "
            "again or remove it",
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_floats_that_are_not_finite_are_refused(self, tmp_path, value):
        for name in "ab":
            path = save(tmp_path / name / "0.tif", np.array([[0, value]] * 2, np.float32))
        collection = images.collect(tmp_path)
        refuses(
            lambda: collection.read(collection.parts[1]),
            f"{path}: can't be read (it holds NaN or infinite pixels); copy it again or remove it",
        )

    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
    def test_are_turned_as_exif_says(self, tmp_path, suffix):
        halves = np.concatenate([plain(16, 8, 255), plain(16, 8, 0)], axis=1)
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise: what is left comes to the top
        for name in "ab":
            save(tmp_path / name / f"0.{suffix}", halves, exif=exif)
        np.testing.assert_allclose(first(images.collect(tmp_path))[..., 0], halves.T, atol=3)

    def test_large_jpegs_are_decoded_small(self, tmp_path):
        quarters = np.kron([[0, 80], [160, 240]], np.ones((512, 512))).astype(np.uint8)
        for name in "ab":
            save(tmp_path / name / "0.jpg", quarters, quality=95)
        expected = np.kron([[0, 80], [160, 240]], np.ones((32, 32)))
        x = first(images.collect(tmp_path, size=64))[..., 0].astype(float)
        inner = np.r_[:30, 34:64]
        np.testing.assert_allclose(x[np.ix_(inner, inner)], expected[np.ix_(inner, inner)], atol=3)


class TestDamagedFiles:
    @pytest.fixture
    def read(self, tmp_path):
        """Reads b/0.png of a set, whose other image is whole, with what it holds by then."""
        pair(tmp_path, np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))

        def read():
            collection = images.collect(tmp_path)
            assert collection.shape == (64, 64, 3)
            return collection.read(collection.parts[1])

        read.path = tmp_path / "b" / "0.png"
        return read

    def test_of_no_bytes(self, read):
        read.path.write_bytes(b"")
        refuses(read, f"{read.path}: empty (0 bytes); copy it again or remove it")

    @pytest.mark.parametrize("content", [b"<html>not found</html>", b"GIF89a", b"\x89PNG"])
    def test_that_are_no_images(self, read, content):
        read.path.write_bytes(content)
        refuses(
            read,
            f"{read.path}: not a whole JPEG, PNG or TIFF image; copy it again or remove it",
        )

    @pytest.mark.parametrize("kind", ["BMP", "GIF", "PPM", "WEBP"])
    def test_of_kinds_that_may_not_be_opened(self, read, kind):
        Image.fromarray(plain(64, 64)).save(read.path, format=kind)
        refuses(
            read,
            f"{read.path}: not a whole JPEG, PNG or TIFF image; copy it again or remove it",
        )

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    @pytest.mark.parametrize("share", [0.3, 0.8])
    def test_cut_short(self, read, kind, share):
        Image.open(read.path).save(read.path, format=kind)
        raw = read.path.read_bytes()
        read.path.write_bytes(raw[: int(share * len(raw))])
        with pytest.raises(ValueError) as caught:
            read()
        message = str(caught.value)
        assert message.startswith(f"{read.path}: can't be read (") and "\n" not in message
        assert message.endswith("; copy it again or remove it")

    def test_too_large_to_be_meant(self, read, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
        save(read.path, plain(65, 64))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=r"0.png: can't be read \(Image size \(4160 "):
                read()

    def test_that_are_gone(self, tmp_path):
        collection = images.collect(pair(tmp_path, plain(2, 2)))
        path = collection.parts[0].path
        path.unlink()
        message = f"{path}: no such file; list the folder anew"
        refuses(lambda: first(collection), message, FileNotFoundError)

    def test_none_whole(self, tmp_path):
        for name in "ab":
            (tmp_path / name).mkdir()
            (tmp_path / name / "0.png").touch()
        refuses(
            lambda: images.collect(tmp_path),
            f"no image of {tmp_path} can be read; the first is {tmp_path / 'a' / '0.png'}: empty "
            "(0 bytes); copy it again or remove it",
        )

    def test_that_became_deeper(self, tmp_path):
        collection = images.collect(pair(tmp_path, plain(2, 2, 0)))
        path = save(collection.parts[0].path, np.zeros((2, 2), np.uint16))
        refuses(
            lambda: first(collection),
            f"{path}: can't be read (it has become a 16-bit or float image since the set was "
            "listed); copy it again or remove it",
        )


def test_are_read_by_several_threads_at_once(tmp_path):
    for i in range(40):
        save(tmp_path / "ab"[i % 2] / f"{i:02}.png", plain(16, 16, (i, 0, 0)))
    collection = images.collect(tmp_path)
    filters = list(warnings.filters)
    right = []

    def read():
        for part in collection.parts:
            x, y = collection.read(part)
            i = int(part.path.stem)
            right.append(np.all(x == (i, 0, 0)) and y.tolist() == [i % 2])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 160
    assert list(warnings.filters) == filters
