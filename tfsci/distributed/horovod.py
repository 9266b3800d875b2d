"""Horovod for Keras 3: one process a replica, gradients averaged by all-reduce.

Horovod's own Keras module knows Keras 2 alone (horovod issue 4290). What Keras 3 needs is less:
an optimizer that averages the gradients before it uses them, and one broadcast at the start.
"""

import os
import types

import numpy as np

from tfsci.distributed import rendezvous
from tfsci.distributed.cores import bind, cores_of_rank
from tfsci.distributed.devices import set_devices
from tfsci.distributed.launch import Launch
from tfsci.distributed.strategy import Strategy, seed_of_replica

COMPRESSIONS = ("none", "fp16")


class Horovod(Strategy):
    """One process a replica, each with one GPU or its share of the cores.

    Args:
        launch: This process's place in the job.
        compression: ``"fp16"`` halves what the gradients weigh on the wire; worth it on a slow
            network between GPUs, slower on a CPU.

    Raises:
        ModuleNotFoundError: Horovod is not installed.
        ValueError: The launcher's and Horovod's number of processes differ, or a node has more
            local ranks than GPUs.
        OSError: The ranks did not find each other.
    """

    name = "horovod"
    compiles = False  # Horovod's operations are not XLA's

    def __init__(self, launch: Launch, compression: str = "none"):
        if compression not in COMPRESSIONS:
            raise ValueError(
                f"--compression {compression}: expected one of {', '.join(COMPRESSIONS)}"
            )
        cores = cores_of_rank(launch)
        bind(cores)
        self._hvd = hvd = _import_horovod()
        if rendezvous.is_needed(launch, hvd.mpi_built()):
            rendezvous.prepare(launch)
        hvd.init()
        self.rank, self.world_size = hvd.rank(), hvd.size()
        if self.world_size != launch.world_size:
            raise ValueError(
                f"{launch.launcher} started {launch.world_size} processes but Horovod sees "
                f"{self.world_size}: it was built for another MPI; set HOROVOD_CONTROLLER=gloo to "
                f"do without, or use 'horovodrun -np {launch.world_size} …' (see 'tfsci doctor')"
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

    def average(self, gradient, name: str):
        """Returns a gradient averaged over the ranks, by whichever exchange moves less.

        Mostly an all-reduce. The gradient of a dense kernel, though, is a product XᵀE of the
        layer's inputs X (B, in) and errors E (B, out): for a wide layer and a small batch it is
        less to gather X and E from all ranks and to multiply them there than to add up products
        of shape (in, out). The sum is the same (sufficient factor broadcasting, Xie et al. 2016,
        arXiv 1511.08486).

        Args:
            gradient: A tensor, or `tf.IndexedSlices` (of an embedding), which is gathered.
            name: The same on every rank for the same gradient, and no other's.
        """
        hvd = self._hvd
        factors = dense_factors(gradient) if self._compression is hvd.Compression.none else None
        if factors and gathering_moves_less(*(f.shape for f in factors), self.world_size):
            import tensorflow as tf

            x = hvd.allgather(factors[0], name=f"{name}/inputs")  # (n·B, in)
            e = hvd.allgather(factors[1] / self.world_size, name=f"{name}/errors")  # (n·B, out)
            return tf.matmul(x, e, transpose_a=True)
        return hvd.allreduce(gradient, name=name, op=hvd.Average, compression=self._compression)

    def average_gradients(self, model, batches=None) -> None:
        """Averages in the optimizer, each gradient as soon as back-propagation yields it.

        Horovod fuses those that are ready together and works while the rest is computed. The
        optimizer sees the gradient of the global batch before it does anything with it, so
        clipping, weight decay, loss scaling and moving averages mean what they mean in one
        process. With gradient accumulation the micro-batches are summed locally and the sum is
        averaged, where Keras clips it: one exchange an update. Only methods of this one object
        change, so that a saved model names a plain Keras optimizer.
        """
        model.jit_compile = self.compiles
        optimizer = model.optimizer
        if {"apply", "_clip_gradients"} & set(vars(optimizer)):
            return  # done for an earlier training

        def average_all(gradients, names):
            return [
                gradient if gradient is None else self.average(gradient, f"gradient/{i}/{name}")
                for i, (gradient, name) in enumerate(zip(gradients, names, strict=True))
            ]

        if optimizer.gradient_accumulation_steps:
            clip = optimizer._clip_gradients
            optimizer._clip_gradients = lambda grads: clip(average_all(grads, [""] * len(grads)))
            return
        apply = type(optimizer).apply

        def averaged_apply(self, grads, trainable_variables=None):
            grads = list(grads)
            variables = list(trainable_variables or model.trainable_variables)
            return apply(self, average_all(grads, [v.path for v in variables]), variables)

        optimizer.apply = types.MethodType(averaged_apply, optimizer)

    def broadcast(self, model) -> None:
        """Gives every rank the chief's variables, then a seed of its own."""
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._broadcast_variables([*model.variables, *model.optimizer.variables])
        for variable in model.non_trainable_variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign(seed_of_replica(variable.numpy(), self.rank))

    def _broadcast_variables(self, variables) -> None:
        # As hvd.broadcast_variables does, which warns of retracing when a second model trains.
        import tensorflow as tf

        @tf.function
        def broadcast_all():
            for i, variable in enumerate(variables):
                variable.assign(self._hvd.broadcast(variable.value, 0, name=f"variable/{i}"))

        broadcast_all.get_concrete_function()()

    def broadcast_value(self, value: object) -> object:
        """Returns the chief's value on every rank; each rank waits for it."""
        return self._hvd.broadcast_object(value, root_rank=0, name="value")

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Returns the sum over the ranks of a float64 vector."""
        values = np.asarray(values, "float64")
        return self._hvd.allreduce(values, op=self._hvd.Sum, name="sum").numpy()

    def _concatenate(self, values: np.ndarray) -> np.ndarray:
        return self._hvd.allgather(values, name="gather").numpy()


def dense_factors(gradient):
    """Returns X (B, in) and E (B, out) of a gradient that a graph computes as XᵀE, else None."""
    operation = getattr(gradient, "op", None)  # none in eager execution
    if getattr(operation, "type", None) != "MatMul":
        return None
    if not operation.get_attr("transpose_a") or operation.get_attr("transpose_b"):
        return None
    return tuple(operation.inputs)


def gathering_moves_less(x_shape, e_shape, world_size: int) -> bool:
    """Returns whether gathering the factors of a dense gradient beats adding up the gradients.

    A rank receives (n − 1)·B·(in + out) numbers instead of 2·(n − 1)/n·in·out, and multiplies n·B
    rows instead of B. Gathering is taken where it moves a quarter or less and the global batch
    has 256 rows at most, so that the products stay cheap beside what is not sent.

    Args:
        x_shape: Shape (B, in) of the inputs.
        e_shape: Shape (B, out) of the errors.
        world_size: Number of ranks, n.
    """
    (rows, inputs), outputs = x_shape, e_shape[1]
    if rows is None or rows * world_size > 256:
        return False
    return 2 * world_size * rows * (inputs + outputs) <= inputs * outputs


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
