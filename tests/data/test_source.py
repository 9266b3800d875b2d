import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.data.source import Source, Split, stratified_split

LABELS = st.lists(st.integers(0, 5), max_size=200).map(np.array)
FRACTIONS = st.sampled_from([(0.7, 0.2, 0.1), (0.5, 0.5), (1.0,), (0.1, 0.2, 0.3, 0.4)])


@settings(max_examples=100)
@given(LABELS, FRACTIONS, st.integers(0, 2**32))
def test_a_split_deals_out_every_index_once_and_every_class_by_its_share(labels, fractions, seed):
    parts = stratified_split(labels, fractions, seed)
    assert len(parts) == len(fractions)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for part, fraction in zip(parts, fractions, strict=True):
        assert list(part) == sorted(part)
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
