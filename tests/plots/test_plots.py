import numpy as np
import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from tfsci import plots
from tfsci.baselines.results import Comparison, Result
from tfsci.baselines.trained import Trained

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


def result(title, test, measure="accuracy", **others):
    given = {"cross_validation": 0.5, "standard_error": 0.1, "training": 1, "validation": 0.5}
    given |= {"test_standard_error": 0.05, "seconds": 1, "settings": {}}
    return Result(title, title, measure, test=test, **given | others)


class TestComparison:
    RESULTS = (
        result("svm", 0.8),
        Trained("cnn", "runs/a", "accuracy", 0.7, 0.02),
        result("ridge", 0.6, test_standard_error=None),
    )

    def test_bars_are_scores_and_networks_have_their_own_colour(self):
        ax = plots.comparison(self.RESULTS, known_answer=0.9)
        baselines, network = (c for c in ax.containers if isinstance(c, BarContainer))
        assert [bar.get_width() for bar in baselines] == [0.8, 0.6]
        (bar,) = network
        assert (bar.get_width(), bar.get_y() + bar.get_height() / 2) == (0.7, 1)
        assert bar.get_facecolor() != baselines[0].get_facecolor()
        assert [text.get_text() for text in ax.get_yticklabels()] == ["svm", "cnn", "ridge"]
        assert ax.get_ylim() == (2.5, -0.5)  # the first one on top
        assert [text.get_text() for text in ax.texts] == ["0.800", "0.700", "0.600"]
        names = ax.get_legend_handles_labels()[1]
        assert names == ["best possible 0.900", "test", "test, trained network", "cross-validation"]

    def test_errors_are_drawn(self):
        ax = plots.comparison(self.RESULTS)
        lines = [segment for bars in ax.collections for segment in bars.get_segments()]
        ends = [line[:, 0].tolist() for line in lines]
        expected = [(0.75, 0.85), (0.6, 0.6), (0.68, 0.72), (0.4, 0.6), (0.4, 0.6)]
        np.testing.assert_allclose(ends, expected)

    def test_what_failed_has_no_bar(self):
        ax = plots.comparison([result("svm", np.nan, cross_validation=np.nan)])
        assert [text.get_text() for text in ax.texts] == ["–"]

    def test_errors_need_not_end_at_1(self):
        ax = plots.comparison([result("ridge", 3.0, "error")])
        assert ax.get_xlim()[1] > 3
        ax = plots.comparison([result("ridge", 3.0, "error")], known_answer=0.0)
        assert ax.get_xlim()[0] < 0  # the line is seen

    def test_a_given_ax_is_used(self):
        ax = Figure().subplots()
        assert plots.comparison(self.RESULTS, ax=ax) is ax

    @pytest.mark.parametrize("structure", [(), (result("pca", 0.7, "variance_kept"),)])
    def test_is_written_as_a_png(self, tmp_path, structure):
        found = Comparison(
            "mine",
            "accuracy",
            0.9,
            {"train": 7},
            5,
            0,
            (self.RESULTS[0], *structure),
            self.RESULTS[1:2],
        )
        plots.save_comparison(tmp_path / "a.png", found)
        assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


class TestContactSheet:
    def titles(self, figure):
        return [ax.get_title() or ax.get_title("left") for ax in figure.axes]

    def test_pictures_have_their_classes_as_titles(self):
        x, y = np.random.default_rng(0).random((5, 4, 4, 3)), np.array([0, 1, 0, 1, 1])
        figure = plots.contact_sheet(x, y, ("cat", "dog"), columns=3)
        assert self.titles(figure) == ["cat", "dog", "cat", "dog", "dog", ""]
        for ax, picture in zip(figure.axes, x, strict=False):
            np.testing.assert_array_equal(ax.images[0].get_array(), picture)
            assert not ax.get_xticks().size and not ax.get_yticks().size
        assert not figure.axes[5].axison

    def test_classes_without_names_and_long_names(self):
        x = np.zeros((2, 4, 4, 1))
        assert self.titles(plots.contact_sheet(x, np.array([3, 0]))) == ["class 3", "class 0"]
        (title, _) = self.titles(plots.contact_sheet(x, np.array([0, 0]), ["$x$" * 10]))
        assert title == ("$x$" * 10)[:19] + "…"

    def test_one_channel_is_grey_and_spins_are_two_tone(self):
        x = np.linspace(0, 1, 32).reshape(2, 4, 4, 1)
        image = plots.contact_sheet(x, np.array([0, 1])).axes[0].images[0]
        assert (image.cmap.name, image.get_clim()) == ("gray", (0, 1))
        np.testing.assert_array_equal(image.get_array(), x[0, ..., 0])
        spins = np.where(x < 0.4, -1.0, 1.0)
        image = plots.contact_sheet(spins, np.array([0, 1])).axes[0].images[0]
        assert image.cmap.name == "cividis"
        assert set(np.unique(image.get_array())) == {0, 1}

    def test_values_beyond_1_are_stretched_together(self):
        x = np.array([0.0, 10.0]).reshape(2, 1, 1, 1) * np.ones((1, 2, 2, 3))
        first, second = (ax.images[0] for ax in plots.contact_sheet(x, np.array([0, 0])).axes)
        assert (first.get_array().max(), second.get_array().min()) == (0, 1)

    def test_fields_are_lines(self):
        x, y = np.random.default_rng(0).random((2, 3, 8))
        figure = plots.contact_sheet(x, y)
        assert self.titles(figure) == ["sample 0", "sample 1", "sample 2"]
        for i, ax in enumerate(figure.axes):
            lines = [line.get_ydata().tolist() for line in ax.lines]
            assert lines == [x[i].tolist(), y[i].tolist()]
        legend = figure.axes[0].get_legend().get_texts()
        assert [text.get_text() for text in legend] == ["input", "target"]

    def test_tokens_are_text(self):
        x = np.array([[0, 1, 1], [1, 0, 0]])
        figure = plots.contact_sheet(x, x, ("A", "C"))
        assert [ax.texts[0].get_text() for ax in figure.axes] == ["ACC", "CAA"]
        assert figure.axes[0].texts[0].get_family() == ["monospace"]
        letters = np.frombuffer("é\nb$".encode(), "uint8").astype(int)[np.newaxis]
        (ax,) = plots.contact_sheet(letters, letters).axes
        assert ax.texts[0].get_text() == "é·b$"

    def test_long_sequences_have_several_lines(self):
        x = np.zeros((1, 130), int)
        (ax,) = plots.contact_sheet(x, x, ("A",)).axes
        assert list(map(len, ax.texts[0].get_text().split("\n"))) == [64, 64, 2]

    @pytest.mark.parametrize("shape", [(0, 4, 4, 1), (4,), (2, 3, 4, 5, 6)])
    def test_what_can_not_be_drawn_is_refused(self, shape):
        with pytest.raises(ValueError, match="expected pictures"):
            plots.contact_sheet(np.zeros(shape), np.zeros(2))
