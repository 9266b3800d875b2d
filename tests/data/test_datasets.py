"""TensorFlow Datasets with real builders, made in a temporary folder; nothing is downloaded."""

import numpy as np
import pytest
import tensorflow as tf

from tfsci.data import catalog, datasets, store
from tfsci.data.records import Arrays, Records
from tfsci.data.simulated import Simulated
from tfsci.data.stream import Streamed

tfds = datasets.import_tfds()


class Squares(tfds.core.GeneratorBasedBuilder):
    """Image i is 4×4 pixels of value i, its label i modulo 5; PNG, as TFDS keeps images."""

    VERSION = tfds.core.Version("1.0.0")
    COUNTS = {"train": 40, "test": 11}  # noqa: RUF012
    SHAPE = (4, 4, 3)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="For tests.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Scalar(np.int64),
                    "image": tfds.features.Image(shape=self.SHAPE),
                    "label": tfds.features.ClassLabel(num_classes=5),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(count) for name, count in self.COUNTS.items()}

    def _generate_examples(self, count):
        for i in range(count):
            image = np.full((4, 4, 3), i, "uint8")
            yield i, {"id": i, "image": image, "label": i % 5}


class Mixed(Squares):
    """The same as images of any size."""

    SHAPE = (None, None, 3)
    COUNTS = {"train": 20}  # noqa: RUF012


class Unlabelled(Squares):
    """The same without a pair of input and label."""

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, description="For tests.", features=tfds.features.FeaturesDict(
                {"image": tfds.features.Image(shape=(4, 4, 3)), "id": np.int64,
                 "label": np.int64})
        )  # fmt: skip


def values(split):
    """Value of each image times 255, and its label."""
    x, y = split.reader()(tf.range(split.num_samples, dtype=tf.int64))
    assert (x.dtype, y.dtype) == (tf.float32, tf.int32)
    return np.rint(255 * x.numpy()[:, 0, 0, 0]).astype(int), y.numpy()


class TestByName:
    def test_any_set_is_prepared_once_and_read(self, tmp_path):
        source = catalog.load("tfds:squares", data_dir=tmp_path)
        assert (source.name, source.num_classes, source.input_shape) == (
            "tfds:squares", 5, (4, 4, 3),
        )  # fmt: skip
        assert all(isinstance(split, Records) for split in source.splits.values())
        # Validation is the last fifth of the training samples; the test split is its own.
        assert [split.num_samples for split in source.splits.values()] == [32, 8, 11]
        found = {}
        for name, split in source.splits.items():
            numbers, labels = values(split)
            np.testing.assert_array_equal(labels, numbers % 5)
            found[name] = sorted(numbers.tolist())
        assert found["test"] == list(range(11))
        assert sorted(found["train"] + found["validation"]) == list(range(40))
        index = tmp_path / "squares/1.0.0/tfsci-records.npz"
        before = index.stat().st_mtime_ns
        catalog.load("tfds:squares", data_dir=tmp_path)
        assert index.stat().st_mtime_ns == before

    def test_images_of_any_size_are_resized(self, tmp_path):
        source = catalog.load("tfds:mixed,size=6", data_dir=tmp_path)
        assert source.input_shape == (6, 6, 3)
        assert [split.num_samples for split in source.splits.values()] == [14, 4, 2]
        numbers, labels = values(source.train)
        np.testing.assert_array_equal(labels, numbers % 5)
        assert catalog.load("tfds:mixed", data_dir=tmp_path).input_shape == (224, 224, 3)

    def test_a_set_that_is_not_in_tfrecords_is_streamed(self, tmp_path):
        builder = Squares(data_dir=tmp_path, file_format="parquet")
        datasets._prepare(builder, "squares")
        source = catalog.load("tfds:squares", data_dir=tmp_path)
        assert all(isinstance(split, Streamed) for split in source.splits.values())
        assert [split.num_samples for split in source.splits.values()] == [32, 8, 11]
        found = [
            round(255 * float(x[0, 0, 0]))
            for split in (source.train, source.validation)
            for x, y in split.open(0, split.num_samples, None)
        ]
        assert sorted(found) == list(range(40))

    def test_array_records_are_refused(self, tmp_path):
        datasets._prepare(Squares(data_dir=tmp_path, file_format="array_record"), "squares")
        with pytest.raises(ValueError, match="as array_record, which"):
            catalog.load("tfds:squares", data_dir=tmp_path)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("tfds:no_such_set", "--data tfds:no_such_set: "),
            ("tfds:squares:9.9.9", "--data tfds:squares:9.9.9: "),
            ("tfds:unlabelled", "--data tfds:unlabelled: has no pair of input and label"),
            ("tfds:squares,size=0", "size=0: expected a whole number above 0"),
            ("tfds:squares,width=3", "no option 'width'; expected size=NUMBER"),
        ],
    )
    def test_what_can_not_be_is_one_line(self, tmp_path, spec, message):
        with pytest.raises(ValueError) as error:
            catalog.load(spec, data_dir=tmp_path)
        assert message in str(error.value)
        assert "\n" not in str(error.value)

    def test_without_a_network_the_user_is_told_what_to_do(self, tmp_path, monkeypatch):
        def fail(*_, **__):
            raise tfds.download.DownloadError("Failed to get url https://x: no route\nmore")

        monkeypatch.setattr(Squares, "_split_generators", fail, raising=True)
        with pytest.raises(OSError) as error:
            catalog.load("tfds:squares", data_dir=tmp_path)
        text = str(error.value)
        assert "tfsci data prepare tfds:squares --data-dir DIR" in text
        assert "no route" in text
        assert "\n" not in text


SPEC = "damage:3,size=16,samples=2500"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    source = catalog.load(SPEC, data_dir=folder)
    assert isinstance(source.train, Arrays)
    return folder


class TestSimulated:
    def test_what_is_prepared_equals_what_is_made_in_memory(self, data_dir):
        source = catalog.load(SPEC, data_dir=data_dir)
        made = Simulated.of("damage", {"": "3", "size": "16", "samples": "2500"}).in_memory()
        assert source.known_answer == made.known_answer
        assert source.class_names == made.class_names
        for name, split in source.splits.items():
            rows = tf.range(split.num_samples, dtype=tf.int64)
            assert split.num_samples == made.splits[name].num_samples
            for ours, theirs in zip(split.reader()(rows), made.splits[name].reader()(rows),
                                    strict=True):  # fmt: skip
                assert ours.dtype == theirs.dtype
                np.testing.assert_array_equal(ours, theirs)

    def test_the_first_samples_are_the_same_prepared_or_not(self, data_dir, tmp_path):
        prepared = catalog.load(SPEC, 50, data_dir).test
        made = catalog.load(SPEC, 50, tmp_path).test
        assert prepared.num_samples == made.num_samples == 5
        rows = tf.range(5, dtype=tf.int64)
        np.testing.assert_array_equal(prepared.reader()(rows)[0], made.reader()(rows)[0])
        assert not list(tmp_path.iterdir())

    def test_tfds_finds_it_and_states_the_known_answer(self, data_dir):
        name = "damage/3_size-16_samples-2500"
        dataset, info = tfds.load(
            name, split="test", data_dir=data_dir, as_supervised=True, with_info=True
        )
        assert info.metadata["known_answer"] == pytest.approx(0.8413, abs=1e-4)
        assert "The best possible accuracy is 0.84" in info.description
        assert {k: s.num_examples for k, s in info.splits.items()} == {
            "train": 1750, "validation": 500, "test": 250,
        }  # fmt: skip
        x, y = (np.stack(column) for column in zip(*dataset.as_numpy_iterator(), strict=True))
        exact = Simulated.of("damage", {"": "3", "size": "16"}).make("test", 0, 250)
        np.testing.assert_array_equal(x, exact[0])
        np.testing.assert_array_equal(y, exact[1])

    def test_a_run_that_was_killed_before_the_last_file_is_mended(self, data_dir, tmp_path):
        simulated = Simulated.of("ising", {"size": "8", "sweeps": "1", "samples": "2100"})
        datasets.prepare_simulated(simulated, tmp_path)
        folder = datasets.folder_of(simulated, tmp_path)
        for name in ("tfsci.json", "tfsci-index.npz"):
            (folder / name).unlink()
        source = catalog.load(simulated.spec, data_dir=tmp_path)
        assert source.train.num_samples == 1470
        assert store.is_prepared(folder)

    def test_it_can_be_read_by_its_name_in_tfds_too(self, data_dir):
        ours = catalog.load(SPEC, data_dir=data_dir).test
        theirs = catalog.load("tfds:damage/3_size-16_samples-2500", data_dir=data_dir).test
        rows = tf.range(50, dtype=tf.int64)
        for one, other in zip(ours.reader()(rows), theirs.reader()(rows), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_every_builder_is_registered(self):
        from tfsci.data.builders import BUILDERS

        for name in BUILDERS:
            assert name in tfds.list_builders()
        assert set(BUILDERS["damage"].builder_configs) == {"5", "3", "2"}
        assert BUILDERS["ising"](data_dir="/nowhere").builder_config.name == "default"
        assert BUILDERS["damage"](config="2", data_dir="/nowhere").info.metadata[
            "known_answer"
        ] == pytest.approx(0.9202, abs=1e-4)
