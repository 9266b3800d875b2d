import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.data import text


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "corpus.txt"
        path.write_bytes(data)
        return path

    return write


class TestSplits:
    def test_are_cut_70_20_10_in_order(self, written):
        path = written(bytes(100))
        train, validation, test = text.splits(path, length=3)
        # 70, 20 and 10 bytes hold 23, 6 and 3 windows of 3, each with the byte that follows.
        assert train == text.Windows(path, 0, 23, 3)
        assert validation == text.Windows(path, 70, 6, 3)
        assert test == text.Windows(path, 90, 3, 3)

    @pytest.mark.parametrize("length", [1, 2, 7, 128])
    def test_need_ten_windows_and_a_byte(self, written, length):
        path = written(bytes(10 * length + 1))
        assert [part.num_samples for part in text.splits(path, length)][2] == 1
        short = written(bytes(10 * length))
        with pytest.raises(ValueError) as caught:
            text.splits(short, length)
        assert str(caught.value) == (
            f"{short}: has {10 * length} bytes; expected at least {10 * length + 1}, for windows "
            f"of {length} in each split; use a longer text or shorter windows"
        )

    def test_of_nothing_are_refused(self, written):
        with pytest.raises(ValueError, match=r"corpus.txt: has 0 bytes; expected at least 1281"):
            text.splits(written(b""))

    def test_of_a_missing_file_are_refused(self):
        with pytest.raises(FileNotFoundError, match=r"^gone.txt: no such file; expected a text"):
            text.splits(Path("gone.txt"))

    def test_of_a_folder_are_refused(self, tmp_path):
        message = f"{tmp_path}: a folder; expected one text file"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            text.splits(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_of_an_unreadable_file_are_refused(self, written):
        path = written(bytes(2000))
        path.chmod(0)
        with pytest.raises(ValueError, match=r"corpus.txt: can't be read \(Permission denied\)"):
            text.splits(path)

    @pytest.mark.parametrize("length", [0, -1])
    def test_windows_without_length_are_refused(self, written, length):
        with pytest.raises(ValueError, match=f"length: expected at least 1; received {length}"):
            text.splits(written(bytes(100)), length)


class TestWindows:
    def test_give_bytes_and_the_bytes_that_follow(self, written):
        windows = text.Windows(written(b"The quick brown fox."), 4, 3, 5)
        x, y = windows.read(np.array([2, 0]))
        assert (x.dtype, y.dtype) == (np.int32, np.int32)
        assert [bytes(row.tolist()) for row in x] == [b"n fox", b"quick"]
        assert [bytes(row.tolist()) for row in y] == [b" fox.", b"uick "]

    def test_of_no_index_are_empty(self, written):
        x, y = text.Windows(written(b"abcdef"), 0, 2, 2).read(np.array([], int))
        assert x.shape == y.shape == (0, 2)

    @given(data=st.binary(min_size=61, max_size=400), length=st.integers(1, 6))
    def test_side_by_side_give_the_file_back(self, tmp_path_factory, data, length):
        path = tmp_path_factory.mktemp("text") / "corpus.txt"
        path.write_bytes(data)
        cuts = [0, len(data) * 7 // 10, len(data) * 9 // 10, len(data)]
        for i, windows in enumerate(text.splits(path, length)):
            x, y = windows.read(np.arange(windows.num_samples))
            part = data[cuts[i] : cuts[i + 1]]
            used = windows.num_samples * length
            assert bytes(x.ravel().tolist()) == part[:used]
            assert bytes(y.ravel().tolist()) == part[1 : used + 1]
            assert len(part) - used <= length

    def test_are_read_by_several_threads_at_once(self, written):
        data = np.random.default_rng(0).integers(0, 256, 10_001).astype(np.uint8)
        windows = text.Windows(written(data.tobytes()), 0, 1000, 10)
        expected = data[:-1].reshape(1000, 10)
        right = []

        def read(seed):
            order = np.random.default_rng(seed).permutation(1000)
            right.append(np.array_equal(windows.read(order)[0], expected[order]))

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert right == [True] * 4

    @pytest.mark.parametrize("index", [-1, 5])
    def test_out_of_range_are_refused(self, written, index):
        windows = text.Windows(written(bytes(11)), 0, 5, 2)
        with pytest.raises(ValueError, match=rf"indices: expected 0 to 4, .*; received {index}$"):
            windows.read(np.array([0, index]))

    def test_of_a_file_that_became_shorter_are_refused(self, written):
        windows = text.splits(written(bytes(200)), 4)[2]
        path = written(bytes(190))
        with pytest.raises(ValueError) as caught:
            windows.read(np.arange(windows.num_samples))
        expected = f"{path}: has become shorter while it was in use; start anew"
        assert str(caught.value) == expected

    def test_of_a_file_that_is_gone_are_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file"):
            text.Windows(tmp_path / "gone", 0, 1, 1).read(np.array([0]))


class TestDecode:
    def test_gives_the_text_back(self):
        assert text.decode(np.array(list("Größe".encode()))) == "Größe"

    def test_replaces_what_is_not_utf_8(self):
        assert text.decode([65, 0xC3]) == "A\ufffd"

    @pytest.mark.parametrize("token", [-1, 256])
    def test_refuses_what_is_no_byte(self, token):
        with pytest.raises(ValueError, match=f"tokens: expected bytes, 0 to 255; received {token}"):
            text.decode([0, token])
