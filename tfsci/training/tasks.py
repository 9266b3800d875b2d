"""What a training is about: its data, its loss, its measures, and what it says at the end.

A task is told apart from how it is trained (`options`, `run`) and from the model, so that another
one, such as the regression of fields, is a class of some methods here.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tfsci.data import catalog
from tfsci.data.source import Source
from tfsci.distributed.strategy import Strategy
from tfsci.training import synthetic
from tfsci.training.options import Options
from tfsci.training.run_folder import RunFolder

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Task:
    """The protocol; fields are settings that decide what is computed.

    Attributes:
        name: Of the task.
    """

    name: ClassVar[str]

    @property
    def settings(self) -> dict[str, object]:
        """The fields by name, for ``config.json`` and for comparing ranks."""
        return dataclasses.asdict(self)

    def load(self, options: Options) -> Source:
        """Returns the data; called on every process before any of them waits for another.

        Raises:
            ValueError: The data is for another task.
        """
        raise NotImplementedError

    def prepare(self, source: Source, options: Options, strategy: Strategy) -> Source:
        """Returns the data as the model gets it; every process calls it together."""
        return source

    def begin(self, source: Source, folder: RunFolder) -> None:
        """Leaves in the chief's run folder what belongs to the data."""

    def shape(self, source: Source) -> dict[str, object]:
        """Returns the options of a model's builder that follow from the data."""
        raise NotImplementedError

    def loss(self) -> "keras.losses.Loss":
        """Returns the loss."""
        raise NotImplementedError

    def metrics(self) -> list["keras.metrics.Metric"]:
        """Returns metrics whose variables are sums over samples; see `fit`."""
        return []

    def results(self, source: Source, test: dict[str, float]) -> dict[str, object]:
        """Returns what ``metrics.json`` says of the test.

        Args:
            source: The data.
            test: Loss and metrics over the test split.
        """
        return {
            "test_loss": test["loss"],
            "test_accuracy": test.get("accuracy"),
            "known_answer": source.known_answer,
            "measure": source.measure,
        }

    def finish(
        self, model: "keras.Model", source: Source, options: Options, folder: RunFolder
    ) -> str:
        """Leaves what else there is to leave in the chief's run folder; returns what to print."""
        return ""

    def summary(self, metrics: dict) -> str:
        """Returns the last line of a run, but for its folder.

        Args:
            metrics: What ``metrics.json`` holds.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Classification(Task):
    """One class of several for each sample.

    Attributes:
        label_smoothing: See `losses.SmoothedCrossentropy`; in training and in what is reported as
            loss.
    """

    label_smoothing: float = 0.0
    name = "classification"

    def load(self, options):
        """Returns the source; one without classes is refused before it is prepared, if possible."""
        if synthetic.is_asked(options.data):
            if options.limit:
                raise ValueError(
                    f"--limit {options.limit}: {options.data} is one batch; leave it out, or give "
                    "steps=NUMBER"
                )
            return synthetic.source(options.data, options.batch_size * options.accumulate)
        if catalog.parse(options.data)[0] not in catalog.UNLABELLED:
            source = catalog.load(options.data, options.limit, options.data_dir)
            if source.measure == "accuracy" and source.num_classes:
                return source
        raise ValueError(
            f"--data {options.data}: has no classes to tell apart, and this script trains a "
            "classifier; expected a labelled set: digits, diffraction, damage, galaxies, ising, "
            "npz:DIR, folder:DIR or tfds:NAME"
        )

    def shape(self, source):
        """Returns the shape of an input and the number of classes."""
        return {"input_shape": source.input_shape, "num_classes": source.num_classes}

    def loss(self):
        """Returns the cross-entropy, in nats."""
        import keras

        if self.label_smoothing:
            from tfsci.training.losses import SmoothedCrossentropy

            return SmoothedCrossentropy(self.label_smoothing)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self):
        """Returns the accuracy."""
        import keras

        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def results(self, source, test):
        """Returns them; of a synthetic batch a test says nothing."""
        results = super().results(source, test)
        if synthetic.is_asked(source.name):
            results |= {"test_loss": None, "test_accuracy": None, "measure": "speed"}
        return results

    def summary(self, metrics):
        """Returns the accuracy beside the best possible one; of a synthetic batch, the speed."""
        if metrics["measure"] == "speed":
            rate, flops = metrics["examples_per_second"], metrics["flops_per_second"]
            if rate is None:
                return "no step was left to time"
            return f"{rate:,.1f} images/s · {flops / 1e9:,.1f} GFLOP/s"
        best = metrics["known_answer"]
        known = f" (best possible {best:.4f})" if best is not None else ""
        return f"test accuracy {metrics['test_accuracy']:.4f}{known}"


def perplexity(nats: float) -> float:
    """Returns e to a mean loss; infinity where that is more than a float holds."""
    return math.exp(nats) if nats < 700 else math.inf
