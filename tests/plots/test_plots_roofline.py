import numpy as np
import pytest
from matplotlib.figure import Figure

from tfsci import plots
from tfsci.profile.roofline import Machine, Step

MACHINE = Machine(200e9, 20e9, "float32", 2)
MEMORY = Step("$small$", 32, 10e9, 2e9, 0.2)  # 5 operations a byte, 50 of 100 GFLOP/s
MATRIX = Step("large", 32, 100e9, 1e9, 2.0)  # 100, 50 of 200


def test_both_roofs_and_the_points_under_them():
    ax = plots.roofline(MACHINE, [MEMORY, MATRIX])
    roof, *rest = (np.transpose(line.get_data()).tolist() for line in ax.lines)
    assert roof[1] == [10, 200]  # the ridge
    assert roof[0][1] == pytest.approx(20 * roof[0][0]) and roof[2][1] == 200
    assert rest == [[[5, 50], [5, 100]], [[5, 50]], [[100, 50], [100, 200]], [[100, 50]]]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.lines[2].get_color() != ax.lines[4].get_color()  # of the two roofs
    assert [text.get_text() for text in ax.texts[:2]] == ["$small$, 50 %", "large, 25 %"]


def test_a_given_ax_is_used_and_no_steps_are_fine():
    ax = Figure().subplots()
    assert plots.roofline(MACHINE, ax=ax) is ax
    assert len(ax.lines) == 1


@pytest.mark.parametrize(
    ("steps", "title"),
    [
        ([], "Below 10.0 operations a byte memory is this machine's limit"),
        ([MATRIX], "large reaches 25 % of the matrix rate"),
        ([MATRIX, MEMORY], "$small$ comes nearest to its roof, 50 %; memory is the roof of 1 of 2"),
    ],
)
def test_the_title_says_what_is_found(tmp_path, monkeypatch, steps, title):
    figures, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **b: figures.append(self) or save(self, *a, **b)
    )
    plots.save_roofline(tmp_path / "a.png", MACHINE, steps)
    assert figures[0].axes[0].get_title("left").startswith(title)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
