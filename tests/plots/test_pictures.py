import numpy as np
import pytest
from matplotlib.figure import Figure

from tfsci.plots import show_pictures


def test_each_picture_has_its_name_and_no_axis():
    axes = Figure().subplots(1, 3)
    first, second = np.eye(3), np.full((2, 2, 3), 0.5)
    show_pictures({"one": first, "two": second}, axes)
    assert [ax.get_title() for ax in axes] == ["one", "two", ""]
    assert [ax.axison for ax in axes] == [False, False, True]
    np.testing.assert_array_equal(axes[0].images[0].get_array(), first)
    np.testing.assert_array_equal(axes[1].images[0].get_array(), second)


def test_too_few_axes():
    with pytest.raises(ValueError, match="axes: expected at least 2, one a picture; got 1"):
        show_pictures({"one": np.eye(2), "two": np.eye(2)}, [Figure().subplots()])
