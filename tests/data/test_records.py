import os
import resource
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfsci.data import records
from tfsci.data.example import Feature, locate, serialize
from tfsci.data.records import Arrays, Index, Records, scan


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
    return path


@given(
    contents=st.lists(st.binary(max_size=300), max_size=30), window=st.sampled_from([16, 64, 4096])
)
def test_scan_finds_each_record(tmp_path_factory, contents, window):
    path = write(tmp_path_factory.mktemp("scan") / "a.tfrecord", contents)
    before, records._SCAN = records._SCAN, window
    try:
        index = scan(path, 3)
    finally:
        records._SCAN = before
    data = path.read_bytes()
    found = [data[x : x + y] for x, y in zip(index.x, index.y, strict=True)]
    assert found == contents
    assert (index.file == 3).all()


@pytest.mark.parametrize("cut", [1, 4, 5, 20])
def test_scan_of_a_file_cut_short(tmp_path, cut):
    path = write(tmp_path / "a.tfrecord", [b"x" * 10, b"y" * 8])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"a\.tfrecord: ends within a record"):
        scan(path)


def test_scan_of_another_file(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"something else altogether")
    with pytest.raises(ValueError, match="or is no TFRecord file"):
        scan(path)


@pytest.fixture
def files(tmp_path):
    return (
        write(tmp_path / "a", [struct.pack("<i", i) for i in range(5)]),
        write(tmp_path / "b", [struct.pack("<i", i) for i in range(5, 9)]),
    )


def test_records_are_read_in_any_order(files):
    index = Index.join([scan(path, i) for i, path in enumerate(files)])

    def parse():
        return lambda texts: (tf.io.decode_raw(texts, tf.int32)[:, 0], tf.strings.length(texts))

    split = Records(files, index, parse, ())
    assert split.num_samples == 9
    read = tf.function(split.reader())
    for rows in ([8, 0, 4, 5], [3], [2, 2]):
        x, y = read(tf.constant(rows, tf.int64))
        assert x.numpy().tolist() == rows
        assert set(y.numpy()) == {4}
    assert split.first(3).num_samples == 3


X = Feature("x", "int8", (2,))


@pytest.mark.parametrize("y", [Feature("y", "int32", ()), Feature("y", "float32", (3,))])
def test_arrays_are_read_from_within_their_records(tmp_path, y):
    def pair(i):
        return {"x": np.array([i, -i]), "y": np.full(y.shape, i)}

    contents = [serialize(pair(i), (X, y)) for i in range(7)]
    path = write(tmp_path / "a", contents)
    begin = scan(path).x
    places = [locate(content, (X, y)) for content in contents]
    targets = [p if y.is_label else p + b for b, (_, p) in zip(begin, places, strict=True)]
    index = Index.of(0, [b + p for b, (p, _) in zip(begin, places, strict=True)], targets)
    split = Arrays((path,), index, X, y)
    assert split.input_shape == (2,)
    got_x, got_y = tf.function(split.reader())(tf.constant([6, 2, 2], tf.int64))
    assert (got_x.dtype, got_y.dtype) == (tf.float32, y.dtype)  # spins become floats
    np.testing.assert_array_equal(got_x, [[6, -6], [2, -2], [2, -2]])
    np.testing.assert_array_equal(got_y, np.stack([np.full(y.shape, i) for i in (6, 2, 2)]))


def test_a_file_that_shrinks_is_named(files):
    index = scan(files[0])
    reader = Records(files[:1], index, lambda: lambda texts: (texts, texts), ()).reader()
    os.truncate(files[0], 30)
    with pytest.raises((ValueError, tf.errors.OpError), match="has become shorter"):
        reader(tf.constant([4], tf.int64))


def test_more_files_than_may_be_open_raise_the_limit(files):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
        opened = records._open([files[0]] * 400)
        assert opened[399].read(12, 4) == struct.pack("<i", 0)
        del opened
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
