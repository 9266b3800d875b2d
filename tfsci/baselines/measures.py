"""How good a fitted baseline is on samples that it may or may not have seen."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

COMPONENTS = 10  # whose variance is counted


class Score(NamedTuple):
    """A measured value.

    Attributes:
        value: The measure; NaN where the samples do not define it.
        standard_error: Sampling error of a mean over independent samples; None where it is none.
        others: Other measures of the same, by name.
    """

    value: float
    standard_error: float | None = None
    others: Mapping[str, float] = {}


def accuracy(fitted: "Pipeline", x: np.ndarray, y: np.ndarray) -> Score:
    """Share of samples put into their class; its standard error is √(p(1 − p)/n)."""
    return accuracy_of(float(np.mean(fitted.predict(x) == y)), len(y))


def accuracy_of(value: float, num_samples: int) -> Score:
    """Returns an accuracy on so many samples, with its standard error."""
    return Score(value, math.sqrt(value * (1 - value) / num_samples))


def error(fitted: "Pipeline", x: np.ndarray, y: np.ndarray) -> Score:
    """Mean of ‖prediction − target‖₂ / ‖target‖₂ over fields.

    Targets of one number each, which may be zero, have the root of the mean square error.
    """
    off = fitted.predict(x).reshape(len(y), -1).astype("float64") - y.reshape(len(y), -1)
    if off.shape[1] == 1:
        squares = off[:, 0] ** 2
        root = math.sqrt(squares.mean())
        return Score(root, _standard_error(squares) / (2 * root) if root else 0.0)
    sizes = np.linalg.norm(y.reshape(len(y), -1), axis=1)
    relative = np.linalg.norm(off, axis=1) / np.where(sizes > 0, sizes, 1)
    return Score(float(relative.mean()), _standard_error(relative))


def variance_kept(fitted: "Pipeline", x: np.ndarray, y: np.ndarray) -> Score:
    """Share of the inputs' variance that the first components keep.

    Σ‖projection of x − m‖² / Σ‖x − m‖² with the mean m of the fitted samples: for these themselves
    it is the sum of the explained variance ratios.
    """
    pca = fitted[-1]
    kept = np.square(fitted.transform(x), dtype="float64").sum(axis=0)
    total = np.square(_before(fitted, x) - pca.mean_, dtype="float64").sum()
    shares = np.cumsum(kept) / total if total else np.full(len(kept), math.nan)
    enough = np.flatnonzero(shares >= 0.9)
    others = {"components for 90 %": int(enough[0]) + 1} if enough.size else {}
    return Score(float(shares[: min(COMPONENTS, len(shares))][-1]), others=others)


def rand_index(fitted: "Pipeline", x: np.ndarray, y: np.ndarray) -> Score:
    """Adjusted Rand index of clusters against classes: 1 where they agree, about 0 by chance."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    clusters = fitted.predict(x)
    others = {"normalised mutual information": float(normalized_mutual_info_score(y, clusters))}
    return Score(float(adjusted_rand_score(y, clusters)), others=others)


def anomaly_auc(fitted: "Pipeline", x: np.ndarray, y: np.ndarray) -> Score:
    """Area under the ROC curve that tells an unseen class from the others, a mean over classes."""
    from sklearn.metrics import roc_auc_score

    areas = [
        roc_auc_score(y == label, scores)
        for label, scores in fitted[-1].anomaly_scores(_before(fitted, x)).items()
        if 0 < np.sum(y == label) < len(y)
    ]
    if not areas:
        return Score(math.nan)
    others = {"lowest of a class": float(min(areas)), "highest": float(max(areas))}
    return Score(float(np.mean(areas)), others=others)


def _before(fitted: "Pipeline", x: np.ndarray) -> np.ndarray:
    """Returns what the last step of a pipeline is given."""
    for _, step in fitted.steps[:-1]:
        x = step.transform(x)
    return x


def _standard_error(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


@dataclass(frozen=True)
class Measure:
    """A row of the table.

    Attributes:
        label: In tables and pictures.
        score: Takes a fitted pipeline, inputs and targets.
        higher_is_better: Whether it is.
    """

    label: str
    score: Callable[["Pipeline", np.ndarray, np.ndarray], Score] = field(repr=False)
    higher_is_better: bool = True


MEASURES = {
    "accuracy": Measure("accuracy", accuracy),
    "error": Measure("error", error, higher_is_better=False),
    "variance_kept": Measure(f"variance kept by {COMPONENTS} components", variance_kept),
    "rand_index": Measure("adjusted Rand index", rand_index),
    "anomaly_auc": Measure("AUC of an unseen class", anomaly_auc),
}
