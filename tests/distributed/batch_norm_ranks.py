"""What tests/distributed/test_batch_norm.py runs as each process of a strategy."""

import sys

import numpy as np

from tfsci import command, startup
from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.distributed.strategy import choose

EPOCHS, BATCH, CLASSES = 3, 16, 3


def network():
    """Normalises over pictures, and over rows within a model of its own."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    head = keras.Sequential(
        [keras.Input((16,)), layers.Dense(8), layers.BatchNormalization(momentum=0.9)], name="head"
    )
    return keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("tanh"),
            layers.Flatten(),
            layers.Dropout(0),
            head,
            layers.Dense(CLASSES),
        ]
    )


def train(strategy, synchronized: bool):
    """Returns a model after three epochs."""
    import keras

    generator = np.random.default_rng(0)
    x = (2 + generator.normal(size=(160, 4, 4, 2))).astype("float32")
    split = Split(x, generator.integers(0, CLASSES, 160).astype("int32"))
    batches = pipeline.training(split, BATCH, 0, strategy.rank, strategy.num_shards)
    with strategy.scope():
        model = network()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    if synchronized:
        assert strategy.synchronize_batch_norm(model) == 2
    strategy.average_gradients(model, batches)
    strategy.broadcast(model)
    model.fit(
        strategy.distribute(batches.dataset), steps_per_epoch=batches.steps, epochs=EPOCHS,
        verbose=0, shuffle=False,
    )  # fmt: skip
    return model


def weights(model) -> list[np.ndarray]:
    """Trained weights, then moving statistics, of each replica in this process."""
    variables = [v.value for v in (*model.trainable_weights, *model.non_trainable_weights)]
    replicas = zip(*[getattr(v, "values", [v]) for v in variables], strict=True)
    return [np.concatenate([v.numpy().ravel() for v in replica]) for replica in replicas]


def main() -> None:
    """Trains both ways and writes each replica's weights."""
    startup.import_tensorflow()
    name, folder = sys.argv[1:]
    strategy = choose(name, replicas=2 if name == "mirrored" else None)
    results = {"synchronized": weights(train(strategy, True))}
    model = train(strategy, False)
    results["apart"] = weights(model)
    for _ in range(6):  # once an epoch: TensorFlow warns of what it traces anew five times
        strategy.average_statistics(model)
        assert strategy.gather(strategy.rank) == list(range(strategy.num_shards))
    results["averaged"] = weights(model)
    np.savez(f"{folder}/{name}-{strategy.rank}.npz", **results)


if __name__ == "__main__":
    command.run(main)
