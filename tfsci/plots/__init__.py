"""Pictures of results: numbers in, matplotlib Axes out."""

from tfsci.plots.bars import grouped_bars
from tfsci.plots.baselines import comparison, save_comparison
from tfsci.plots.colours import BLUE, GREY, ORANGE
from tfsci.plots.curves import learning_curve, save_curves
from tfsci.plots.pictures import show_pictures
from tfsci.plots.plan import save_plan, save_plan_scaling, save_search
from tfsci.plots.roofline import roofline, save_roofline
from tfsci.plots.samples import contact_sheet
from tfsci.plots.scaling import save_scaling, scaling_curve

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "comparison",
    "contact_sheet",
    "grouped_bars",
    "learning_curve",
    "roofline",
    "save_comparison",
    "save_curves",
    "save_plan",
    "save_plan_scaling",
    "save_roofline",
    "save_scaling",
    "save_search",
    "scaling_curve",
    "show_pictures",
]
