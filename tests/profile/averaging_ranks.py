"""What test_timeline.py runs on every rank: averages gradients, some sizes of a small GPT's."""

import sys
import time
from pathlib import Path

from tfsci import command, startup
from tfsci.distributed.strategy import choose

STEPS = 20
SHAPES = [*[(256,)] * 26, *[(1024,)] * 4, *[(256, 256)] * 4, *[(256, 768)] * 4, *[(1024, 256)] * 8]


def main() -> None:
    """Averages; a named rank is slow."""
    tf = startup.import_tensorflow()
    path, slow, seconds = sys.argv[1:]
    strategy = choose("horovod", timeline=True)
    if strategy.is_chief:
        strategy.start_timeline(Path(path))
    average = tf.function(lambda gradients: strategy.average(gradients))
    gradients = [tf.ones(shape) for shape in SHAPES]
    for _ in range(STEPS):
        if strategy.rank == int(slow):
            time.sleep(float(seconds))
        average(gradients)
    strategy.gather(None)


if __name__ == "__main__":
    command.run(main)
