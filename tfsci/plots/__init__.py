"""Pictures of results: numbers in, matplotlib Axes out."""

from tfsci.plots.baselines import comparison, save_comparison
from tfsci.plots.colours import BLUE, GREY, ORANGE
from tfsci.plots.curves import learning_curve, save_curves
from tfsci.plots.plan import save_plan, save_scaling, save_search
from tfsci.plots.samples import contact_sheet

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "comparison",
    "contact_sheet",
    "learning_curve",
    "save_comparison",
    "save_curves",
    "save_plan",
    "save_scaling",
    "save_search",
]
