import numpy as np
import pytest
from matplotlib.figure import Figure

from tfsci import plots

HISTORY = [
    {"epoch": 1, "loss": 2.0, "accuracy": 0.25, "val_loss": 1.5, "val_accuracy": 0.5},
    {"epoch": 2, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.25, "val_accuracy": 0.625},
    {"epoch": 3, "loss": 0.5, "accuracy": 0.75, "val_loss": 1.125, "val_accuracy": 0.75},
]
METRICS = {"test_accuracy": 0.875, "known_answer": 0.9, "epochs": 3, "world_size": 2}


def drawn(ax):
    """Each line's data by its label."""
    return {line.get_label(): np.transpose(line.get_data()).tolist() for line in ax.lines}


class TestLearningCurve:
    def test_draws_what_it_is_given(self):
        ax = plots.learning_curve(HISTORY)
        assert drawn(ax) == {
            "training": [[1, 2.0], [2, 1.0], [3, 0.5]],
            "validation": [[1, 1.5], [2, 1.25], [3, 1.125]],
        }
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (nats)")
        assert ax.get_yscale() == "log"
        assert ax.get_xlim() == (0.5, 3.5)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [
            "training",
            "validation",
        ]

    def test_the_best_possible_is_a_line(self):
        ax = plots.learning_curve(HISTORY, "accuracy", known_answer=0.9)
        lines = drawn(ax)
        assert lines.pop("best possible 0.900") == [[0, 0.9], [1, 0.9]]  # all across
        assert lines == {
            "training": [[1, 0.25], [2, 0.5], [3, 0.75]],
            "validation": [[1, 0.5], [2, 0.625], [3, 0.75]],
        }
        assert (ax.get_ylabel(), ax.get_yscale()) == ("accuracy", "linear")

    def test_what_is_missing_is_not_drawn(self):
        rows = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "val_loss": 1.5}]
        assert drawn(plots.learning_curve(rows)) == {
            "training": [[1, 2.0], [2, 1.0]],
            "validation": [[2, 1.5]],
        }
        assert list(drawn(plots.learning_curve(rows[:1]))) == ["training"]

    def test_a_given_ax_is_used(self):
        ax = Figure().subplots()
        assert plots.learning_curve(HISTORY, ax=ax) is ax
        assert len(ax.lines) == 2

    def test_colours_are_told_apart_and_told_by_the_legend(self):
        ax = plots.learning_curve(HISTORY, "accuracy", known_answer=0.9)
        colours = [line.get_color() for line in ax.lines]
        assert len(set(colours)) == 3

    def test_no_epochs_draw_no_lines(self):
        assert drawn(plots.learning_curve([])) == {}


class TestSaveCurves:
    @pytest.mark.parametrize("known_answer", [None, 0.9])
    def test_writes_a_png(self, tmp_path, known_answer):
        path = tmp_path / "curves.png"
        plots.save_curves(path, HISTORY, {**METRICS, "known_answer": known_answer})
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = (int.from_bytes(content[i : i + 4]) for i in (16, 20))
        assert (width, height) == (9 * 120, 4 * 120)

    @pytest.mark.parametrize(
        ("world_size", "title"),
        [
            (1, "87.5% of the test set right after 3 epochs on 1 replica"),
            (2, "87.5% of the test set right after 3 epochs on 2 replicas"),
        ],
    )
    def test_says_how_it_ended(self, tmp_path, monkeypatch, world_size, title):
        titles = []
        monkeypatch.setattr(Figure, "suptitle", lambda self, text: titles.append(text))
        plots.save_curves(tmp_path / "a.png", HISTORY, {**METRICS, "world_size": world_size})
        assert titles == [title]
