"""A batch of noise that is made once and repeated: for how fast a model trains, not how well."""

from dataclasses import dataclass, replace

import numpy as np

from tfsci.data.catalog import whole_options
from tfsci.data.source import Reader, Source

_DEFAULTS = {"size": 224, "classes": 1000, "channels": 3, "steps": 20}


@dataclass(frozen=True)
class Repeated:
    """Any number of samples out of one batch.

    Attributes:
        batch: Inputs and labels of the batch.
        num_samples: How many samples it is taken for.
    """

    batch: tuple[np.ndarray, np.ndarray]
    num_samples: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.batch[0].shape[1:]

    def first(self, number: int) -> "Repeated":
        """Returns fewer samples."""
        return replace(self, num_samples=min(number, self.num_samples))

    def reader(self) -> Reader:
        """Returns what gives the batch's first samples, whatever rows are asked for."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            x, y = map(tf.constant, self.batch)
        return lambda rows: (x[: rows.shape[0]], y[: rows.shape[0]])


def is_asked(spec: str) -> bool:
    """Whether a data spec is for a synthetic batch."""
    return spec.partition(":")[0] == "synthetic"


def source(spec: str, batch_size: int) -> Source:
    """Returns a source of pictures of standard normal noise with random labels.

    Args:
        spec: ``synthetic:size=224,classes=1000,channels=3,steps=20`` or less of it: edge of a
            picture, classes, channels, and steps in an epoch.
        batch_size: Samples of the batch.

    Raises:
        ValueError: An option is unknown, or no whole number above 0.
    """
    options = dict(_DEFAULTS)
    for item in filter(None, spec.partition(":")[2].split(",")):
        name, _, value = item.partition("=")
        if name not in options:
            raise ValueError(
                f"--data {spec}: no option {name!r}; expected {', '.join(_DEFAULTS)}, each as "
                "NAME=NUMBER"
            )
        options |= whole_options(spec, {name: value}, name)
    generator = np.random.default_rng(0)
    shape = (batch_size, options["size"], options["size"], options["channels"])
    x = generator.standard_normal(shape, "float32")
    y = generator.integers(options["classes"], size=batch_size).astype("int32")
    train = Repeated((x, y), options["steps"] * batch_size)
    rest = train.first(batch_size)
    return Source(spec, train, rest, rest, options["classes"])
