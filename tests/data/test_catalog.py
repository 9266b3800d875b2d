import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfsci.data import catalog
from tfsci.data.source import Split
from tfsci.simulate import ising

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


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mnist", "--data mnist: unknown data set; expected one of digits, diffraction, damage, "),
        ("", "--data : unknown data set"),
        ("npz", "--data npz: expected npz:DIR"),
        ("folder:", "--data folder:: expected folder:DIR"),
        ("digits:3", "--data digits:3: digits take no options"),
        ("damage:3,4", "--data damage:3,4: a bare value comes twice"),
        ("damage:seed=1,seed=2", "--data damage:seed=1,seed=2: seed comes twice"),
        ("npz:x,class=3", "--data npz:x,class=3: no option 'class'; expected classes=NUMBER"),
        ("folder:x,size=big", "--data folder:x,size=big: size=big: expected a whole number"),
        ("npz:/no/such", "/no/such"),
        ("text:/no/such", "/no/such: no such file"),
    ],
)
def test_a_spec_that_can_not_be_is_refused(spec, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        catalog.load(spec, data_dir=tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("digits", ("digits", "", {})),
        ("damage:3,quality=0.5", ("damage", "", {"": "3", "quality": "0.5"})),
        ("damage:", ("damage", "", {})),
        ("npz:a,b/c=d,classes=231", ("npz", "a,b/c=d", {"classes": "231"})),
        ("folder:C:/x,size=3", ("folder", "C:/x", {"size": "3"})),
        ("tfds:imagenet2012:5.1.0,size=224", ("tfds", "imagenet2012:5.1.0", {"size": "224"})),
        ("text:notes,old.txt", ("text", "notes,old.txt", {})),
    ],
)
def test_a_spec_is_name_place_and_options(spec, parsed):
    assert catalog.parse(spec) == parsed


class TestSimulated:
    def test_a_small_set_is_made_in_memory(self, tmp_path):
        source = catalog.load("ising:size=8,sweeps=2,samples=100", data_dir=tmp_path)
        assert [part.num_samples for part in parts(source)] == [70, 20, 10]
        assert isinstance(source.train, Split)
        assert source.known_answer == ising.best_accuracy(8)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("limit", [1, 4])
    def test_a_limit_that_leaves_a_split_empty_is_refused(self, limit):
        with pytest.raises(ValueError, match=f"--limit {limit}: leaves a split of ising without"):
            catalog.load("ising", limit)


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "files").mkdir()
        for i in range(30):
            data = np.full((3, 8, 8), i, "float32")
            np.savez(tmp_path / f"files/{i}.npz", data=data, label=np.array([i % 3]))
        return tmp_path

    def test_npz_is_converted_once(self, folder):
        spec, data_dir = f"npz:{folder / 'files'}", folder / "prepared"
        source = catalog.load(spec, data_dir=data_dir)
        assert (source.name, source.num_classes, source.input_shape) == (spec, 3, (8, 8, 3))
        made = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*.tfrecord")}
        catalog.load(spec, data_dir=data_dir)
        assert {p: p.stat().st_mtime_ns for p in data_dir.rglob("*.tfrecord")} == made

    def test_files_that_change_are_converted_anew_and_the_old_go(self, folder):
        spec, data_dir = f"npz:{folder / 'files'}", folder / "prepared"
        catalog.load(spec, data_dir=data_dir)
        (folder / "files/0.npz").unlink()
        source = catalog.load(spec, data_dir=data_dir)
        assert sum(part.num_samples for part in parts(source)) == 29
        assert len(list(data_dir.rglob("tfsci.json"))) == 1

    def test_a_limit_keeps_the_shares_of_splits_and_classes(self, folder):
        source = catalog.load(f"npz:{folder / 'files'}", 20, folder / "prepared")
        assert [part.num_samples for part in parts(source)] == [14, 4, 2]
        assert set(np.bincount(source.train.index.y)) <= {4, 5}

    def test_text_is_read_where_it_lies(self, tmp_path):
        path = tmp_path / "book.txt"
        path.write_bytes(bytes(range(97, 123)) * 40)
        source = catalog.load(f"text:{path},length=16", data_dir=tmp_path)
        assert (source.num_classes, source.measure, source.input_shape) == (256, "loss", (16,))
        x, y = source.train.reader()(np.array([1, 0]))
        assert bytes(x.numpy()[1].tolist()) == b"abcdefghijklmnop"
        assert bytes(y.numpy()[1].tolist()) == b"bcdefghijklmnopq"
        np.testing.assert_array_equal(x[0], [*range(113, 123), *range(97, 103)])
