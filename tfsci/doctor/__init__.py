"""`tfsci doctor`: whether this machine can train, and the next step for what is missing.

The checks of `findings` judge what they are given; `examination` gathers it in one process,
`ranks` on every rank of a job.
"""

from tfsci.doctor.command import main

__all__ = ["main"]
