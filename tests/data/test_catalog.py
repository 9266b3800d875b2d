import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfsci.data import catalog

# Samples of each digit among the 1,797, as the data set's description counts them.
COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def parts(source):
    return source.train, source.validation, source.test


def rows(x, y):
    """The samples as sorted rows of numbers, so that two sets of them can be compared."""
    table = np.column_stack([np.asarray(x, "float64").reshape(len(y), -1), y])
    return table[np.lexsort(table.T)]


class TestDigits:
    def test_is_split_70_20_10_in_every_class(self):
        source = catalog.load("digits")
        assert [part.num_samples for part in parts(source)] == [1258, 360, 179]
        assert sum(COUNTS) == 1797
        for part, share in zip(parts(source), (0.7, 0.2, 0.1), strict=True):
            counts = np.bincount(part.y, minlength=10)
            assert np.all(np.abs(counts - share * np.array(COUNTS)) <= 1)

    def test_is_what_scikit_learn_ships_each_sample_once(self):
        source = catalog.load()
        x, y = (np.concatenate(column) for column in zip(*parts(source), strict=True))
        np.testing.assert_array_equal(rows(16 * x, y), rows(*load_digits(return_X_y=True)))
        assert np.bincount(y).tolist() == COUNTS

    def test_is_described(self):
        source = catalog.load("digits")
        assert (source.name, source.num_classes, source.known_answer) == ("digits", 10, None)
        assert source.input_shape == (8, 8, 1)
        for part in parts(source):
            assert (part.x.dtype, part.y.dtype) == (np.float32, np.int32)
            assert (part.x.min(), part.x.max()) == (0, 1)


class TestLimit:
    def test_takes_the_first_samples(self):
        x, y = load_digits(return_X_y=True)
        source = catalog.load("digits", limit=100)
        got = [np.concatenate(column) for column in zip(*parts(source), strict=True)]
        np.testing.assert_array_equal(rows(16 * got[0], got[1]), rows(x[:100], y[:100]))
        assert all(part.num_samples for part in parts(source))

    def test_beyond_the_data_takes_all(self):
        source = catalog.load("digits", limit=10**6)
        assert [part.num_samples for part in parts(source)] == [1258, 360, 179]

    @pytest.mark.parametrize("limit", [0, -5])
    def test_of_nothing_is_refused(self, limit):
        with pytest.raises(ValueError, match=f"--limit {limit}: expected at least 1"):
            catalog.load("digits", limit=limit)

    @pytest.mark.parametrize("limit", [1, 25])
    def test_that_leaves_a_split_empty_is_refused(self, limit):
        """The first 25 are three of a class at most, the last at 2.5/3 < 0.9: none to test on."""
        with pytest.raises(ValueError) as error:
            catalog.load("digits", limit=limit)
        assert str(error.value) == (
            f"--limit {limit}: leaves a split of digits without samples; use at least 100"
        )


def test_an_unknown_spec_is_refused():
    with pytest.raises(ValueError) as error:
        catalog.load("mnist")
    assert str(error.value) == "--data mnist: unknown data set; expected one of digits"
