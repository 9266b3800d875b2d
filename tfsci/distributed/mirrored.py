"""One process that drives all GPUs of a machine, or several logical CPU devices."""

import types
from contextlib import AbstractContextManager

import numpy as np

from tfsci.distributed import batch_norm, reduction
from tfsci.distributed.launch import Launch
from tfsci.distributed.strategy import Strategy, is_seed, seed_of_replica


class Mirrored(Strategy):
    """A replica a device: TensorFlow cuts each batch over them and adds up their gradients.

    Args:
        launch: This process's place in the job; it must be alone.
        replicas: Number of devices; all GPUs by default. Without GPUs the CPU counts as so many
            devices, which shows that a script is right, and is no faster.

    Raises:
        ValueError: Several processes were started, or there are fewer GPUs than replicas.
    """

    name = "mirrored"
    compiles = False  # Keras runs the step of each replica outside XLA's reach
    num_shards = 1

    def __init__(self, launch: Launch, replicas: int | None = None):
        super().__init__()
        import tensorflow as tf

        if launch.world_size > 1:
            raise ValueError(
                f"--strategy mirrored: one process drives all devices, but {launch.launcher} "
                f"started {launch.world_size}; start one, or use --strategy horovod"
            )
        gpus = tf.config.list_physical_devices("GPU")
        if gpus and (replicas or 1) > len(gpus):
            raise ValueError(
                f"--replicas {replicas}: this machine shows {len(gpus)} GPU(s); use at most "
                f"{len(gpus)}, or hide them with CUDA_VISIBLE_DEVICES= to use the CPU"
            )
        self.world_size = replicas or len(gpus) or 1
        if gpus:
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
        else:
            (cpu,) = tf.config.list_physical_devices("CPU")
            logical = [tf.config.LogicalDeviceConfiguration()] * self.world_size
            tf.config.set_logical_device_configuration(cpu, logical)
        self._kind = "GPU" if gpus else "CPU"
        devices = [f"{self._kind}:{i}" for i in range(self.world_size)]
        self._strategy = tf.distribute.MirroredStrategy(devices)

    def describe(self) -> str:
        """Returns the number of replicas and what they are."""
        devices = f"{self._kind}s" if self._kind == "GPU" else "logical CPU devices"
        return f"{self.world_size} mirrored replicas ({devices})"

    def scope(self) -> AbstractContextManager:
        """Returns the context in which variables have a copy on each device."""
        return self._strategy.scope()

    def average_gradients(self, model, batches=None) -> None:
        """Adds up before clipping and loss scaling, see `reduction`."""
        optimizer = model.optimizer
        if "apply" in vars(optimizer):
            return  # done for an earlier training
        reduction.leave_to_caller(optimizer)
        apply = type(optimizer).apply

        def summed_apply(self, grads, trainable_variables=None):
            return apply(self, reduction.add_up(grads), trainable_variables)

        optimizer.apply = types.MethodType(summed_apply, optimizer)

    def synchronize_batch_norm(self, model) -> int:
        """Adds up over the replicas."""
        return batch_norm.synchronize(model, batch_norm.over_replicas)

    def average_statistics(self, model) -> None:
        """Gives every replica the average of the copies that each updated for itself."""
        for variable in batch_norm.moving_statistics(model):
            copies = [copy.numpy() for copy in variable.value.values]
            variable.assign(np.mean(copies, 0, "float64").astype(copies[0].dtype))

    def broadcast(self, model) -> None:
        """Moves the replicas' seeds apart; all else that they hold is equal from the start."""
        for variable in model.non_trainable_variables:
            if is_seed(variable):
                for replica, copy in enumerate(variable.value.values):
                    copy.assign(seed_of_replica(copy.numpy(), replica))
