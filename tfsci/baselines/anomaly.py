"""Anomalies that nobody has seen before: each class in turn is what the others are not."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest


class LeaveOneClassOut(BaseEstimator):
    """An isolation forest (Liu, Ting & Zhou, ICDM 2008) for each class, fitted to all the others.

    A forest is told no labels; they only say which class is kept from it.

    Args:
        n_estimators: Trees of each forest.
        most_classes: Only so many classes are kept out, those with the most samples.
        random_state: Seed of the forests.
    """

    def __init__(self, n_estimators: int = 50, most_classes: int = 10, random_state: int = 0):
        self.n_estimators = n_estimators
        self.most_classes = most_classes
        self.random_state = random_state

    def fit(self, x: np.ndarray, y: np.ndarray) -> "LeaveOneClassOut":
        """Fits a forest to the samples of all classes but one, for each.

        Args:
            x: Inputs, shape (samples, inputs).
            y: Classes, shape (samples,).
        """
        classes, counts = np.unique(y, return_counts=True)
        kept_out = classes[np.argsort(-counts, kind="stable")][: self.most_classes]
        self.forests_ = {
            int(label): IsolationForest(
                n_estimators=self.n_estimators, random_state=self.random_state
            ).fit(x[y != label])
            for label in kept_out
        }
        return self

    def anomaly_scores(self, x: np.ndarray) -> dict[int, np.ndarray]:
        """Returns, for each class that was kept out, how anomalous each sample is."""
        return {label: -forest.score_samples(x) for label, forest in self.forests_.items()}
