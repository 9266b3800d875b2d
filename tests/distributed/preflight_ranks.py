"""What tests/distributed/test_preflight.py runs on every rank."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from tfsci import command, startup
from tfsci.data.source import Source, Split
from tfsci.distributed import preflight
from tfsci.distributed.strategy import choose


def network(width: int, activation: str = "relu"):
    """A dense network with masks, whose seeds differ from rank to rank."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    body = [layers.Dense(width, activation), layers.Dropout(0.5), layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((16,)), *body, layers.Dense(3)], name="dense")
    model.compile("sgd", "mse")
    return model


def source(shift: float = 0) -> Source:
    """Splits of 70, 20 and 10 samples."""
    x = np.arange(100 * 16, dtype="float32").reshape(100, 16) + shift
    y = np.arange(100, dtype="int32") % 3
    splits = [Split(x[a:b], y[a:b]) for a, b in ((0, 70), (70, 90), (90, 100))]
    return Source("made", *splits, 3, class_names=("a", "b", "c"))


def start(strategy, wrong: str, width: int = 8) -> float:
    """Starts a training in which the last rank is wrong in one way; returns the checks' seconds."""
    last = strategy.rank == strategy.world_size - 1
    wrong = wrong if last else ""
    model = network(width, "tanh" if wrong == "model" else "relu")
    options = {"seed": int(wrong == "option"), "dropout": 0.5, "output": f"run{strategy.rank}"}
    strategy.broadcast_value("all are here")
    begin = time.perf_counter()
    preflight.check_setup(strategy, options, source(0.5 * (wrong == "data")), 4, model)
    seconds = time.perf_counter() - begin
    strategy.broadcast(model)
    if wrong == "weights":
        kernel = model.layers[0].kernel
        kernel.assign(kernel + 1e-6)
    strategy.broadcast_value("all have the weights")
    begin = time.perf_counter()
    preflight.check_weights(strategy, model)
    return seconds + time.perf_counter() - begin


def main() -> None:
    """All ways of being wrong, to a file a rank; the last one ends it."""
    startup.import_tensorflow()
    folder, *wrongs, last = sys.argv[1:]
    strategy = choose("horovod")
    said = {"": None}
    start(strategy, "")
    for wrong in wrongs:
        try:
            start(strategy, wrong)
        except ValueError as error:
            said[wrong] = str(error)
    Path(folder, f"{strategy.rank}.json").write_text(json.dumps(said))
    start(strategy, last)


if __name__ == "__main__":
    command.run(main)
