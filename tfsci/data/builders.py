"""TensorFlow Datasets builders of the simulated sets.

Once this module is imported, `tfds.load("damage/3")` finds them. What is prepared, in sharded
TFRecords, is found by `tfds.load` without it, too.
"""

import numpy as np

from tfsci.data import datasets
from tfsci.data.catalog import SPECS
from tfsci.data.simulated import SIMULATORS, Simulated
from tfsci.progress import Progress

tfds = datasets.import_tfds()


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A simulated set; subclasses name the simulator."""

    VERSION = tfds.core.Version("1.0.0")
    simulated: Simulated

    def __init__(self, *, config=None, simulated: Simulated | None = None, **arguments):
        if simulated is None:
            simulated = self._options.get(config or next(iter(self._options)))
        elif simulated.config in self._options:
            config = simulated.config
        else:
            config = tfds.core.BuilderConfig(
                name=simulated.config, description=f"--data {simulated.spec}"
            )
        self.simulated = simulated
        super().__init__(config=config, **arguments)

    def _info(self) -> tfds.core.DatasetInfo:
        simulated, row = self.simulated, self.simulated.row
        x, y = simulated.features
        num_classes, names = row.classes(simulated.options)
        best = f"The best possible {row.measure} is {simulated.known_answer}."
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Simulated {SPECS[simulated.name]}. {best}\n\n{row.module.__doc__}",
            features=tfds.features.FeaturesDict({f.key: _connector(f, names) for f in (x, y)}),
            supervised_keys=(x.key, y.key),
            homepage="https://www.tensorflow.org/datasets",
            license="Apache-2.0",
            disable_shuffling=True,  # sample i is the i-th, so that the first ones are the same
            metadata=tfds.core.MetadataDict(
                known_answer=simulated.known_answer,
                measure=row.measure,
                num_classes=num_classes,
                options=dict(simulated.options),
            ),
        )

    def _split_generators(self, dl_manager):
        sizes = self.simulated.sizes
        progress = Progress(f"Making {self.simulated.spec}", sum(sizes.values()))
        starts = np.cumsum([0, *sizes.values()]).tolist()
        return {
            split: self._generate_examples(split, start, progress)
            for split, start in zip(sizes, starts, strict=False)
        }

    def _generate_examples(self, split: str, done: int, progress: Progress):
        x, y = (feature.key for feature in self.simulated.features)
        number = 0
        for inputs, targets in self.simulated.chunks(split):
            for pair in zip(inputs, targets, strict=True):
                yield number, dict(zip((x, y), pair, strict=True))
                number += 1
            progress.update(done + number)


def _connector(feature, names):
    if feature.is_label:
        return tfds.features.ClassLabel(names=names)
    encoding = tfds.features.Encoding.BYTES
    return tfds.features.Tensor(
        shape=feature.shape, dtype=np.dtype(feature.dtype).type, encoding=encoding
    )


def _builder(name: str, specs: list[dict]) -> type[_Builder]:
    options = {s.config: s for s in (Simulated.of(name, spec) for spec in specs)}
    configs = [tfds.core.BuilderConfig(name=config) for config in options]
    body = {"__module__": __name__, "__doc__": SPECS[name],
            "BUILDER_CONFIGS": configs, "_options": options}  # fmt: skip
    return type(name.capitalize(), (_Builder,), body)


_OTHERS = {"damage": [{"": "3"}, {"": "2"}], "diffraction": [{"": "centring"}]}
BUILDERS = {name: _builder(name, [{}, *_OTHERS.get(name, [])]) for name in SIMULATORS}
