import dataclasses

import numpy as np
import pytest
from gaussians import gaussians, split

from tfsci import baselines
from tfsci.baselines import problem
from tfsci.data import catalog
from tfsci.data.source import Source, Split
from tfsci.data.stream import Streamed

PARTS = [split(np.zeros((n, 2, 2, 1)), np.arange(n) % 2) for n in (8, 4, 4)]


def test_digits_are_rows_of_numbers_through_the_same_splits():
    made, source = baselines.load("digits", limit=200), catalog.load("digits", 200)
    assert (made.task, made.num_inputs) == ("classes", 64)
    for name, part in source.splits.items():
        np.testing.assert_array_equal(made.splits[name].x, part.x.reshape(-1, 64))
        np.testing.assert_array_equal(made.splits[name].y, part.y)
    assert made.headline() == "digits, 140/40/20 samples to train/validate/test, 8×8×1 numbers each"


def test_spins_are_numbers():
    assert set(np.unique(baselines.load("ising:size=8,sweeps=2", 50).splits["test"].x)) == {-1, 1}


def test_pictures_are_in_0_to_1_from_memory_and_from_records(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 4, 3, 1), "uint8")
    y = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    made = baselines.load(f"npz:{tmp_path / 'mine.npz'}", data_dir=tmp_path / "data")
    assert not isinstance(made.source.train, Split)
    found = {
        tuple(row): label
        for part in made.splits.values()
        for row, label in zip(part.x.tolist(), part.y.tolist(), strict=True)
    }
    rows = (x.reshape(60, 12) / np.float32(255)).tolist()
    assert found == {tuple(row): label for row, label in zip(rows, y.tolist(), strict=True)}
    same = problem.of_source(Source("mine", *[split(x, y)._replace(x=x)] * 3, 3))
    np.testing.assert_array_equal(same.splits["test"].x, np.array(rows, "float32"))


def test_targets_may_be_fields():
    made = baselines.load("burgers:points=16", limit=20)
    assert made.task == "numbers"
    assert made.splits["train"].y.shape == (14, 16)


@pytest.mark.parametrize(("most", "used"), [("MOST_SAMPLES", 5), ("MOST_VALUES", 23)])
def test_too_many_samples_are_cut_and_it_says_so(monkeypatch, most, used):
    monkeypatch.setattr(problem, most, used)
    made = problem.of_source(Source("mine", *PARTS, 2))
    assert made.used == {"train": 5, "validation": 4, "test": 4}
    assert made.headline().splitlines() == [
        "mine, 5/4/4 samples to train/validate/test, 2×2×1 numbers each",
        "uses the first samples of 8/4/4: baselines hold theirs in memory, at most 5 of a split",
    ]


def refused(source):
    with pytest.raises(ValueError) as error:
        problem.of_source(source)
    return str(error.value)


def test_a_stream_is_refused():
    stream = Streamed(8, (2,), lambda *_: pytest.fail("it was read"))
    assert refused(Source("tfds:big", stream, stream, stream, 2)) == (
        "--data tfds:big: can only be streamed, and baselines hold their samples in memory; write "
        "it as files (tfsci data export tfds:big DIR) and use npz:DIR"
    )


@pytest.mark.parametrize("spec", ["sequences", "text:/no/such/file"])
def test_tokens_are_refused_before_they_are_read(spec):
    with pytest.raises(ValueError, match=f"^--data {spec}: its targets are tokens, which no "):
        baselines.load(spec)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    x = np.zeros((4, 2, 2, 1), "float32")
    x[3, 1] = value
    told = refused(Source("mine", PARTS[0], split(x, [0, 1, 0, 1]), PARTS[2], 2))
    assert told.startswith("--data mine: has values that are not finite among its validation ")


@pytest.mark.parametrize("y", [[0, 0, 0, 0], [0, 0, 0, 1]])
def test_samples_of_one_class_are_refused(y):
    source = gaussians(8, 8, 8).source
    told = refused(dataclasses.replace(source, train=split(np.zeros((4, 3)), y)))
    assert told.startswith("--data given: expected at least two training samples of each of two ")
