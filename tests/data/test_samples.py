import numpy as np
import pytest

from tfsci.data import catalog, samples

ISING = "ising:size=8,sweeps=2,samples=400"


def joined(given, split, number=None):
    return [np.concatenate(part) for part in zip(*given.read(split, number), strict=True)]


class TestLoad:
    @pytest.mark.parametrize("spec", [ISING, "damage:3,size=16,samples=100", "burgers:samples=20"])
    def test_made_samples_are_those_of_the_source(self, spec, tmp_path):
        made = samples.load(spec, data_dir=tmp_path)
        source = catalog.load(spec, data_dir=tmp_path)
        read = samples.of_source(source)
        assert made.source is None and read.source is source
        assert (made.spec, made.sizes, made.num_classes, made.class_names) == (
            read.spec, read.sizes, read.num_classes, read.class_names,
        )  # fmt: skip
        for split in made.sizes:
            for one, other in zip(joined(made, split), joined(read, split), strict=True):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)

    def test_the_first_ones(self, tmp_path):
        for given in (samples.load(ISING), samples.load("digits")):
            x, y = joined(given, "train", 3)
            np.testing.assert_array_equal(x, joined(given, "train")[0][:3])
            assert len(y) == 3

    def test_a_limit(self):
        assert samples.load(ISING, 20).sizes == {"train": 14, "validation": 4, "test": 2}

    def test_defaults_give_way_to_the_spec(self):
        assert samples.load("ising:samples=10", size=8).spec == "ising:size=8,samples=10"
        assert "size" not in samples.load("ising:size=32,samples=10", size=8).spec


def test_what_tensorflow_says_is_one_line():
    class DataLossError(Exception):
        message = "in user code:\n\n  {{node a}} corrupted record at 7 [Op:Reduce]\n"

    assert samples.last_line(DataLossError()) == "corrupted record at 7"


class TestChoose:
    def given(self, labels, num_classes=2):
        y = np.array(labels)
        x = np.arange(len(y), dtype="float32").reshape(-1, 1, 1, 1)

        def read(split, number=None):
            for start in range(0, len(y), 5):
                yield x[start : start + 5], y[start : start + 5]

        return samples.Samples("x", {"train": len(y)}, num_classes, None, read)

    def test_a_row_is_of_one_class(self):
        x, y, columns = samples.choose(self.given([0, 1] * 20), "train", 9)
        assert (y.tolist(), columns) == ([0] * 4 + [1] * 4, 4)
        assert x.ravel().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]

    def test_of_many_rows(self):
        _, y, columns = samples.choose(self.given([0, 1] * 20), "train", 36)
        assert (y.tolist(), columns) == ([0] * 16 + [1] * 16, 8)

    def test_a_column_is_of_one_class_where_there_are_more_classes(self):
        _, y, columns = samples.choose(self.given([0, 1, 2, 3] * 10, 4), "train", 11)
        assert (y.tolist(), columns) == ([0, 1, 2, 3] * 2, 4)

    def test_a_rare_class_is_searched_for(self):
        _, y, _ = samples.choose(self.given([0] * 30 + [1] * 2), "train", 4)
        assert y.tolist() == [0, 0, 1, 1]

    def test_fewer_samples_than_classes_are_the_first_ones(self):
        x, _, _ = samples.choose(self.given([0, 1, 2, 3] * 3, 4), "train", 3)
        assert x.ravel().tolist() == [0, 1, 2]
