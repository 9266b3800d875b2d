"""Arrays in a serialized `tf.train.Example`: written by TensorFlow, found without parsing them.

Example { features: { feature: map<key, bytes_list | float_list | int64_list> } }, see TensorFlow's
example.proto and feature.proto. Where the bytes of an array lie in its file is kept, so that a
batch is read straight into the memory of the model's input.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

_VARINT, _LENGTH_DELIMITED = 0, 2  # wire types of protocol buffers


class Feature(NamedTuple):
    """How an array lies in an example.

    Attributes:
        key: Name of the feature.
        dtype: Of the array.
        shape: Of the array; a scalar integer is stored as such, anything else as its bytes.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_label(self) -> bool:
        """Whether it is one integer."""
        return not self.shape

    @property
    def num_bytes(self) -> int:
        """Bytes of the array."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def serialize(values: Mapping[str, np.ndarray], features: tuple[Feature, ...]) -> bytes:
    """Returns arrays by their keys as a serialized example."""
    import tensorflow as tf

    def field(feature: Feature):
        value = np.asarray(values[feature.key], feature.dtype)
        if feature.is_label:
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.tobytes()]))

    fields = {feature.key: field(feature) for feature in features}
    return tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString()


class Form:
    """An example whose picture is put in again and again, without parts being copied together.

    Args:
        x: An array that is stored as bytes.
        y: A label.
    """

    def __init__(self, x: Feature, y: Feature):
        self._x, self._y, self._record = x, y, bytearray()

    def fill(self, image: np.ndarray, label: int) -> tuple[bytearray, int]:
        """Returns a serialized example, good until the next call, and where the image begins."""
        before, after = _around(self._x, self._y, int(label))
        length = len(before) + self._x.num_bytes + len(after)
        if len(self._record) != length:
            self._record = bytearray(length)
        record = self._record
        record[: len(before)], record[len(record) - len(after) :] = before, after
        stored = np.frombuffer(record, self._x.dtype, image.size, len(before))
        stored = stored.reshape(self._x.shape)
        if stored.shape[-1] <= 4:  # channels that were first: three times as fast one by one
            for channel in range(stored.shape[-1]):
                stored[..., channel] = image[..., channel]
        else:
            stored[...] = image
        return record, len(before)


@functools.lru_cache(maxsize=4096)
def _around(x: Feature, y: Feature, label: int) -> tuple[bytes, bytes]:
    """Returns what stands before and after the image in an example of a label."""
    record = serialize({x.key: np.zeros(x.shape), y.key: label}, (x, y))
    place, _ = locate(record, (x, y))
    return record[:place], record[place + x.num_bytes :]


def locate(record: bytes, features: tuple[Feature, ...]) -> list[int]:
    """Returns for each feature where its bytes begin in the record; for a label, its value.

    Raises:
        ValueError: The record is no example, or one of these features is not in it.
    """
    found = {}
    try:
        for _, start, end in _fields(record, 0, len(record)):
            for _, *entry in _fields(record, start, end):
                key, value = (span for _, *span in _fields(record, *entry))
                found[record[slice(*key)].decode()] = value
        return [_place(record, feature, *found[feature.key]) for feature in features]
    except (IndexError, KeyError, ValueError):
        keys = " and ".join(feature.key for feature in features)
        raise ValueError(f"expected an example with {keys}") from None


def _place(record: bytes, feature: Feature, start: int, end: int) -> int:
    ((_, *values),) = _fields(record, start, end)  # the list of one kind
    ((_, first, last),) = _fields(record, *values)
    if feature.is_label:
        return _varint(record, first)[0] if last > first else first
    if last - first != feature.num_bytes:
        raise ValueError
    return first


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields number, start and end of each field of a message; of a varint, its value twice."""
    while at < end:
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == _LENGTH_DELIMITED and at + value <= end:
            yield tag >> 3, at, at + value
            at += value
        elif tag & 7 == _VARINT:
            yield tag >> 3, value, value
        else:
            raise ValueError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1
