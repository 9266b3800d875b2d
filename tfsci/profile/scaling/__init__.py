"""Runs at several world sizes: how well more ranks pay, and what they spend on each other."""

from tfsci.profile.scaling.analysis import Scaling, Size, analyse, best
from tfsci.profile.scaling.points import Point, read

__all__ = ["Point", "Scaling", "Size", "analyse", "best", "read"]
