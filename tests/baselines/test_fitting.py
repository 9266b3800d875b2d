import dataclasses
import math

import numpy as np
import pytest
from gaussians import BEST, gaussians, noise, problem

from tfsci import baselines
from tfsci.baselines import fitting, table

# Quick, and between them every way that randomness comes in.
NAMES = ["logistic", "knn", "forest", "kmeans", "isolation"]


def scores(comparison):
    """Everything but the time it took."""
    return [dataclasses.replace(result, seconds=0) for result in comparison.results]


def test_linear_methods_reach_the_bayes_accuracy_and_none_is_beyond():
    found = baselines.compare(
        gaussians(2000, 1000, 4000), ["majority", "logistic", "ridge", "knn", "svm"]
    )
    assert found.known_answer == BEST == pytest.approx(0.8413, abs=1e-4)
    by_name = {result.name: result for result in found.results}
    off = 3 * math.sqrt(BEST * (1 - BEST) / 4000)  # three standard errors of 4,000 samples
    assert by_name["logistic"].test_standard_error == pytest.approx(off / 3, rel=0.05)
    for name in ("logistic", "ridge"):
        assert by_name[name].test == pytest.approx(BEST, abs=off + 0.005)
        crossed = by_name[name].cross_validation
        assert abs(crossed - BEST) < 4 * by_name[name].standard_error + 0.01
    assert by_name["majority"].test == by_name["majority"].cross_validation == 0.5
    assert max(result.test for result in found.results) < BEST + off
    assert found.results == tuple(sorted(found.results, key=lambda result: -result.test))


@pytest.mark.parametrize("num_inputs", [20, 150])
def test_cross_validation_on_noise_is_at_chance(num_inputs):
    """With 150 inputs they are reduced, too, to what says most of the samples it is fitted to."""
    made = noise(400, 100, 100, num_inputs=num_inputs)
    found = baselines.compare(made, ["logistic", "ridge", "knn", "svm", "forest"])
    for result in found.results:
        assert abs(result.cross_validation - 0.5) < 4 * math.sqrt(0.25 / 400), result
    assert max(result.training for result in found.results) == 1  # and yet it learns by heart


def test_the_same_seed_gives_the_same_scores_on_any_number_of_processes():
    made = gaussians(120, 40, 40)
    first = scores(baselines.compare(made, NAMES, folds=3, seed=5))
    assert first == scores(baselines.compare(made, NAMES, folds=3, seed=5))
    assert first == scores(baselines.compare(made, NAMES, folds=3, seed=5, jobs=2))
    other = {r.name: r for r in scores(baselines.compare(made, NAMES, folds=3, seed=6))}
    assert other["forest"] != next(result for result in first if result.name == "forest")


def test_settings_are_chosen_by_the_validation_samples_alone():
    """The nearest neighbour is right of validation samples; of test samples nothing is."""
    x = np.arange(40.0)[:, np.newaxis]
    y = np.arange(40) % 2
    made = problem((x, y), (x + 0.1, y), (x + 0.1, 1 - y))
    (result,) = baselines.compare(made, ["knn"], folds=2).results
    assert result.settings == {"n_neighbors": 1}
    assert (result.training, result.validation, result.test) == (1, 1, 0)
    # Mislabel the validation samples, and more neighbours are as good as it gets.
    made = problem((x, y), (x + 0.1, 1 - y), (x + 0.1, y))
    (result,) = baselines.compare(made, ["knn"], folds=2).results
    assert result.settings != {"n_neighbors": 1}


def test_cross_validation_is_the_mean_of_its_folds_and_its_standard_error(monkeypatch):
    made = gaussians(60, 20, 20)
    x, y = made.splits["train"]
    folds = fitting._folds(made, 3, seed=1)
    held_out = np.sort(np.concatenate([held for _, held in folds]))
    np.testing.assert_array_equal(held_out, np.arange(60))  # each sample once
    each = []
    for rows, held in folds:
        assert not set(rows) & set(held)
        assert np.bincount(y[held]).tolist() == [10, 10]  # every class in its share
        (row,) = table.choose("classes", ["ridge"])
        pipe = table.pipeline(row, 3, 40, seed=1, alpha=1.0).fit(x[rows], y[rows])
        each.append(np.mean(pipe.predict(x[held]) == y[held]))
    monkeypatch.setattr(table.Baseline, "settings", lambda *_: [{"alpha": 1.0}])
    (result,) = baselines.compare(made, ["ridge"], folds=3, seed=1).results
    assert result.cross_validation == pytest.approx(np.mean(each))
    assert result.standard_error == pytest.approx(np.std(each, ddof=1) / math.sqrt(3))


def test_a_linear_operator_is_learnt_by_ridge_regression():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((300, 12))
    y = (x @ generator.standard_normal((12, 5))).astype("float32")
    parts = [(x[a:b], y[a:b]) for a, b in ((0, 200), (200, 250), (250, 300))]
    made = problem(*parts, num_classes=None, known_answer=0.0, measure="error")
    found = baselines.compare(made, folds=4)
    ridge, *_, mean, pca = found.results  # the lowest error first
    assert ridge.name == "ridge"
    assert ridge.test < 0.02 and ridge.settings == {"alpha": 1.0}
    assert (mean.name, pca.name) == ("mean", "pca")
    assert 0.8 < mean.test < 1.2
    assert 10 / 12 < pca.training < 1  # ten of twelve, and the largest ones


def test_the_components_of_initial_conditions_are_their_fourier_modes():
    """Sines and cosines of 4 modes whose variances are as 1, 1/4, 1/9 and 1/16."""
    made = baselines.load("burgers:points=32", limit=400)
    (result,) = baselines.compare(made, ["pca"], folds=2).results
    assert result.test == pytest.approx(1)  # in ten components, of which they need eight
    # Of 2.847 in all, 2 + 2/4 are in four of them, 88 %, and 2 + 2/4 + 1/9 in five, 92 %.
    assert result.others == {"components for 90 %": 5}


def test_separate_clusters_are_found():
    generator = np.random.default_rng(0)
    centres = 20 * generator.standard_normal((3, 4))
    parts = []
    for size in (150, 60, 60):
        y = np.arange(size) % 3
        parts.append((centres[y] + generator.standard_normal((size, 4)), y))
    found = baselines.compare(problem(*parts, num_classes=3), ["kmeans", "mixture"], folds=3)
    for result in found.results:
        assert (result.cross_validation, result.validation, result.test) == (1, 1, 1)
        assert result.others["normalised mutual information"] == pytest.approx(1)


class TestTrouble:
    def test_what_does_not_converge_is_told_and_not_warned_of(self, monkeypatch, recwarn):
        rows = tuple(
            dataclasses.replace(row, options={"max_iter": 1}) if row.name == "logistic" else row
            for row in table.BASELINES
        )
        monkeypatch.setattr(table, "BASELINES", rows)
        for jobs in (1, 2):
            found = baselines.compare(gaussians(40, 20, 20), ["logistic"], folds=2, jobs=jobs)
            (result,) = found.results
            assert result.notes == ("did not converge",)
            assert "logistic regression: did not converge" in found.as_text()
        assert not recwarn.list

    def test_a_class_with_fewer_samples_than_folds_is_no_fault(self, recwarn):
        made = gaussians(40, 20, 20)
        train = made.splits["train"]
        train.y[:2] = 2
        found = baselines.compare(made, ["knn", "boosting", "svm"], folds=5)
        assert all(not result.notes for result in found.results)
        assert not recwarn.list

    def test_one_that_fails_does_not_stop_the_others(self):
        """A mixture of as many Gaussians as there are samples."""
        made = gaussians(12, 8, 8)
        made = dataclasses.replace(made, source=dataclasses.replace(made.source, num_classes=50))
        found = baselines.compare(made, ["ridge", "kmeans", "mixture"], folds=2)
        failed = {result.name: result for result in found.results}
        assert math.isfinite(failed["ridge"].test)
        for name in ("kmeans", "mixture"):
            assert math.isnan(failed[name].test)
            assert failed[name].notes[0].startswith("failed: ")
        assert found.results[-1].name in ("kmeans", "mixture")

    @pytest.mark.parametrize("folds", [1, 21, 1000])
    def test_folds_that_can_not_be(self, folds):
        with pytest.raises(ValueError) as error:
            baselines.check(gaussians(40, 20, 20), folds=folds)
        assert str(error.value) == (
            f"--folds {folds}: expected 2 to 20 for 40 training samples, fewer than the largest "
            "class has"
        )

    def test_baselines_of_other_data_are_refused_before_anything_is_fitted(self):
        with pytest.raises(ValueError, match="mean: is not for data whose targets are"):
            baselines.check(gaussians(40, 20, 20), ["mean"])


def test_progress_counts_every_fit():
    shown = []

    class Bar:
        def __init__(self, what, total):
            self.total, self.closed = total, False
            shown.append(self)
            self.done = []

        def update(self, done):
            self.done.append(done)

        def close(self):
            self.closed = True

    baselines.compare(gaussians(40, 20, 20), ["majority", "ridge"], folds=4, progress=Bar)
    (bar,) = shown
    # Three settings of ridge; and each once on all samples and on each fold.
    assert bar.total == 3 + 2 * 5
    assert bar.done == list(range(1, 14)) and bar.closed
