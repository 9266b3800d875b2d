import numpy as np
import pytest

from tfsci.plan import presets
from tfsci.plan.layout import Layout
from tfsci.plan.machine_table import MACHINES
from tfsci.plan.scaling import Point
from tfsci.plan.simulator import simulate
from tfsci.plots import plan

ROWS = {"1.  a": {"computing": 3.0, "optimizer": 0.0, "pipeline bubble": 1.0},
        "2.  b": {"computing": 2.0, "optimizer": 0.0, "pipeline bubble": 4.0}}  # fmt: skip


def test_bars_are_stacked():
    ax = plan.stacked(ROWS, "seconds")
    spans = [(bar.get_x(), bar.get_width()) for container in ax.containers for bar in container]
    assert spans == [(0, 3), (0, 2), (3, 1), (2, 4)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "computing",
        "pipeline bubble",
    ]
    assert ax.yaxis_inverted() and ax.get_xlabel() == "seconds"


def test_a_pipeline_has_a_row_a_stage_that_covers_what_it_does():
    played = simulate(presets.find("gpt-22b"), MACHINES["selene"], Layout(8, 4, 1, 1, 8))
    ax = plan.pipeline(played)
    rows = {}
    for collection in ax.collections:
        for path in collection.get_paths():
            box = path.get_extents()
            rows.setdefault(round((box.y0 + box.y1) / 2), []).append(box.x1 - box.x0)
    assert sorted(rows) == [1, 2, 3, 4]
    for stage, widths in rows.items():
        busy = sum(s.end - s.start for s in played.spans if s.slot and s.stage == stage - 1)
        assert sum(widths) == pytest.approx(busy, rel=1e-6)


def test_a_pipeline_of_many_slots_is_a_picture_of_shares():
    played = simulate(presets.find("gpt-22b"), MACHINES["selene"], Layout(8, 4, 1, 1, 512))
    (image,) = plan.pipeline(played, most=100).images
    pixels = image.get_array()
    assert pixels.shape == (4, 1000, 3)
    assert np.allclose(pixels[3, 0], 1)  # the last stage waits at first
    assert not np.allclose(pixels[0, 0], 1)


def test_a_curve_says_why_it_bends():
    points = [
        Point(2**i, Layout(), 1.0, 1.0, e, f"because {i}") for i, e in enumerate((1, 0.9, 0.4))
    ]
    points.append(Point(8, None, None, None, None, "does not fit"))
    ax = plan.scaling_curves({"strong": points})
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[1, 100], [2, 90], [4, 40]]
    assert [text.get_text() for text in ax.texts] == ["because 2"]


def test_pictures_are_written(tmp_path):
    played = simulate(presets.find("gpt-22b"), MACHINES["selene"], Layout(8, 4, 1, 1, 8))
    for name, shown in (("a.png", played), ("b.png", None)):
        plan.save_plan(tmp_path / name, "t", {"computing": 1.0}, {"weights": 3.0}, 72.0, shown)
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
