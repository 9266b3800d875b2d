"""What tests of precision and accumulation run with each strategy; the chief prints JSON.

    python replicas.py STRATEGY CASE …

A case is ``MODEL/PRECISION``, ``accumulated`` or ``overflow``.
"""

import dataclasses
import json
import sys
from unittest import mock

import numpy as np

from tfsci import command, models, startup
from tfsci.data import pipeline
from tfsci.data.pipeline import Batches
from tfsci.data.source import Source, Split
from tfsci.distributed.strategy import choose
from tfsci.models import resnet, vit
from tfsci.training import fit, network
from tfsci.training.language import LanguageModelling
from tfsci.training.options import Options
from tfsci.training.tasks import Classification

BATCH, STEPS = 8, 3
BUILDERS = {
    "cnn": {"dropout": 0.0},
    "gpt": {"num_layers": 1, "width": 8, "num_heads": 2},
    "mlp": {},
    "resnet": {"variant": "10"},
    "vit": {"variant": "2"},
    "rnn": {"units": (8,)},
}
# As deep as shows what a strategy does to them; most of a test's time is spent on tracing layers.
SHALLOW = {
    "resnet": (resnet.VARIANTS, {"10": resnet.Variant((1, 1, 1, 1), bottleneck=False)}),
    "vit": (vit.VARIANTS, {"2": dataclasses.replace(vit.VARIANTS["mini"], num_layers=2)}),
}
FIELDS = ("autoencoder", "vae", "unet")  # from a field to a field
MODELS = (*BUILDERS, *FIELDS)


def data(model: str) -> Source:
    """Pictures of two classes, or tokens; 24 samples."""
    generator = np.random.default_rng(0)
    if model == "gpt":
        tokens = generator.integers(5, size=(BATCH * STEPS, 9)).astype("int32")
        split = Split(tokens[:, :-1], tokens[:, 1:])
        return Source("tokens", split, split, split, 5, measure="loss")
    edge = 16 if model in FIELDS else 8
    x = generator.random((BATCH * STEPS, edge, edge, 1)).astype("float32")
    if model == "rnn":
        x = x[..., 0]
    y = (x.reshape(len(x), -1).mean(1) > 0.5).astype("int32")
    split = Split(x, x if model in FIELDS else y)
    return Source("pictures", split, split, split, 2)


def train(strategy, model: str, **settings) -> list[float]:
    """Trains an epoch; returns its loss and that of the validation."""
    task = LanguageModelling() if model == "gpt" else Classification(0.1)
    known = {"batch_size": BATCH, "optimizer": "adamw", "learning_rate": 1e-3, "clip_norm": 0.1}
    if model == "vit":
        known["learning_rate"] = 1e-5  # there is no warm-up
    known["sync_batch_norm"] = model == "resnet"
    known |= {"weight_decay": 0.1, "jit": "auto" if model == "gpt" else "off"}
    options, source = Options(**known | settings), data(model)
    if model in FIELDS:
        net = of_fields(model, options.precision, strategy)
    else:
        with mock.patch.dict(*SHALLOW.get(model, ({},))):
            net = network.compiled(options, task, source, strategy, model, BUILDERS[model])
    shard = strategy.rank, strategy.num_shards
    batches = pipeline.training(source.train, BATCH, 0, *shard)
    validation = pipeline.evaluation(source.validation, BATCH, *shard)
    (row,) = fit(net, batches, 1, validation, strategy)
    return [row["loss"], row["val_loss"]]


def of_fields(model: str, precision: str, strategy):
    """A network that is to give back its input, compiled."""
    import keras

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    with strategy.scope():
        net = models.build(model, input_shape=(16, 16, 1))
        net.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
        net.optimizer.build(net.trainable_variables)
    strategy.synchronize_batch_norm(net)  # where there is any
    return net


def overflow(strategy) -> dict[str, object]:
    """Two steps with float16; in the first the last replica's gradient alone is infinite."""
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy("mixed_float16")
    with strategy.scope():
        layer = keras.layers.Dense(2, kernel_initializer="zeros")
        logits = keras.layers.Activation("linear", dtype="float32")
        model = keras.Sequential([keras.Input((3,)), layer, logits])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    # float16 ends at 65,504; the gradient is near 2¹⁵ (the scale) × x / 2 / 4 a sample.
    x = np.full((2, 4, 3), 0.1, "float32")
    x[0, 2:] = 1000
    share = 4 // strategy.num_shards
    x = x[:, share * strategy.rank : share * (strategy.rank + 1)]
    dataset = tf.data.Dataset.from_tensor_slices((x, np.zeros(x.shape[:2], "int32")))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kernel = float(np.abs(layer.kernel.numpy()).max())
            optimizer = model.optimizer
            values = [v.numpy() for v in (optimizer.dynamic_scale, optimizer.iterations)]
            seen.append([kernel, *map(float, values)])

    fit(model, Batches(dataset, 2, 4, 8), 1, None, strategy, callbacks=[Look()])
    return {"of_every_rank": strategy.gather(seen)}


def run(strategy, case: str) -> object:
    """Returns what a case gives."""
    if case == "overflow":
        return overflow(strategy)
    if case == "accumulated":
        return train(strategy, "gpt", batch_size=BATCH // 2, accumulate=2)
    model, precision = case.split("/")
    return train(strategy, model, precision=precision)


def main() -> None:
    """Runs the cases one after another."""
    name, *cases = sys.argv[1:]
    startup.import_tensorflow()
    strategy = choose(name, replicas=2 if name == "mirrored" else None)
    results = {case: run(strategy, case) for case in cases}
    if strategy.is_chief:
        print(json.dumps(results))


if __name__ == "__main__":
    command.run(main)
