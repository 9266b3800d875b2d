"""A job that fails now and then, and starts again from its last checkpoint."""

import math
from dataclasses import dataclass

import numpy as np

# 419 unexpected interruptions in 54 days on 16,384 H100 (arXiv 2407.21783, section 3.3.4): a device
# fails every so many hours.
DEVICE_MTBF_HOURS = 54 * 24 * 16384 / 419


@dataclass(frozen=True)
class Failures:
    """How a job fails.

    Attributes:
        mtbf: Seconds between failures of the job, on average; they come at random.
        checkpoint: Seconds that a checkpoint holds training up.
        restart: Seconds from a failure to training again.
    """

    mtbf: float
    checkpoint: float
    restart: float

    def __post_init__(self):
        if not (self.mtbf > 0 and self.checkpoint > 0 and self.restart >= 0):
            raise ValueError(
                f"failures: expected a time between failures and of a checkpoint above 0, and a "
                f"restart of 0 or more; got {self.mtbf}, {self.checkpoint} and {self.restart} s"
            )

    def young(self) -> float:
        """Returns the best seconds between checkpoints, about: √(2δM) (Young 1974)."""
        return math.sqrt(2 * self.checkpoint * self.mtbf)

    def daly(self) -> float:
        """Returns the same to a higher order (Daly 2006, equation 37)."""
        if self.checkpoint >= 2 * self.mtbf:
            return self.mtbf
        x = math.sqrt(self.checkpoint / 2 / self.mtbf)
        return self.young() * (1 + x / 3 + x * x / 9) - self.checkpoint

    def expected(self, work: float, interval: float) -> float:
        """Returns the seconds that a job takes on average (Daly 2006, equation 20).

        Args:
            work: Seconds of training without failures and checkpoints.
            interval: Seconds of training between checkpoints.
        """
        segment = math.expm1(min((interval + self.checkpoint) / self.mtbf, 700))
        return self.mtbf * math.exp(min(self.restart / self.mtbf, 700)) * segment * work / interval

    def goodput(self, interval: float) -> float:
        """Returns the share of the time that brings training on."""
        return 1 / self.expected(1.0, interval)

    def simulate(self, work: float, interval: float, runs: int = 1000, seed: int = 0) -> np.ndarray:
        """Returns the seconds that each of many jobs took, played failure by failure.

        Args:
            work: As in `expected`.
            interval: Likewise; work is done in whole ones.
            runs: How many jobs.
            seed: Of their failures.
        """
        random = np.random.default_rng(seed)
        segment = interval + self.checkpoint
        left = np.full(runs, math.ceil(work / interval - 1e-9))
        took, start = np.zeros(runs), np.zeros(runs)
        going = left > 0
        while going.any():
            until = random.exponential(self.mtbf, runs)
            whole = np.maximum((until - start) // segment, 0).astype(np.int64)
            ended = going & (whole >= left)
            took[ended] += start[ended] + left[ended] * segment
            failed = going & ~ended
            took[failed] += until[failed]
            left[failed] -= whole[failed]
            start[failed] = self.restart  # which may fail, too
            going = failed
        return took
