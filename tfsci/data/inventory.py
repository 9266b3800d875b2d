"""What data sets there are: the built-in ones, and what is prepared on disk."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfsci.data import catalog, datasets, store
from tfsci.data.simulated import Simulated

BUILT_IN = (
    "digits",
    "diffraction",
    "damage:5",
    "damage:3",
    "damage:2",
    "galaxies",
    "ising",
    "sequences",
    "burgers",
)

# Computing it renders hundreds of patterns, 10 s, and a list is to be quick.
_RECORDED = {"diffraction": 1.0}


class Entry(NamedTuple):
    """A data set.

    Attributes:
        spec: The data spec; the folder of a set that is damaged.
        prepared: ``"yes"``, ``"no"``, ``"needs none"`` or ``"damaged"``.
        samples: Of all splits.
        shape: Of one input.
        num_classes: As in `Source`, like the next two.
        known_answer: Same.
        measure: Same.
        megabytes: On disk; what it will take where it is not prepared.
    """

    spec: str
    prepared: str
    samples: int | None = None
    shape: tuple[int, ...] = ()
    num_classes: int | None = None
    known_answer: float | None = None
    measure: str = "accuracy"
    megabytes: float | None = None


def inventory(data_dir: Path) -> list[Entry]:
    """Returns the built-in sets, and then the other ones that are prepared in a folder.

    It needs no TensorFlow, and makes a sample of each simulated set at most.

    Args:
        data_dir: Where prepared sets lie.
    """
    found = {path.parent: _prepared(path.parent) for path in manifests(data_dir)}
    entries = []
    for spec in BUILT_IN:
        name, _, options = catalog.parse(spec)
        if name == "digits":
            entries.append(Entry(spec, "needs none", 1797, (8, 8, 1), 10))
            continue
        simulated = Simulated.of(name, options)
        entry = found.pop(datasets.folder_of(simulated, data_dir), None) or _built_in(simulated)
        entries.append(entry._replace(spec=spec))
    return entries + sorted(found.values(), key=lambda entry: entry.spec)


def manifests(data_dir: Path) -> list[Path]:
    """Lists the manifests of the sets that are prepared in a folder."""
    return sorted(data_dir.glob("*/*/*/tfsci.json"))


def _built_in(simulated: Simulated) -> Entry:
    samples = simulated.options["samples"]
    x, y = simulated.features
    sample = sum(int(np.prod(f.shape)) * np.dtype(f.dtype).itemsize for f in (x, y))
    answer = _RECORDED.get(simulated.spec)
    return Entry(
        simulated.spec,
        "no",
        samples,
        x.shape,
        simulated.row.classes(simulated.options)[0],
        simulated.known_answer if answer is None else answer,
        simulated.row.measure,
        samples * sample / 1e6,
    )


def _prepared(folder: Path) -> Entry:
    try:
        manifest = store.describe(folder)
        samples = sum(len(index.file) for index in store.read_index(folder).values())
    except (ValueError, OSError):
        return Entry(str(folder), "damaged")
    return Entry(
        manifest.name,
        "yes",
        samples,
        tuple(manifest.x.shape),
        manifest.num_classes,
        manifest.known_answer,
        manifest.measure,
        sum(size for _, size in manifest.files) / 1e6,
    )
