import pytest

from tfsci.plots import grouped_bars

GROUPS = {"a": {"one": 0.5, "two": 0.25}, "b": {"one": 0.75, "two": 1.0}}


def test_bars_stand_in_their_groups_in_order():
    ax = grouped_bars(GROUPS, {"b": 0.9})
    one, two = ax.containers
    assert [bar.get_height() for bar in (*one, *two)] == [0.5, 0.75, 0.25, 1.0]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in (*one, *two)]
    assert middles == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(names) == ["best possible", "one", "two"]


def test_the_best_possible_is_over_its_group_alone():
    (lines,) = grouped_bars(GROUPS, {"b": 0.9}).collections
    (((left, low), (right, high)),) = lines.get_segments()
    assert (low, high) == (0.9, 0.9)
    assert 0.5 < left < 0.6 and 1.4 < right < 1.5
    assert not grouped_bars(GROUPS).collections


def test_groups_must_have_the_same_bars():
    with pytest.raises(ValueError, match=r"group 'b': expected the bars \['one'\], got \['two'\]"):
        grouped_bars({"a": {"one": 1}, "b": {"two": 1}})
