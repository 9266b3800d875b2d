"""How replicas share one training: the protocol, and its case of one process."""

import importlib.util
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from tfsci import startup
from tfsci.distributed import alone, batch_norm
from tfsci.distributed.cores import as_ranges
from tfsci.distributed.launch import Launch, detect

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tfsci.data.pipeline import Batches

STRATEGIES = ("auto", "single", "mirrored", "multiworker", "horovod")

# What a process may ask of all: to save, or to save and stop, with the reason.
REQUESTS = ("save", "SIGINT", "SIGTERM", "SIGUSR1", "time limit")

# An odd number near 2³²/φ: seeds of neighbouring replicas land far apart.
_SEED_STRIDE = 0x9E3779B1


def seed_of_replica(state: np.ndarray, replica: int) -> np.ndarray:
    """Returns a seed generator's state for one replica; the first one keeps it as it is."""
    seed, *rest = np.asarray(state).astype(np.uint64)
    return np.array([(int(seed) + replica * _SEED_STRIDE) % 2**32, *rest], state.dtype)


def is_seed(variable: "keras.Variable") -> bool:
    """Whether a variable is the state of a seed generator, which each replica has its own of."""
    return variable.path.endswith("seed_generator_state")


def ranks_as_text(ranks: Sequence[int]) -> str:
    """Returns ranks as a message names them.

    >>> ranks_as_text([1, 2, 3, 7])
    'ranks 1-3, 7'
    """
    numbers = as_ranges(ranks).replace(",", ", ")
    return f"rank{'s' * (len(ranks) > 1)} {numbers}"


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
    reads_global_metrics = False  # whether a metric's value is over all processes already

    def __init__(self):
        self._asked = set()

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

    def distribute(self, dataset: "tf.data.Dataset"):
        """Returns what `model.fit` and `model.evaluate` take for a shard's dataset."""
        return dataset

    def average_gradients(self, model: "keras.Model", batches: "Batches | None" = None) -> None:
        """Makes the optimizer of a compiled model use the average gradient of all replicas.

        Args:
            model: A compiled model.
            batches: What it is to be trained on, as an example.
        """

    def synchronize_batch_norm(self, model: "keras.Model") -> int:
        """Makes batch normalisation compute mean and variance over the global batch.

        Every process calls it before the first step. In one process it does so anyway.

        Args:
            model: A built model.

        Returns:
            Number of its batch normalisation layers.
        """
        return len(batch_norm.layers(model))

    def average_statistics(self, model: "keras.Model") -> None:
        """Gives every replica the average of what its layers gather for themselves.

        Where each has a moving mean and variance of its own it has another model to evaluate, and
        one of them is saved. Every process calls it before either; where a model has no such
        variables nothing is exchanged.
        """
        if self.num_shards > 1:
            batch_norm.average(batch_norm.moving_statistics(model), self._mean)

    def broadcast(self, model: "keras.Model") -> None:
        """Gives every replica the chief's weights, optimizer state and seeds.

        Seeds are then moved apart, so that each replica draws dropout masks of its own; the
        chief's stay what they are in one process.
        """

    def broadcast_value(self, value: object) -> object:
        """Returns the chief's value on every process; each waits for it. JSON must hold it."""
        return self.gather(value if self.is_chief else None)[0]

    def ask(self, *requests: str) -> None:
        """Asks all processes for something; they hear of it together, see `asked`.

        Args:
            *requests: Out of `REQUESTS`.
        """
        self._asked |= set(requests)

    def asked(self) -> set[str]:
        """Returns what any process has asked for, alike on every process after every step."""
        return set(self._asked)

    def answered(self) -> None:
        """Forgets what was asked; every process calls it alike."""
        self._asked = set()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Returns the sum over the processes of a float64 vector, on every process."""
        return values

    def gather(self, value: object) -> list:
        """Returns every process's value in the order of their ranks, on every process.

        Args:
            value: What JSON can hold; it may differ in size.
        """
        # As lines of one byte string: nothing from another process is unpickled.
        line = np.frombuffer(json.dumps(value).encode() + b"\n", np.uint8)
        return [json.loads(each) for each in self._concatenate(line).tobytes().splitlines()]

    def _mean(self, values: np.ndarray) -> np.ndarray:
        """Returns the processes' average of a float64 vector, on every process."""
        return values

    def _concatenate(self, values: np.ndarray) -> np.ndarray:
        """Returns the processes' uint8 vectors, one behind the other, on every process."""
        return values


def choose(
    name: str = "auto",
    launch: Launch | None = None,
    replicas: int | None = None,
    **options,
) -> Strategy:
    """Starts a strategy.

    Args:
        name: One of `STRATEGIES`; ``"auto"`` takes Horovod under a launcher (multiworker where it
            is not installed), mirrored replicas where there are several GPUs or `replicas` are
            asked for, and one process otherwise.
        launch: This process's place in the job, as `launch.detect` finds it by default.
        replicas: Devices of mirrored replicas; all GPUs by default.
        **options: Passed to Horovod, see `tfsci.distributed.horovod.Horovod`.

    Returns:
        The strategy, started: threads and GPU are set, so TensorFlow must not have run before.

    Raises:
        ValueError: The name is unknown, the launch does not fit the strategy, or several processes
            believe that they are alone.
        ModuleNotFoundError: Horovod is needed and not installed.
    """
    launch = launch or detect()
    if name not in STRATEGIES:
        raise ValueError(f"--strategy {name}: expected one of {', '.join(STRATEGIES)}")
    if launch.launcher == "none":
        alone.check()
    startup.import_tensorflow()
    if name == "auto":
        name = _automatic(launch, replicas)
    if (replicas or 1) > 1 and name != "mirrored":
        raise ValueError(f"--replicas {replicas}: is for --strategy mirrored, not {name}")
    if name == "single" and launch.world_size > 1:
        raise ValueError(
            f"--strategy single: {launch.launcher} started {launch.world_size} processes, which "
            "would each train alone; start one, or use --strategy horovod"
        )
    if name == "horovod":
        from tfsci.distributed.horovod import Horovod

        return Horovod(launch, **options)
    if name == "mirrored":
        from tfsci.distributed.mirrored import Mirrored

        return Mirrored(launch, replicas)
    if name == "multiworker":
        from tfsci.distributed.multiworker import MultiWorker

        return MultiWorker(launch)
    return Strategy()


def _automatic(launch: Launch, replicas: int | None) -> str:
    if launch.world_size > 1:
        return "horovod" if importlib.util.find_spec("horovod") else "multiworker"
    if replicas is None:
        import tensorflow as tf

        replicas = len(tf.config.list_physical_devices("GPU"))
    return "mirrored" if replicas > 1 else "single"
