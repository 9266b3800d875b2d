"""`MultiWorkerMirroredStrategy` for Keras 3: a replica a process, collectives of TensorFlow's own.

Keras' `fit` fails under it at two places (keras issue 20585), which are gone round here:

1. Before the first step Keras builds model and metrics from a batch that it reduces over the
   workers, which a batch can't be. They are built from this worker's own batch instead.
2. A step's logs, which are scalars, are averaged along their first axis. This worker's own are
   taken instead; the metrics that they come from are added up over the workers when they are read.

`tests/distributed/test_multiworker.py` tells when a Keras no longer needs this.
"""

import functools
import json
import os
import types
from contextlib import AbstractContextManager

import numpy as np

from tfsci.distributed import batch_norm, reduction
from tfsci.distributed.cores import bind, cores_of_rank
from tfsci.distributed.devices import set_devices
from tfsci.distributed.launch import Launch
from tfsci.distributed.nodes import cluster
from tfsci.distributed.requests import SharedRequests
from tfsci.distributed.strategy import Strategy, is_seed, seed_of_replica


class MultiWorker(SharedRequests, Strategy):
    """One process a replica; every worker reads its own share of each batch.

    Args:
        launch: This process's place in the job.

    Raises:
        ValueError: There is one process alone, or the launcher does not tell where the others are.
    """

    name = "multiworker"
    compiles = False
    reads_global_metrics = True

    def __init__(self, launch: Launch):
        if launch.world_size == 1:
            raise ValueError(
                "--strategy multiworker: needs several processes; start them with srun, mpiexec or "
                "torchrun, or set TF_CONFIG, or use --strategy single"
            )
        super().__init__()
        cores = cores_of_rank(launch)
        bind(cores)
        os.environ["TF_CONFIG"] = json.dumps(cluster())
        gpus = set_devices(launch, len(cores))
        import tensorflow as tf

        kinds = tf.distribute.experimental.CommunicationImplementation
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=kinds.NCCL if gpus else kinds.RING
        )
        self.rank, self.world_size = launch.rank, launch.world_size
        self._transport = "NCCL" if gpus else "ring"
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)

    def describe(self) -> str:
        """Returns the number of workers and how they exchange."""
        return f"{self.world_size} workers (tf.distribute, {self._transport})"

    def scope(self) -> AbstractContextManager:
        """Returns the context in which variables are the same on every worker."""
        return self._strategy.scope()

    def distribute(self, dataset):
        """Returns this worker's dataset as TensorFlow wants it, neither cut nor dealt out anew."""
        return self._strategy.distribute_datasets_from_function(lambda _: dataset)

    def average_gradients(self, model, batches) -> None:
        """Goes round the two faults; adds up before clipping and loss scaling, see `reduction`."""
        import keras.src.backend.tensorflow.trainer as trainer

        def build(self, iterator=None, data_batch=None):
            batch = next(iter(batches.dataset))
            symbolic = super(trainer.TensorFlowTrainer, self)._symbolic_build
            symbolic(data_batch=batch)

        model._maybe_symbolic_build = types.MethodType(build, model)
        if not hasattr(trainer.reduce_per_replica, "mended"):
            trainer.reduce_per_replica = _local(trainer.reduce_per_replica)

        import tensorflow as tf

        self._make_requests()

        def add(wishes):
            return tf.distribute.get_replica_context().all_reduce("SUM", wishes)

        reduction.leave_to_caller(model.optimizer)
        apply = type(model.optimizer).apply

        def asking_apply(self_, grads, trainable_variables=None):
            self._exchange_requests(add)
            return apply(self_, reduction.add_up(grads), trainable_variables)

        model.optimizer.apply = types.MethodType(asking_apply, model.optimizer)

    def synchronize_batch_norm(self, model) -> int:
        """Adds up over the workers."""
        return batch_norm.synchronize(model, batch_norm.over_replicas)

    def broadcast(self, model) -> None:
        """Gives every worker the chief's variables, then a seed of its own."""
        variables = [*model.variables, *model.optimizer.variables]
        values = [variable.numpy() for variable in variables]
        for variable, value in zip(variables, self._of_chief(values), strict=True):
            variable.assign(value)
        for variable in model.non_trainable_variables:
            if is_seed(variable):
                variable.assign(seed_of_replica(variable.numpy(), self.rank))

    def _concatenate(self, values: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        # A ring adds up and gathers 32 bits at least.
        @tf.function
        def gather():
            here = self._strategy.run(lambda: tf.constant(values, tf.int32))
            return self._strategy.gather(here, axis=0)

        return gather.get_concrete_function()().numpy().astype(np.uint8)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return self._add([values])[0] / self.world_size

    def _of_chief(self, values: list[np.ndarray]) -> list[np.ndarray]:
        sent = [value if self.is_chief else np.zeros_like(value) for value in values]
        # What a ring adds up is at least 32 bits wide; 64 hold every integer and float here.
        totals = self._add([v.astype("float64" if v.dtype.kind == "f" else "int64") for v in sent])
        return [t.astype(v.dtype) for t, v in zip(totals, values, strict=True)]

    def _add(self, values: list[np.ndarray]) -> list[np.ndarray]:
        import tensorflow as tf

        def add():
            context = tf.distribute.get_replica_context()
            return [context.all_reduce("SUM", tf.constant(value)) for value in values]

        # Called as it is, TensorFlow would warn of retracing at the fifth time.
        everywhere = tf.function(lambda: self._strategy.run(add)).get_concrete_function()
        return [
            self._strategy.experimental_local_results(total)[0].numpy() for total in everywhere()
        ]


def _local(reduce_per_replica):
    @functools.wraps(reduce_per_replica)
    def mended(values, strategy, reduction):
        here = "first" if reduction in ("auto", "mean") else reduction
        return reduce_per_replica(values, strategy, here)

    mended.mended = True
    return mended
