import io
import struct
import threading
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.data import npz_archive
from tfsci.data.npz_archive import Archive, Blocks, naming

RNG = np.random.default_rng(0)
X = RNG.random((3, 8, 8), dtype=np.float32)
SAVE = pytest.mark.parametrize("save", [np.savez, np.savez_compressed])


def saved(path, x, save=np.savez):
    save(path, x=x)
    return path


def read(path):
    with naming(path), open(path, "rb") as file:
        return Archive(file).read("x")


def blocks(path, step):
    with naming(path), open(path, "rb") as file:
        return Blocks(path, Archive(file).member("x"), step)


def read_block(blocks, first, path):
    with naming(path):
        return blocks.read(first)


def refuses(call, message, error=ValueError):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


class TestArchive:
    @SAVE
    @pytest.mark.parametrize("x", [X, np.asfortranarray(X), np.array(3), X > 0.5, X.astype(">f8")])
    def test_reads_what_numpy_wrote(self, tmp_path, save, x):
        got = read(saved(tmp_path / "a.npz", x, save))
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got, x)

    @SAVE
    def test_member_is_the_header(self, tmp_path, save):
        with open(saved(tmp_path / "a.npz", np.asfortranarray(X), save), "rb") as file:
            archive = Archive(file)
            member = archive.member("x")
        assert archive.names == ["x"]
        assert (member.shape, member.dtype, member.fortran_order) == (X.shape, np.float32, True)
        assert member.head_bytes == 128

    def test_values_are_aligned(self, tmp_path):
        assert read(saved(tmp_path / "a.npz", X)).flags.aligned


class TestBlocks:
    @given(
        step=st.integers(1, 25),
        order=st.randoms(use_true_random=False),
        save=st.sampled_from([np.savez, np.savez_compressed]),
    )
    def test_of_any_size_and_order_are_the_whole(self, tmp_path_factory, step, order, save):
        x = np.round(RNG.random((23, 2, 3)), 1).astype(np.float32)
        whole = blocks(saved(tmp_path_factory.mktemp("rows") / "a.npz", x, save), step)
        assert whole.rows == [(i, min(i + step, 23)) for i in range(0, 23, step)]
        shuffled = list(whole.rows)
        order.shuffle(shuffled)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(npz_archive, "_CHUNK", 17)
            for first, last in shuffled + shuffled[:2]:
                np.testing.assert_array_equal(whole.read(first), x[first:last])

    @SAVE
    def test_memory_stays_bounded(self, tmp_path, monkeypatch, save):
        block, number = 1 << 20, 40
        monkeypatch.setattr(npz_archive, "_CHUNK", 1 << 12)
        x = np.repeat(RNG.integers(0, 256, (block * number // 4096, 64), np.uint8), 64, axis=1)
        path = saved(tmp_path / "a.npz", x, save)
        tracemalloc.start()
        try:
            whole = blocks(path, 256)
            assert len(whole.rows) == number
            for first, last in whole.rows:
                assert np.array_equal(whole.read(first), x[first:last])
            # The block and its comparison, and two decompressors of 50 KB.
            assert tracemalloc.get_traced_memory()[1] < 2.5 * block
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        ("order", "passes"),
        [
            (range(50), 50),
            ([i ^ 1 for i in range(50)], 75),
            ([*range(0, 50, 2), *range(1, 50, 2)], 74),
            (range(49, -1, -1), 99),
        ],
    )
    def test_are_inflated_at_most_twice(self, tmp_path, monkeypatch, order, passes):
        x = RNG.integers(0, 256, (500, 100), np.uint8)
        whole = blocks(saved(tmp_path / "a.npz", x, np.savez_compressed), 10)
        inflated, inflate = [], npz_archive._inflate

        def counting(file, decompressor, into):
            inflated.append(len(into))
            inflate(file, decompressor, into)

        monkeypatch.setattr(npz_archive, "_inflate", counting)
        for i in order:
            np.testing.assert_array_equal(whole.read(10 * i), x[10 * i : 10 * i + 10])
        assert len(inflated) == passes

    def test_are_read_by_several_threads_at_once(self, tmp_path):
        x = RNG.random((1000, 10), dtype=np.float32)
        whole = blocks(saved(tmp_path / "a.npz", x, np.savez_compressed), 100)
        right = []

        def read(rows):
            for first, last in rows:
                right.append(np.array_equal(whole.read(first), x[first:last]))

        threads = [threading.Thread(target=read, args=(whole.rows[i::3],)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert right == [True] * 10


def damage(path, change):
    """Changes the bytes of a file."""
    raw = bytearray(path.read_bytes())
    change(raw)
    path.write_bytes(raw)
    return path


def flip(raw):
    raw[raw.index(X.tobytes()) + 100] ^= 1


class TestDamagedFiles:
    def test_with_another_crc(self, tmp_path):
        path = damage(saved(tmp_path / "a.npz", X), flip)
        message = f"{path}: cut short or damaged (its CRC differs); copy it again"
        refuses(lambda: read(path), message)

    def test_with_another_crc_in_blocks_of_any_order(self, tmp_path):
        path = damage(saved(tmp_path / "a.npz", X.reshape(12, 16)), flip)
        message = f"{path}: cut short or damaged (its CRC differs); copy it again"
        whole = blocks(path, 5)
        refuses(lambda: read_block(whole, 10, path), message)
        for first in (0, 5):
            whole.read(first)
        refuses(lambda: read_block(whole, 10, path), message)

    def test_that_became_shorter(self, tmp_path):
        path = saved(tmp_path / "a.npz", X)
        whole = blocks(path, 3)
        path.write_bytes(path.read_bytes()[:500])
        message = f"{path}: cut short or damaged (it ends early); copy it again"
        refuses(lambda: read_block(whole, 0, path), message)

    def test_deflated_that_end_early(self, tmp_path):
        x = np.zeros((50, 100), np.uint8)
        with zipfile.ZipFile(saved(tmp_path / "a.npz", x)) as archive:
            entry = archive.read("x.npy")
        path = saved(tmp_path / "a.npz", x, np.savez_compressed)
        compress = zlib.compressobj(wbits=-15)
        short = compress.compress(entry[:-50]) + compress.flush()

        def change(raw):
            start = raw.index(b"x.npy") + 5 + 20  # a name and a zip64 extra of 20 bytes
            raw[start : start + len(short)] = short

        whole = blocks(damage(path, change), 50)
        message = f"{path}: cut short or damaged (it ends early); copy it again"
        refuses(lambda: read_block(whole, 0, path), message)

    def test_deflated_that_make_no_sense(self, tmp_path):
        def change(raw):
            raw[100:120] = bytes(20)

        path = damage(saved(tmp_path / "a.npz", X, np.savez_compressed), change)
        with pytest.raises(ValueError, match=r"a.npz: cut short or damaged \(.*\); copy it again$"):
            read(path)

    @SAVE
    def test_with_any_damaged_byte_are_one_line(self, tmp_path, save):
        path = saved(tmp_path / "a.npz", X[0, :2], save)
        raw, refused = path.read_bytes(), 0
        for place in range(len(raw)):
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 0x95]) + raw[place + 1 :])
            try:
                with naming(path), open(path, "rb") as file:
                    archive = Archive(file)
                    archive.read(archive.names[0])
            except ValueError as error:
                refused += 1
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        # The others are in the entry's own header, whose size, date and so on nobody needs.
        assert refused > len(raw) / 2

    def test_with_a_header_that_makes_no_sense(self, tmp_path):
        head = b"\x93NUMPY\x01\x00" + struct.pack("<H", 20) + b"{'descr': oh('no')}\n"
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x.npy", head)
        message = "has an array header that makes no sense; copy it again"
        refuses(lambda: read(tmp_path / "a.npz"), f"{tmp_path / 'a.npz'}: {message}")


class TestRefusedArrays:
    def test_something_else(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x.npy", b"text")
        message = f"{tmp_path / 'a.npz'}: x.npy is no array; write it with np.savez"
        refuses(lambda: read(tmp_path / "a.npz"), message)

    def test_compressed_otherwise(self, tmp_path):
        buffer = io.BytesIO()
        np.save(buffer, X)
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr("x.npy", buffer.getvalue())
        refuses(
            lambda: read(tmp_path / "a.npz"),
            f"{tmp_path / 'a.npz'}: x.npy is encrypted or compressed in a way that np.load does "
            "not write; write it with np.savez",
        )

    @pytest.mark.parametrize(
        ("x", "what"),
        [
            (np.array([{}, None]), "a pickled (object) array"),
            (np.ones(2, complex), "of type complex128"),
            (np.array(["a"]), "of type <U1"),
        ],
    )
    def test_no_real_numbers(self, tmp_path, x, what):
        path = saved(tmp_path / "a.npz", x)
        message = f"{path}: x.npy is {what}; expected real numbers; save it as such"
        refuses(lambda: read(path), message)
        refuses(lambda: blocks(path, 1), message)

    def test_no_values(self, tmp_path):
        path = saved(tmp_path / "a.npz", np.ones((0, 4)))
        refuses(lambda: read(path), f"{path}: x.npy has shape (0, 4), no values; write it anew")
