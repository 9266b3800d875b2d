import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.data.source import Source, Split, sizes, stratified_split

LABELS = st.lists(st.integers(0, 5), max_size=200).map(np.array)
FRACTIONS = st.sampled_from([(0.7, 0.2, 0.1), (0.5, 0.5), (1.0,), (0.1, 0.2, 0.3, 0.4)])


@settings(max_examples=100)
@given(LABELS, FRACTIONS, st.integers(0, 2**32))
def test_a_split_deals_out_every_index_once_and_every_class_by_its_share(labels, fractions, seed):
    parts = stratified_split(labels, fractions, seed)
    assert len(parts) == len(fractions)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for part, fraction in zip(parts, fractions, strict=True):
        for label in np.unique(labels):
            share = fraction * np.sum(labels == label)
            assert abs(np.sum(labels[part] == label) - share) <= 1 + 1e-9
    for part, again in zip(parts, stratified_split(labels, fractions, seed), strict=True):
        np.testing.assert_array_equal(part, again)


def test_ten_samples_a_class_by_hand():
    """Places 0.05, 0.15 … 0.95 cut at 0.7 and 0.9: seven, two and one."""
    parts = stratified_split(np.repeat([3, 7], 10))
    assert [len(part) for part in parts] == [14, 4, 2]
    for part, count in zip(parts, (7, 2, 1), strict=True):
        assert np.sum(part < 10) == np.sum(part >= 10) == count


@settings(max_examples=100)
@given(LABELS.filter(len), st.integers(0, 2**32), st.data())
def test_the_first_of_a_part_hold_every_class_in_its_share(labels, seed, data):
    (part,) = stratified_split(labels, (1.0,), seed)
    number = data.draw(st.integers(1, len(labels)))
    for label in np.unique(labels):
        share = number * np.mean(labels == label)
        assert abs(np.sum(labels[part[:number]] == label) - share) <= len(np.unique(labels))


def test_another_seed_deals_otherwise():
    labels = np.arange(100) % 3
    splits = {tuple(stratified_split(labels, seed=seed)[0]) for seed in range(10)}
    assert len(splits) == 10


def test_a_source_tells_its_shapes():
    split = Split(np.zeros((5, 8, 6, 1), "float32"), np.zeros(5, "int32"))
    assert split.num_samples == 5
    source = Source("made", split, split, split, num_classes=2)
    assert source.input_shape == (8, 6, 1)
    assert source.known_answer is None
    assert list(source.splits) == ["train", "validation", "test"]


@given(st.integers(0, 10**6))
def test_sizes_add_up_and_keep_to_the_shares(number):
    parts = sizes(number)
    assert sum(parts) == number
    for part, fraction in zip(parts, (0.7, 0.2, 0.1), strict=True):
        assert abs(part - fraction * number) <= 1


def test_pictures_and_spins_become_what_a_model_takes():
    split = Split(np.array([[0], [51], [255]], "uint8"), np.arange(3))
    x, y = split.reader()(np.array([2, 1]))
    np.testing.assert_allclose(x, [[1], [0.2]], rtol=1e-6)
    assert y.numpy().tolist() == [2, 1]
    spins, _ = Split(np.array([[-1], [1]], "int8"), np.arange(2)).reader()(np.array([0, 1]))
    assert spins.dtype == "float32"
    assert spins.numpy().ravel().tolist() == [-1, 1]
    tokens, _ = Split(np.array([[7]], "int32"), np.arange(1)).reader()(np.array([0]))
    assert tokens.dtype == "int32"
