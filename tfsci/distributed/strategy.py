"""How replicas share one training: the protocol, and its case of one process."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from tfsci.distributed.launch import Launch, detect

if TYPE_CHECKING:
    import keras

STRATEGIES = ("auto", "single", "horovod")


class Strategy:
    """Training in one process; the other strategies override what differs.

    Attributes:
        name: What ``--strategy`` calls it.
        rank: This process among all, 0 … world_size − 1.
        world_size: Number of replicas; the global batch is cut into as many.
        compiles: Whether XLA may compile the whole training step.
    """

    name = "single"
    rank = 0
    world_size = 1
    compiles = True

    @property
    def num_shards(self) -> int:
        """Number of processes, over which the data is cut."""
        return self.world_size

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    def describe(self) -> str:
        """Returns the strategy in a few words, for the first line of a run."""
        return "1 process"

    def scope(self) -> AbstractContextManager:
        """Returns the context in which model and optimizer are made."""
        return nullcontext()

    def average_gradients(self, model: "keras.Model") -> None:
        """Makes the optimizer of a compiled model use the average gradient of all replicas."""

    def broadcast(self, model: "keras.Model") -> None:
        """Gives every replica the chief's weights, optimizer state and seeds.

        Seeds are then moved apart, so that each replica draws dropout masks of its own; the
        chief's stay what they are in one process.
        """

    def broadcast_value(self, value: object) -> object:
        """Returns the chief's value on every rank; each rank waits for it."""
        return value

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Returns the sum over the processes of a float64 vector, on every process."""
        return values


def choose(name: str = "auto", launch: Launch | None = None, **options) -> Strategy:
    """Starts a strategy.

    Args:
        name: One of `STRATEGIES`; ``"auto"`` takes Horovod under a launcher and one process
            otherwise.
        launch: This process's place in the job, as `launch.detect` finds it by default.
        **options: Passed to the strategy, see `tfsci.distributed.horovod.Horovod`.

    Returns:
        The strategy, started: threads and GPU are set, so TensorFlow must not have run before.

    Raises:
        ValueError: The name is unknown, or the launch does not fit the strategy.
        ModuleNotFoundError: Horovod is needed and not installed.
    """
    launch = launch or detect()
    if name not in STRATEGIES:
        raise ValueError(f"--strategy {name}: expected one of {', '.join(STRATEGIES)}")
    if name == "auto":
        name = "single" if launch.world_size == 1 else "horovod"
    if name == "single" and launch.world_size > 1:
        raise ValueError(
            f"--strategy single: {launch.launcher} started {launch.world_size} processes, which "
            "would each train alone; start one, or use --strategy horovod"
        )
    if name == "horovod":
        from tfsci.distributed.horovod import Horovod

        return Horovod(launch, **options)
    return Strategy()
