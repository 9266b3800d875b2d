"""What test_timeline.py runs on every rank: averages gradients, some sizes of a small GPT's."""

import os
import sys
import time
from pathlib import Path

from tfsci import command, startup
from tfsci.distributed.strategy import choose

STEPS = 20
SHAPES = [*[(256,)] * 26, *[(1024,)] * 4, *[(256, 256)] * 4, *[(256, 768)] * 4, *[(1024, 256)] * 8]


def main() -> None:
    """Averages; a named rank is slow. With ALONE set, as a script does that knows no buckets."""
    tf = startup.import_tensorflow()
    path, slow, seconds = sys.argv[1:]
    strategy = choose("horovod", timeline=True)
    if strategy.is_chief:
        strategy.start_timeline(Path(path))
    average = tf.function(each_alone if "ALONE" in os.environ else strategy.average)
    gradients = [tf.ones(shape) for shape in SHAPES]
    for _ in range(STEPS):
        if strategy.rank == int(slow):
            time.sleep(float(seconds))
        average(gradients)
    strategy.gather(None)


def each_alone(gradients: list) -> list:
    """Averages each by a call of its own."""
    import horovod.tensorflow as hvd

    return [hvd.allreduce(gradient, name=f"gradient/{i}") for i, gradient in enumerate(gradients)]


if __name__ == "__main__":
    command.run(main)
