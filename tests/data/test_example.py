import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfsci.data.example import Feature, Form, locate, serialize

X, Y = Feature("image", "float32", (2, 3)), Feature("label", "int32", ())


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_what_is_located_is_what_was_written(label, seed):
    image = np.random.default_rng(seed).random((2, 3), "float32")
    record = serialize({"image": image, "label": label}, (X, Y))
    place, found = locate(record, (X, Y))
    assert found == label
    assert record[place : place + 24] == image.tobytes()
    parsed = tf.train.Example.FromString(record).features.feature
    assert parsed["image"].bytes_list.value[0] == image.tobytes()
    assert list(parsed["label"].int64_list.value) == [label]


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), st.sampled_from([1, 3, 7]))
def test_a_form_that_is_filled_is_the_example(labels, channels):
    """Labels beyond 127 and 16,383 take more bytes; channels may be a view of another order."""
    x = Feature("image", "float32", (4, 2, channels))
    form = Form(x, Y)
    for i, label in enumerate(labels):
        image = np.arange(8 * channels, dtype="float32").reshape(channels, 4, 2) + i
        image = image.transpose(1, 2, 0)
        record, place = form.fill(image, label)
        values = tf.train.Example.FromString(bytes(record)).features.feature
        assert values["image"].bytes_list.value[0] == image.tobytes()
        assert list(values["label"].int64_list.value) == [label]
        assert [place, label] == locate(bytes(record), (x, Y))


@given(st.permutations(["a", "image", "label", "z"]), st.integers(0, 500))
def test_in_any_order_among_others_and_of_any_length(order, padding):
    """TensorFlow writes a map in no fixed order, and lengths beyond 127 take more bytes."""
    lists = {
        "a": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0] * padding)),
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(range(24))])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[300])),
        "z": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"image" * padding])),
    }
    # Messages written one after the other are one message with all their entries.
    entries = [tf.train.Features(feature={k: lists[k]}).SerializeToString() for k in order]
    record = tf.train.Example(
        features=tf.train.Features.FromString(b"".join(entries))
    ).SerializeToString()
    place, label = locate(record, (X, Y))
    assert record[place : place + 24] == bytes(range(24))
    assert label == 300


def test_a_label_of_0_may_be_left_out_of_the_packed_list():
    record = serialize({"image": np.zeros((2, 3)), "label": 0}, (X, Y))
    assert locate(record, (X, Y))[1] == 0


@pytest.mark.parametrize(
    "record",
    [
        b"no protocol buffer",
        b"",
        serialize({"image": np.zeros((2, 3)), "label": 1}, (X, Y))[:-9],
        serialize({"image": np.zeros((2, 4)), "label": 1}, (X._replace(shape=(2, 4)), Y)),
        serialize({"picture": np.zeros((2, 3)), "label": 1}, (X._replace(key="picture"), Y)),
    ],
    ids=["other", "empty", "short", "another shape", "another key"],
)
def test_anything_else_is_refused(record):
    with pytest.raises(ValueError, match="expected an example with image and label"):
        locate(record, (X, Y))


def test_a_feature_knows_its_bytes():
    assert (X.num_bytes, Y.num_bytes) == (24, 4)
    assert (X.is_label, Y.is_label) == (False, True)
