"""Training through plain `model.fit`, on one process or many, into a run folder."""

from tfsci.training.classifier import fit_classifier
from tfsci.training.fit import evaluate, fit
from tfsci.training.jit import choose_jit
from tfsci.training.run import run

__all__ = ["choose_jit", "evaluate", "fit", "fit_classifier", "run"]
