"""The baselines: a row each, and scikit-learn's pipeline from a row."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Baseline:
    """A row of the table.

    Attributes:
        name: On the command line.
        title: In tables and pictures.
        task: ``"classes"`` to tell apart, ``"numbers"`` to predict, or ``"structure"`` to find
            without being told the labels.
        measure: How good it is, a row of `measures.MEASURES`.
        estimator: Its class, with the module below ``sklearn``, or below ``tfsci`` after a dot;
            None where reducing is all it does.
        options: Passed to the estimator.
        grid: Values to choose from by the validation samples, by option.
        per_class: The option that is the number of classes.
        scale: Whether each input is first brought to mean 0 and variance 1. What measures
            distances in the inputs, or finds directions, takes them as they are: values of an
            image or a field have one unit.
        reduce: Principal components that inputs are reduced to where there are more of them.
        labelled: Whether it needs labels, to learn from or to be measured by.
    """

    name: str
    title: str
    task: str
    measure: str
    estimator: str | None
    options: Mapping[str, object] = field(default_factory=dict)
    grid: Mapping[str, Sequence] = field(default_factory=dict)
    per_class: str | None = None
    scale: bool = False
    reduce: int | None = None
    labelled: bool = True

    def settings(self, num_samples: int) -> list[dict[str, object]]:
        """Returns each combination of the grid that so many samples allow; at least one."""
        values = [
            [v for v in these if option != "n_neighbors" or v <= num_samples] or [1]
            for option, these in self.grid.items()
        ]
        return [dict(zip(self.grid, each, strict=True)) for each in itertools.product(*values)]


_SCALED = {"scale": True, "reduce": 100}
_TREES = {"n_estimators": 100}
_ALPHAS = {"alpha": (1.0, 100.0, 10_000.0)}
_NEIGHBOURS = {"n_neighbors": (1, 5, 15)}

BASELINES = (
    Baseline("majority", "majority class", "classes", "accuracy", "dummy.DummyClassifier"),
    Baseline(
        "logistic", "logistic regression", "classes", "accuracy",
        "linear_model.LogisticRegression", {"max_iter": 2000}, {"C": (0.01, 0.1, 1.0)}, **_SCALED,
    ),
    Baseline(
        "ridge", "ridge classifier", "classes", "accuracy",
        "linear_model.RidgeClassifier", grid=_ALPHAS, **_SCALED,
    ),
    Baseline(
        "knn", "k-nearest neighbours", "classes", "accuracy",
        "neighbors.KNeighborsClassifier", grid=_NEIGHBOURS, reduce=100,
    ),
    Baseline(
        "svm", "support vector machine", "classes", "accuracy",
        "svm.SVC", grid={"C": (1.0, 10.0)}, **_SCALED,
    ),
    Baseline(
        "forest", "random forest", "classes", "accuracy",
        "ensemble.RandomForestClassifier", _TREES,
    ),
    # Without early stopping, which would hold back a part of the training samples.
    Baseline(
        "boosting", "gradient boosting", "classes", "accuracy",
        "ensemble.HistGradientBoostingClassifier", {"early_stopping": False},
        {"max_leaf_nodes": (7, 15)}, reduce=100,
    ),
    Baseline("mean", "mean of the targets", "numbers", "error", "dummy.DummyRegressor"),
    Baseline(
        "ridge", "ridge regression", "numbers", "error",
        "linear_model.Ridge", grid=_ALPHAS, **_SCALED,
    ),
    Baseline(
        "knn", "k-nearest neighbours", "numbers", "error",
        "neighbors.KNeighborsRegressor", grid=_NEIGHBOURS, reduce=100,
    ),
    Baseline(
        "forest", "random forest", "numbers", "error",
        "ensemble.RandomForestRegressor", _TREES | {"max_features": "sqrt"},
    ),
    Baseline(
        "pca", "principal components", "structure", "variance_kept", None, reduce=100,
        labelled=False,
    ),
    Baseline(
        "kmeans", "k-means", "structure", "rand_index", "cluster.KMeans", {"n_init": 10},
        per_class="n_clusters", reduce=100,
    ),
    Baseline(
        "mixture", "Gaussian mixture", "structure", "rand_index", "mixture.GaussianMixture",
        {"max_iter": 500, "reg_covar": 1e-4}, per_class="n_components", reduce=20,
    ),
    Baseline(
        "isolation", "isolation forest", "structure", "anomaly_auc",
        ".baselines.anomaly.LeaveOneClassOut",
    ),
)  # fmt: skip


NAMES = tuple(dict.fromkeys(row.name for row in BASELINES))


def check_names(names: Sequence[str]) -> None:
    """Raises a ValueError for a name that no baseline has."""
    for name in names:
        if name not in NAMES:
            raise ValueError(f"unknown baseline {name!r}; expected some of {', '.join(NAMES)}")


def choose(task: str, names: Sequence[str] = ()) -> tuple[Baseline, ...]:
    """Returns the baselines for a task, and those that find structure.

    Args:
        task: ``"classes"`` or ``"numbers"``.
        names: Which of them; all by default.

    Raises:
        ValueError: A name is unknown, or is not for this task.
    """
    check_names(names)
    fit = {
        row.name: row
        for row in BASELINES
        if row.task == task or (row.task == "structure" and (task == "classes" or not row.labelled))
    }
    for name in names:
        if name not in fit:
            what = {"classes": "whose targets are classes", "numbers": "without classes"}[task]
            raise ValueError(f"{name}: is not for data {what}; expected some of {', '.join(fit)}")
    return tuple(row for name, row in fit.items() if not names or name in names)


def pipeline(
    baseline: Baseline,
    num_inputs: int,
    num_samples: int,
    num_classes: int | None = None,
    seed: int = 0,
    **settings: object,
) -> "Pipeline":
    """Returns a baseline as an unfitted pipeline: scaling, reducing, estimator.

    Scaling and reducing are steps of it, so they are learnt from what it is fitted to alone.

    Args:
        baseline: A row of the table.
        num_inputs: Numbers that make one input.
        num_samples: The fewest samples that it will be fitted to.
        num_classes: For rows with `per_class`.
        seed: Of all that is random in it.
        **settings: Options of the estimator, such as a choice from the grid.
    """
    from sklearn.decomposition import PCA
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = []
    if baseline.scale:
        steps.append(("scale", StandardScaler()))
    if baseline.reduce and (num_inputs > baseline.reduce or baseline.estimator is None):
        steps.append(("reduce", PCA(max(1, min(baseline.reduce, num_inputs, num_samples - 1)))))
    if baseline.estimator:
        options = {**baseline.options, **settings}
        if baseline.per_class:
            options[baseline.per_class] = num_classes
        steps.append(("estimator", _class(baseline.estimator)(**options)))
    made = Pipeline(steps)
    random = [name for name in made.get_params() if name.endswith("__random_state")]
    return made.set_params(**dict.fromkeys(random, seed))


def _class(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"{'tfsci' if path[0] == '.' else 'sklearn.'}{module}"), name)
