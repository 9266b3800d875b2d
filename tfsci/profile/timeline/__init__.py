"""Horovod's timeline: where the exchange of gradients goes, and what to change."""

from tfsci.profile.timeline.digest import Digest, Waiting, digest, span, steps

__all__ = ["Digest", "Waiting", "digest", "span", "steps"]
