import numpy as np
import pytest

from tfsci import plots
from tfsci.profile.scaling import Point, analyse


def test_draws_what_was_measured_beside_the_ideal_and_the_laws():
    n = [1, 2, 4, 8]
    found = analyse([Point(k, 0.1 + 0.9 / k) for k in n])
    ax = plots.scaling_curve(found)
    lines = {line.get_label(): np.transpose(line.get_data()) for line in ax.lines}
    speedups = [[k, 1 / (0.1 + 0.9 / k)] for k in n]
    assert lines["measured"].tolist() == pytest.approx(np.array(speedups))
    assert (lines["ideal"][:, 0] == lines["ideal"][:, 1]).all()
    ranks, amdahl = lines["Amdahl"].T
    assert amdahl == pytest.approx(1 / (0.1 + 0.9 / ranks), rel=1e-6)
    assert ranks[-1] == pytest.approx(32)  # what is predicted is drawn, too
    assert len(ax.collections) == 1  # the interval
    assert ax.get_title(loc="left").replace("\n", " ") == found.answer


def test_a_run_that_is_left_out_looks_different_and_no_interval_is_made_up():
    found = analyse([Point(1, 41.3), Point(2, 15.9), Point(4, 8.78), Point(8, 10.74)])
    ax = plots.scaling_curve(found)
    lines = {line.get_label(): line for line in ax.lines}
    slow = lines["measured, slow beside larger ones"]
    assert (slow.get_xdata(), slow.get_ydata()) == ([1], [1])
    assert slow.get_marker() != lines["measured"].get_marker()
    assert len(ax.collections) == 0


def test_is_written_whole(tmp_path):
    found = analyse([Point(1, 10), Point(2, 6)])
    plots.save_scaling(tmp_path / "scaling.png", found)
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1
