"""What scikit-learn reaches on the same data, with a few lines and in seconds."""

from tfsci.baselines.fitting import check, compare
from tfsci.baselines.problem import Problem, load
from tfsci.baselines.results import Comparison, Result
from tfsci.baselines.table import BASELINES, Baseline, choose, pipeline

__all__ = [
    "BASELINES", "Baseline", "Comparison", "Problem", "Result",
    "check", "choose", "compare", "load", "pipeline",
]  # fmt: skip
