"""What tells one data set and one model from another."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfsci.data import text
from tfsci.data.source import Source, Split
from tfsci.data.stream import Streamed
from tfsci.distributed import facts
from tfsci.distributed.strategy import seed_of_replica


def source(x=None, y=None, **changes):
    x = np.arange(600, dtype="float32").reshape(100, 6) if x is None else x
    y = np.arange(100, dtype="int32") % 2 if y is None else y
    splits = [Split(x[a:b], y[a:b]) for a, b in ((0, 70), (70, 90), (90, 100))]
    return replace(Source("made", *splits, 2, class_names=("cat", "dog")), **changes)


def different(one, other):
    one, other = facts.data(one), facts.data(other)
    return {field for field in one if one[field] != other[field]}


class TestData:
    def test_tells_what_a_person_reads(self):
        found = facts.data(source())
        assert json.loads(json.dumps(found)) == found
        assert {k: v for k, v in found.items() if "fingerprint" not in k} == {
            "data": "made", "train samples": 70, "validation samples": 20, "test samples": 10,
            "input shape": "6", "classes": 2, "class names": "cat, dog", "bytes of files": None,
        }  # fmt: skip

    def test_is_the_same_for_equal_samples_and_not_for_others(self):
        x, y = np.array(source().train.x), np.arange(100) % 2
        assert different(source(), source()) == set()
        assert different(source(class_names=("dog", "cat")), source()) == {"class names"}
        first = "fingerprint of train samples"
        assert different(source(y=1 - y.astype("int32")), source()) >= {first}
        x = np.arange(600, dtype="float32").reshape(100, 6)
        x[0, 0] += 1e-3
        assert different(source(x), source()) == {first}
        fewer = source().test.first(9)
        changed = {"test samples", "fingerprint of test samples"}
        assert different(source(test=fewer), source()) == changed

    def test_of_many_class_names_tells_the_one_that_differs_apart(self):
        names = [f"class {i}" for i in range(1000)]
        one = source(class_names=tuple(names))
        names[500] = "another"
        assert different(one, source(class_names=tuple(names))) == {"class names"}
        assert len(facts.data(one)["class names"]) < 80

    def test_of_files_is_read_through_their_reader(self, tmp_path):
        def of(name, content):
            (tmp_path / name).write_bytes(content)
            splits = text.splits(tmp_path / name, length=8)
            return Source("text", *splits, 256, measure="loss")

        content = bytes(range(250)) * 4
        one = of("one", content)
        assert different(one, of("two", content)) == set()
        assert different(one, of("two", b"x" + content[1:])) == {"fingerprint of train samples"}
        assert "bytes of files" in different(one, of("two", content + b"x"))

    def test_of_a_stream_is_its_first_samples(self):
        def of(number):
            x = np.arange(80, dtype="float32").reshape(20, 4) * number
            pairs = tf.data.Dataset.from_tensor_slices((x, x[:, 0]))
            split = Streamed(20, (4,), lambda a, b, seed: pairs.skip(a).take(b - a))
            return Source("stream", split, split, split, None)

        assert different(of(1), of(1)) == set()
        assert len(different(of(1), of(2))) == 3

    def test_that_can_not_be_read_is_told_and_not_raised(self, tmp_path):
        """Where one rank alone ended here the others would wait for it."""
        path = tmp_path / "text"
        path.write_bytes(b"a" * 1000)
        given = Source("text", *text.splits(path, length=8), 256)
        path.unlink()
        found = facts.data(given)
        assert found["bytes of files"] == "unreadable (No such file or directory)"
        assert found["fingerprint of train samples"].startswith("unreadable (")


def network(units=4, activation="relu", name="hidden", seed=0, trainable=True):
    keras.utils.set_random_seed(seed)
    hidden = layers.Dense(units, activation, name=name, trainable=trainable)
    layer = [hidden, layers.Dropout(0.5, name="masks"), layers.BatchNormalization(name="norm")]
    made = keras.Sequential([keras.Input((3,), name="x"), *layer], name="model")
    made.compile("sgd", "mse")
    return made


class TestModel:
    def test_structure_is_the_same_whatever_the_weights(self):
        assert facts.model(network()) == facts.model(network(seed=1))

    def test_structure_does_not_depend_on_a_learning_rate_that_was_restored(self):
        restored = network()
        restored.optimizer.learning_rate = 0.5
        assert facts.model(network()) == facts.model(restored)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"units": 5}, "parameters"),
            ({"name": "other"}, "fingerprint of variables"),
            ({"trainable": False}, "fingerprint of variables"),
            ({"activation": "tanh"}, "fingerprint of layers"),
        ],
    )
    def test_structure_that_differs_is_told(self, change, field):
        one, other = facts.model(network()), facts.model(network(**change))
        assert next(key for key in one if one[key] != other[key]) == field

    @pytest.mark.parametrize("policy", ["float32", "bfloat16"])
    def test_weights_are_all_but_the_seeds(self, policy):
        keras.config.set_dtype_policy(policy)
        try:
            one, other = network(), network()
        finally:
            keras.config.set_dtype_policy("float32")
        seed = next(v for v in other.variables if "seed" in v.path)
        seed.assign(seed_of_replica(seed.numpy(), 1))
        assert facts.weights(one) == facts.weights(other)
        for variable in (other.layers[0].bias, other.layers[-1].moving_variance):
            before = facts.weights(other)
            variable.assign(variable + 0.01)
            assert facts.weights(other) != before
