"""One Keras model on other backends and in other formats, each in a process of its own.

A process has one Keras backend for life, and formats are to be read where the model's code is not.
So others are asked by a command, ``python -m tfsci.lessons.backends FOLDER NAME …``. Model, inputs
and answers pass through files in the folder: ``model.keras`` (a zip of JSON and HDF5), ``data.npz``
and ``NAME.npz``, which are read without pickles.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")
WRITES = {"tensorflow": ("SavedModel", "LiteRT"), "jax": ("StableHLO",), "torch": ()}
_FILES = {"SavedModel": "saved_model", "LiteRT": "model.tflite", "StableHLO": "model.stablehlo"}
_RATE = 0.05  # of gradient descent
_REPEATS = 30


def installed() -> list[str]:
    """Returns the backends that this Python has."""
    return [name for name in BACKENDS if find_spec(name)]


def hint() -> str:
    """Returns a line on the backends that are missing; empty where there are all."""
    missing = [name for name in BACKENDS if name not in installed()]
    if not missing:
        return ""
    how = f"pip install -c constraints.txt {' '.join(missing)}"
    return f"Left out, for it is not installed: {' and '.join(missing)}; to have it: {how}"


def formats() -> list[str]:
    """Returns the formats that the installed backends write."""
    return [name for backend in installed() for name in WRITES[backend]]


def hand_over(folder: Path, model, x: np.ndarray, batches: np.ndarray, labels: np.ndarray) -> None:
    """Leaves a model and data in a folder.

    Args:
        folder: Where; made if it isn't there.
        model: A functional Keras model.
        x: Inputs (N, …) to answer, float32.
        batches: Batches (steps, B, …) to train on.
        labels: Their classes (steps, B).
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x=x, batches=batches, labels=labels)


def ask(folder: Path, names: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Asks a backend, or formats that backends have exported, for what `hand_over` left.

    Args:
        folder: Where.
        names: One of `BACKENDS`, which also exports what it `WRITES`; or formats, which are read
            in one process, none with the model's code.

    Returns:
        For each name ``outputs`` of the inputs, and ``seconds`` for the first one, at best. Of a
        backend also ``losses`` of the training, and ``seconds_called`` where the model is called
        layer by layer. Of a format also its ``bytes``, and ``code``, whether its process had the
        model's code.

    Raises:
        RuntimeError: The process failed; the message has what it said last.
    """
    keras = sys.modules.get("keras")
    if keras and list(names) == [keras.config.backend()]:  # that of this process
        main(folder, names)
    else:
        environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if names[0] in BACKENDS:
            environ["KERAS_BACKEND"] = names[0]
        command = [sys.executable, "-m", "tfsci.lessons.backends", str(folder), *names]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)
        if ended.returncode:
            last = ended.stderr.strip()[-2000:]
            raise RuntimeError(f"{' '.join(names)}: exit code {ended.returncode}\n{last}")
    found = {}
    for name in names:
        with np.load(folder / f"{name}.npz") as answer:
            found[name] = dict(answer)
    return found


def _backend(folder: Path, data: dict[str, np.ndarray]) -> dict[str, object]:
    import keras

    model = keras.saving.load_model(folder / "model.keras", compile=False)
    backend = keras.config.backend()
    for name in WRITES[backend]:
        _EXPORT[name](model, folder / _FILES[name])

    def called(x):
        return keras.ops.convert_to_numpy(model(x, training=False))

    found = _timed(model.predict_on_batch, data["x"])
    found["seconds_called"] = _best(called, data["x"][:1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(_RATE), loss, jit_compile=False)
    pairs = zip(data["batches"], data["labels"], strict=True)
    found["losses"] = [float(model.train_on_batch(x, y)) for x, y in pairs]
    return found


def _export_saved_model(model, path: Path) -> None:
    model.export(path, verbose=False)


def _export_litert(model, path: Path) -> None:
    model.export(path, format="litert", verbose=False)


def _export_stablehlo(model, path: Path) -> None:
    import jax
    from jax import export

    trained = [v.value for v in model.trainable_variables]
    other = [v.value for v in model.non_trainable_variables]

    def call(x):
        return model.stateless_call(trained, other, x, training=False)[0]

    shape = export.symbolic_shape(", ".join(["batch", *map(str, model.input_shape[1:])]))
    taken = jax.ShapeDtypeStruct(shape, model.inputs[0].dtype)
    path.write_bytes(export.export(jax.jit(call), platforms=["cpu"])(taken).serialize())


_EXPORT = {
    "SavedModel": _export_saved_model,
    "LiteRT": _export_litert,
    "StableHLO": _export_stablehlo,
}


def _load_saved_model(path: Path) -> Callable:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda x: loaded.serve(x).numpy()


def _load_litert(path: Path) -> Callable:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
    prepared = []

    def call(x):
        if prepared != [x.shape]:
            interpreter.resize_tensor_input(given["index"], x.shape)
            interpreter.allocate_tensors()
            prepared[:] = [x.shape]
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(taken["index"])

    return call


def _load_stablehlo(path: Path) -> Callable:
    import jax
    from jax import export

    call = jax.jit(export.deserialize(path.read_bytes()).call)
    return lambda x: np.asarray(call(x))


_LOAD = {"SavedModel": _load_saved_model, "LiteRT": _load_litert, "StableHLO": _load_stablehlo}


def _format(name: str, folder: Path, data: dict[str, np.ndarray]) -> dict[str, object]:
    path = folder / _FILES[name]
    found = _timed(_LOAD[name](path), data["x"])
    parts = path.rglob("*") if path.is_dir() else [path]
    size = sum(part.stat().st_size for part in parts if part.is_file())
    return {
        **found,
        "bytes": size,
        "code": any(name.startswith("tfsci.models.") for name in sys.modules),
    }


def _timed(call: Callable, x: np.ndarray) -> dict[str, object]:
    return {"outputs": call(x), "seconds": _best(call, x[:1])}


def _best(call: Callable, x: np.ndarray) -> float:
    """Returns the seconds of the quickest of many calls; others may have been disturbed."""
    call(x)
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call(x)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(folder: Path, names: Sequence[str]) -> None:
    """Answers `ask`, in the process that it starts."""
    with np.load(folder / "data.npz") as loaded:
        data = dict(loaded)
    for name in names:
        found = _backend(folder, data) if name in BACKENDS else _format(name, folder, data)
        np.savez(folder / f"{name}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
