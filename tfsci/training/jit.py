"""Whether XLA makes a model's training step faster on this machine's device."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def choose_jit(model: "keras.Model") -> bool:
    """Returns whether to compile the training step with XLA.

    On an accelerator, yes, as Keras itself decides. On a CPU XLA has no convolution as fast as
    TensorFlow's (oneDNN's): a small CNN trained 8 times slower with XLA, while a 3.4 M parameter
    GPT trained 13 % faster (2 cores, TensorFlow 2.21; `benchmarks/step.py` measures the CNN).
    Processor time of a step without XLA over that with it, on one thread: vision transformer 1.06,
    LSTM 1.10, half a million parameter GPT 1.03.

    Args:
        model: Any Keras model.
    """
    import tensorflow as tf

    if tf.config.get_visible_devices("GPU"):
        return bool(getattr(model, "supports_jit", True))
    kinds = {type(layer).__name__ for layer in model._flatten_layers()}
    return not any("Conv" in kind for kind in kinds)
