import pytest

from tfsci.plots.steps import parts


def test_bars_are_the_shares_of_a_step():
    ax = parts({"a": {"input": 3.0, "compute": 1.0}, "b": {"python": 1, "dispatch": 1, "input": 2}})
    labels = [container.get_label() for container in ax.containers]
    assert labels == ["waiting for input", "Python, starting operations", "the model's operations"]
    widths = [[bar.get_width() for bar in container] for container in ax.containers]
    assert widths == [[75, 50], [0, 50], [25, 0]]
    assert [bar.get_x() for bar in ax.containers[2]] == [75, 100]


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="unknown part sleep; expected compile"):
        parts({"a": {"sleep": 1.0}})
