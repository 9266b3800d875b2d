import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfsci.profile import intervals

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=12).map(
    lambda pairs: np.array([(s, s + n) for s, n in pairs], np.int64).reshape(-1, 2)
)


def instants(spans):
    return {t for start, end in spans for t in range(start, end)}


@given(SPANS, SPANS)
def test_a_union_holds_each_instant_of_its_sets_once(first, second):
    both = intervals.union(first, second)
    assert (both[1:, 0] > both[:-1, 1]).all()  # sorted, and what touches is one
    assert sum(end - start for start, end in both) == len(instants([*first, *second]))
    assert instants(both) == instants([*first, *second])


@given(SPANS, SPANS)
def test_minus_and_clipped_part_a_set_in_two(first, second):
    first, second = intervals.union(first), intervals.union(second)
    left, taken = intervals.minus(first, second), intervals.clipped(first, second)
    assert instants(left) == instants(first) - instants(second)
    assert instants(taken) == instants(first) & instants(second)
    for found in (left, taken):
        assert (found[:, 1] > found[:, 0]).all()
        assert (found[1:, 0] >= found[:-1, 1]).all()


@given(SPANS, SPANS)
def test_within_is_of_starts_and_not_of_ends(spans, times):
    spans, times = intervals.union(spans), times.ravel()
    assert intervals.within(times, spans).tolist() == [time in instants(spans) for time in times]


@given(SPANS, SPANS)
def test_covered_counts_the_instants_of_each_window(spans, windows):
    found = intervals.covered(intervals.union(spans), windows)
    expected = [len(instants(spans) & set(range(start, end))) for start, end in windows]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_most_at_once():
    assert intervals.most_at_once(intervals.NONE) == 0
    assert intervals.most_at_once(np.array([(0, 2), (2, 4)])) == 1
    assert intervals.most_at_once(np.array([(0, 5), (1, 3), (2, 9), (6, 7)])) == 3
