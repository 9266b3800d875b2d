import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfsci.data import catalog
from tfsci.training import byte_pairs
from tfsci.training.byte_pairs import BytePairs, TokenWindows

TEXT = "the cat and the other cat sat on that mat\n" * 20


@pytest.fixture(scope="module")
def pairs():
    return BytePairs(byte_pairs.learn(TEXT.encode(), 290))


class TestBytePairs:
    @given(words=st.text())
    def test_any_text_comes_back(self, pairs, words):
        tokens = pairs.encode(words.encode())
        assert pairs.decode(tokens) == words
        assert tokens.dtype == np.int32 and all(0 <= t < pairs.size for t in tokens)

    def test_frequent_pairs_are_joined(self, pairs):
        assert pairs.size <= 290
        tokens = pairs.encode(TEXT.encode())
        assert len(tokens) < 0.5 * len(TEXT)
        assert "the" in [pairs.decode([token]).strip() for token in tokens[:3]]

    def test_the_same_text_gives_the_same_bytes(self, pairs):
        assert byte_pairs.learn(TEXT.encode(), 290) == pairs.definition
        assert BytePairs(pairs.definition).definition == pairs.definition

    def test_a_long_text_is_taken_in_parts(self, pairs, monkeypatch):
        whole = pairs.encode(TEXT.encode())
        monkeypatch.setattr(byte_pairs, "_CHUNK", 50)
        np.testing.assert_array_equal(pairs.encode(TEXT.encode()), whole)
        assert len(list(byte_pairs._chunks(TEXT.encode()))) == 10  # of two lines of 42 bytes

    def test_bytes_that_are_no_text_are_marked(self, pairs):
        assert pairs.decode(pairs.encode(b"a\xffb")) == "a\N{REPLACEMENT CHARACTER}b"

    @pytest.mark.parametrize("definition", ["", "{}", "null", '{"model": 1}'])
    def test_what_is_no_tokenizer_is_refused(self, definition):
        with pytest.raises(ValueError, match=r"tokenizer\.json: is no tokenizer"):
            BytePairs(definition)

    def test_fewer_tokens_than_bytes_are_refused(self):
        with pytest.raises(ValueError, match="--vocabulary-size 255: expected at least 256"):
            byte_pairs.learn(b"", 255)


class TestWindows:
    def test_by_hand(self):
        read = TokenWindows(np.arange(10, dtype="int32"), 3, 3).reader()
        x, y = read(tf.constant([2, 0], tf.int64))
        assert x.numpy().tolist() == [[6, 7, 8], [0, 1, 2]]
        assert y.numpy().tolist() == [[7, 8, 9], [1, 2, 3]]

    def test_of_a_file_hold_its_parts_in_order(self, pairs, tmp_path):
        path = tmp_path / "text.txt"
        path.write_text(TEXT)
        parts = byte_pairs.texts(path)
        assert b"".join(parts).decode() == TEXT
        assert [len(part) for part in parts] == [588, 168, 84]  # of 840
        source = catalog.load(f"text:{path},length=4")
        made = byte_pairs.windows(source, path, pairs)
        x, y = made.train.reader()(tf.range(made.train.num_samples, dtype=tf.int64))
        tokens = [*x.numpy().ravel(), y.numpy()[-1, -1]]
        assert parts[0].decode().startswith(pairs.decode(tokens))
        assert made.num_classes == pairs.size
        assert made.bytes_per_token == len(parts[2]) / len(pairs.encode(parts[2]))
        limited = byte_pairs.windows(catalog.load(f"text:{path},length=4", 20), path, pairs, 20)
        assert [split.num_samples for split in limited.splits.values()] == [14, 4, 2]

    def test_a_part_too_short_is_refused(self, pairs, tmp_path):
        path = tmp_path / "text.txt"
        path.write_text(TEXT)
        source = catalog.load(f"text:{path},length=80")
        with pytest.raises(ValueError, match=r"its validation part is .* at least 81, one window"):
            byte_pairs.windows(source, path, pairs)
