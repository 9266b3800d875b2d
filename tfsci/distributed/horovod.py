"""Horovod for Keras 3: one process a replica, gradients averaged by all-reduce.

Horovod's own Keras module knows Keras 2 alone (horovod issue 4290). What Keras 3 needs is less:
an optimizer that averages the gradients before it uses them, and one broadcast at the start.
"""

import os
import types
from pathlib import Path

import numpy as np

from tfsci.distributed import averaging, batch_norm, rendezvous
from tfsci.distributed.cores import bind, cores_of_rank
from tfsci.distributed.devices import set_devices
from tfsci.distributed.launch import Launch
from tfsci.distributed.requests import SharedRequests
from tfsci.distributed.strategy import Strategy, is_seed, seed_of_replica

COMPRESSIONS = ("none", "fp16")


class Horovod(SharedRequests, Strategy):
    """One process a replica, each with one GPU or its share of the cores.

    Args:
        launch: This process's place in the job.
        compression: ``"fp16"`` halves what the gradients weigh on the wire; worth it on a slow
            network between GPUs, slower on a CPU.
        reduction: ``"adasum"`` combines gradients by Adasum instead of averaging them, which
            needs a Horovod with MPI and 2, 4, 8 … ranks; the curve is then another one.
        timeline: Whether `start_timeline` is going to be called.

    Raises:
        ModuleNotFoundError: Horovod is not installed.
        ValueError: The launcher's and Horovod's number of processes differ, or a node has more
            local ranks than GPUs.
        OSError: The ranks did not find each other.
    """

    name = "horovod"
    compiles = False  # Horovod's operations are not XLA's

    def __init__(
        self,
        launch: Launch,
        compression: str = "none",
        reduction: str = "average",
        timeline: bool = False,
    ):
        if compression not in COMPRESSIONS:
            raise ValueError(
                f"--compression {compression}: expected one of {', '.join(COMPRESSIONS)}"
            )
        super().__init__()
        cores = cores_of_rank(launch)
        bind(cores)
        self._hvd = hvd = _import_horovod()
        if rendezvous.is_needed(launch, hvd.mpi_built()):
            rendezvous.prepare(launch)
        # Tensors that are fused as they come are added up in an order that changes from run to run.
        os.environ.setdefault("HOROVOD_DISABLE_GROUP_FUSION", "1")
        if timeline:
            os.environ.setdefault("HOROVOD_TIMELINE", "DYNAMIC")
        hvd.init()
        self.rank, self.world_size = hvd.rank(), hvd.size()
        if self.world_size != launch.world_size:
            raise ValueError(
                f"{launch.launcher} started {launch.world_size} processes but Horovod sees "
                f"{self.world_size}: it was built for another MPI; set HOROVOD_CONTROLLER=gloo to "
                f"do without, or use 'horovodrun -np {launch.world_size} …' (see 'tfsci doctor')"
            )
        self._adasum = reduction == "adasum"
        if self._adasum and (_cpu_transport(hvd) != "MPI" or self.world_size & self.world_size - 1):
            raise ValueError(
                f"--reduction adasum: needs Horovod over MPI and 2, 4, 8 … ranks, but there are "
                f"{self.world_size} over {_cpu_transport(hvd)}; use --reduction average"
            )
        self._compression = getattr(hvd.Compression, compression)
        self._threads = len(cores)
        self._gpus = set_devices(launch, self._threads)

    def describe(self) -> str:
        """Returns the number of ranks, the transport and the threads of each."""
        nccl = self._gpus and self._hvd.nccl_built()
        transport = "NCCL" if nccl else _cpu_transport(self._hvd)
        threads = f"{self._threads} thread{'s' * (self._threads > 1)} each"
        ranks = f"{self.world_size} rank{'s' * (self.world_size > 1)}"
        return f"{ranks} (Horovod, {transport}), {threads}"

    def start_timeline(self, path: Path) -> None:
        """Writes what Horovod does from now on, for chrome://tracing; the chief calls it."""
        self._hvd.start_timeline(str(path), mark_cycles=True)

    def stop_timeline(self) -> None:
        """Ends the file that `start_timeline` began; the chief calls it, while nothing goes on."""
        self._hvd.stop_timeline()

    def average(self, gradients: list) -> list:
        """Returns gradients averaged over the ranks."""
        return averaging.average(self._hvd, gradients, self._compression, self._adasum)

    def average_gradients(self, model, batches=None) -> None:
        """Averages in the optimizer, while back-propagation goes on, see `averaging`.

        The optimizer sees the gradient of the global batch before it does anything with it, so
        clipping, weight decay, loss scaling and moving averages mean what they mean in one
        process. With gradient accumulation the micro-batches are summed locally and the sum is
        averaged, where Keras clips it: one exchange an update. Only methods of this one object
        change, so that a saved model names a plain Keras optimizer.
        """
        hvd, optimizer = self._hvd, model.optimizer
        model.jit_compile = self.compiles
        if {"apply", "_clip_gradients"} & set(vars(optimizer)):
            return  # done for an earlier training
        import tensorflow as tf

        self._make_requests()

        def average_all(gradients):
            averaged = self.average(gradients)
            # They wait for the gradient that is ready last, so as to travel with it.
            last = [getattr(g, "values", g) for g in gradients if g is not None][:1]
            with tf.control_dependencies(last):
                self._exchange_requests(lambda wishes: hvd.allreduce(wishes, name="requests"))
            return averaged

        if optimizer.gradient_accumulation_steps:
            clip = optimizer._clip_gradients
            optimizer._clip_gradients = lambda grads: clip(average_all(list(grads)))
            return
        apply = type(optimizer).apply

        def averaged_apply(self, grads, trainable_variables=None):
            return apply(self, average_all(list(grads)), trainable_variables)

        optimizer.apply = types.MethodType(averaged_apply, optimizer)

    def synchronize_batch_norm(self, model) -> int:
        """Adds up over the ranks."""

        def over_ranks(values, name):
            return self._hvd.allreduce(values, name=name, op=self._hvd.Sum)

        return batch_norm.synchronize(model, over_ranks)

    def broadcast(self, model) -> None:
        """Gives every rank the chief's variables, then a seed of its own."""
        self._broadcast_variables([*model.variables, *model.optimizer.variables])
        for variable in model.non_trainable_variables:
            if is_seed(variable):
                variable.assign(seed_of_replica(variable.numpy(), self.rank))

    def _broadcast_variables(self, variables) -> None:
        # As hvd.broadcast_variables does, which warns of retracing when a second model trains.
        import tensorflow as tf

        @tf.function
        def broadcast_all():
            for i, variable in enumerate(variables):
                variable.assign(self._hvd.broadcast(variable.value, 0, name=f"variable/{i}"))

        broadcast_all.get_concrete_function()()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Returns the sum over the ranks of a float64 vector."""
        values = np.asarray(values, "float64")
        return self._hvd.allreduce(values, op=self._hvd.Sum, name="sum").numpy()

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return self.sum(values) / self.world_size

    def _concatenate(self, values: np.ndarray) -> np.ndarray:
        return self._hvd.allgather(values, name="gather").numpy()


def _import_horovod():
    try:
        import horovod.tensorflow as hvd
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "horovod":
            raise
        raise ModuleNotFoundError(
            "Horovod is not installed in this environment; install it with "
            "'tfsci install-horovod', or train in one process with --strategy single"
        ) from error
    except ImportError as error:  # built for another TensorFlow, or MPI's library is missing
        raise ImportError(
            f"Horovod does not load ({str(error).splitlines()[0]}); build it anew for this "
            "TensorFlow with 'tfsci install-horovod'"
        ) from error
    return hvd


def _cpu_transport(hvd) -> str:
    operations = os.environ.get("HOROVOD_CPU_OPERATIONS", "").upper()
    return "MPI" if hvd.mpi_enabled() and operations != "GLOO" else "Gloo"
