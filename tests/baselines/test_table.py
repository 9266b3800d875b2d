import dataclasses

import numpy as np
import pytest

from tfsci.baselines import table
from tfsci.baselines.anomaly import LeaveOneClassOut


def row(name, task="classes"):
    return next(row for row in table.BASELINES if (row.name, row.task) == (name, task))


@pytest.mark.parametrize("baseline", table.BASELINES, ids=lambda b: f"{b.name}-{b.task}")
class TestEach:
    def test_builds_with_every_setting_of_its_grid(self, baseline):
        for settings in baseline.settings(1000):
            made = table.pipeline(baseline, 200, 1000, 3, **settings)
            params = made.get_params()
            for option, value in settings.items():
                assert params[f"estimator__{option}"] == value
            reduced = [params[name] for name in params if name == "reduce__n_components"]
            assert reduced == ([baseline.reduce] if baseline.reduce else [])

    def test_all_that_is_random_has_the_seed(self, baseline):
        params = table.pipeline(baseline, 200, 1000, 3, seed=7).get_params()
        seeds = {params[name] for name in params if name.endswith("random_state")}
        assert seeds <= {7}

    def test_is_one_of_a_table(self, baseline):
        assert baseline.task in ("classes", "numbers", "structure")
        assert dataclasses.replace(baseline, name="a").name == "a"
        alike = [b for b in table.BASELINES if (b.name, b.task) == (baseline.name, baseline.task)]
        assert alike == [baseline]


class TestPipeline:
    def test_few_inputs_are_not_reduced(self):
        assert [name for name, _ in table.pipeline(row("svm"), 64, 1000).steps] == [
            "scale",
            "estimator",
        ]

    def test_few_samples_have_few_components(self):
        pipe = table.pipeline(row("pca", "structure"), 64, 8)
        assert pipe[-1].n_components == 7

    def test_clusters_are_as_many_as_classes(self):
        assert table.pipeline(row("kmeans", "structure"), 4, 50, 3)[-1].n_clusters == 3

    def test_what_it_learns_of_the_inputs_is_of_the_fitted_samples_alone(self):
        x = np.random.default_rng(0).standard_normal((60, 150)) + np.arange(60)[:, np.newaxis]
        y = np.arange(60) % 2
        pipe = table.pipeline(row("logistic"), 150, 30, 2).fit(x[:30], y[:30])
        np.testing.assert_allclose(pipe["scale"].mean_, x[:30].mean(axis=0))
        assert pipe["reduce"].n_samples_ == 30

    def test_more_neighbours_than_samples_are_left_out(self):
        assert row("knn").settings(5) == [{"n_neighbors": 1}, {"n_neighbors": 5}]
        assert row("majority").settings(5) == [{}]


class TestChoose:
    def names(self, *arguments):
        return [row.name for row in table.choose(*arguments)]

    def test_all_that_the_task_allows(self):
        assert " ".join(self.names("classes")) == (
            "majority logistic ridge knn svm forest boosting pca kmeans mixture isolation"
        )
        assert self.names("numbers") == ["mean", "ridge", "knn", "forest", "pca"]

    def test_one_name_is_the_row_of_the_task(self):
        assert table.choose("numbers", ["ridge"])[0].title == "ridge regression"
        assert table.choose("classes", ["ridge"])[0].title == "ridge classifier"

    def test_an_unknown_name_is_refused_with_those_known(self):
        with pytest.raises(ValueError) as error:
            table.choose("classes", ["svm", "xgboost"])
        assert str(error.value) == (
            "unknown baseline 'xgboost'; expected some of majority, logistic, ridge, knn, svm, "
            "forest, boosting, mean, pca, kmeans, mixture, isolation"
        )

    def test_a_name_for_other_data_is_refused(self):
        with pytest.raises(ValueError) as error:
            table.choose("numbers", ["svm"])
        assert str(error.value) == (
            "svm: is not for data without classes; expected some of mean, ridge, knn, forest, pca"
        )


class TestLeaveOneClassOut:
    def test_finds_a_class_that_is_far_away(self):
        generator = np.random.default_rng(0)
        y = np.repeat([0, 1, 2], [100, 100, 10])
        x = generator.standard_normal((210, 2)) + np.array([[0, 0], [1, 0], [20, 20]])[y]
        scores = LeaveOneClassOut().fit(x, y).anomaly_scores(x)
        assert sorted(scores) == [0, 1, 2]
        # Every sample of class 2 is more anomalous than any other to the forest that never saw it.
        assert scores[2][y == 2].min() > scores[2][y != 2].max()

    def test_many_classes_are_cut_to_the_largest(self):
        y = np.repeat(np.arange(5), [3, 9, 4, 9, 2])
        x = np.arange(27.0)[:, np.newaxis]
        fitted = LeaveOneClassOut(n_estimators=2, most_classes=3).fit(x, y)
        assert sorted(fitted.forests_) == [1, 2, 3]
