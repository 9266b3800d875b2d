"""What tests of ranks that die or hang run on every rank: a training in which one fails."""

import os
import signal
import sys
import time

from tfsci import command
from tfsci.data import pipeline
from tfsci.training.options import Options

STEP = 40  # of 3 × 26


def fail(how: str) -> None:
    """Plants a fault into this rank's input pipeline."""
    import tensorflow as tf

    original = pipeline.training

    def at(step):
        if step == STEP:
            if how.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, how))
            while how == "hang":
                time.sleep(0.01)
        return step

    def training(*arguments):
        batches = original(*arguments)
        if arguments[5]:  # a later round
            return batches

        def planted(step, pair):
            with tf.control_dependencies([tf.py_function(at, [step], tf.int64)]):
                return tuple(map(tf.identity, pair))

        dataset = batches.dataset.enumerate().map(planted)
        rest = batches.steps, batches.batch_size, batches.num_samples, batches.from_step
        return pipeline.Batches(dataset, *rest)

    pipeline.training = training


def main() -> None:
    """Trains; the rank that the command line names fails as it says."""
    how, rank, output = sys.argv[1:]
    place = os.environ.get("RANK") or os.environ["HOROVOD_RANK"]
    if place == rank:
        fail(how)
    elastic = os.environ.get("HOROVOD_ELASTIC") == "1"
    options = Options(epochs=3, output=output, elastic=elastic)
    command.train(options, "cnn", variant="small", dropout=0.0)


if __name__ == "__main__":
    command.run(main)
