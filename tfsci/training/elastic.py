"""A training that goes on with the ranks that are left, and takes in new ones.

Every rank keeps the state of the training in memory, a few times an epoch. When ranks go or come,
all start a round anew from there: model, shards and history are made as `--resume` makes them, for
the number of ranks that there are now, so the global batches stay the same.
"""

import os
import time
from collections.abc import Callable

import numpy as np

from tfsci.distributed.membership import Membership, RanksChange, check_launcher, is_loss
from tfsci.distributed.strategy import Strategy, is_seed, seed_of_replica
from tfsci.training.checkpoint import Position, Writer
from tfsci.training.run_folder import RunFolder


class Elastic:
    """What a process keeps from round to round.

    Args:
        batch_size: Of the global batch.
        scale_lr: How the learning rate grows with the number of ranks: not at all.

    Raises:
        ValueError: The launcher does not fit, or the rate grows.

    Attributes:
        began: When the first round did, by `time.monotonic`.
        strategy: Of the process, None before the first round.
        output: The run folder, the same on all ranks.
        commits: The last two steps at which all ranks kept their state, oldest first, with what
            they kept. Two, as a rank may die when some have the newer one and some do not.
    """

    def __init__(self, batch_size: int, scale_lr: str = "none"):
        check_launcher()
        if scale_lr != "none":
            raise ValueError(
                f"--scale-lr {scale_lr}: under --elastic the number of ranks changes and the "
                "batch and its learning rate do not; leave it out"
            )
        # Those that are there wait for a new one as long as it takes to import TensorFlow there.
        os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", "300")
        self._batch_size, self.began = batch_size, time.monotonic()
        self.strategy = self.output = None
        self.commits = {}
        self._membership = None

    def run(self, train: Callable[[], object]) -> object:
        """Calls `train` until it returns, again after each change of the ranks."""
        while True:
            try:
                return train()
            except Exception as error:
                if self._membership is None or not (
                    isinstance(error, RanksChange) or is_loss(error)
                ):
                    raise
            self._membership.renew()

    def begin(self, strategy: Strategy, output: str) -> str:
        """Starts a round; every process calls it. Returns the run folder, the chief's for all.

        Raises:
            ValueError: The strategy is not Horovod's.
        """
        import keras

        keras.utils.clear_session()  # new ranks name their layers from the start
        if self._membership is None:
            if strategy.name != "horovod":
                raise ValueError(f"--elastic: is for --strategy horovod, not {strategy.name}")
            self._membership = Membership(strategy)
        self.strategy = strategy
        self.output = strategy.broadcast_value(self.output or output)
        return self.output

    def keep(self, model, position: Position) -> None:
        """Keeps the state of a training; raises `RanksChange` where there are new hosts."""
        values = []
        for variable in _variables(model):
            value = np.array(variable.numpy())
            # As the chief has it, whose seeds tell the others theirs.
            values.append(
                seed_of_replica(value, -self.strategy.rank) if is_seed(variable) else value
            )
        self.commits[position.step] = values, position
        for step in sorted(self.commits)[:-2]:
            del self.commits[step]
        self._membership.check()

    def restore(self, model, folder: RunFolder | None) -> Position | None:
        """Loads on the chief what all that were there before have kept.

        Args:
            model: Compiled and built anew.
            folder: The chief's, None elsewhere.

        Returns:
            How far the training was, on every process; None where nobody has kept anything.

        Raises:
            ValueError: The batch can't be cut into as many parts as there are ranks now; what was
                kept is on disk.
        """
        kept = self.strategy.gather(sorted(self.commits))
        if not any(kept):
            return None
        step = min(max(steps) for steps in kept if steps)
        position = None
        if self.strategy.is_chief:
            if step not in self.commits:
                raise RuntimeError("Horovod made a new rank the first, which has no state")
            values, position = self.commits[step]
            for variable, value in zip(_variables(model), values, strict=True):
                variable.assign(value)
            if self._batch_size % self.strategy.world_size:
                writer = Writer(folder.checkpoints)
                writer.save(model, position)
                writer.wait()
        self.commits = {s: kept for s, kept in self.commits.items() if s <= step}
        position = Position(**self.strategy.broadcast_value(position and vars(position)))
        if self._batch_size % self.strategy.world_size:
            raise ValueError(
                f"--batch-size {self._batch_size}: can't be cut into {self.strategy.world_size} "
                f"equal parts, one for each rank that there is now; saved after step {step}, go on "
                f"with --output {self.output} --resume on another number of ranks"
            )
        return position


def _variables(model) -> list:
    return [*model.variables, *model.optimizer.variables]
