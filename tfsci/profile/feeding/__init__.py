"""A tf.data pipeline by itself: how fast it is, and what each stage costs."""

from tfsci.profile.feeding.measuring import Feeding, Stage, measure, needed

__all__ = ["Feeding", "Stage", "measure", "needed"]
