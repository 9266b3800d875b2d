"""Networks that were trained on the same data, from their run folders."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfsci.baselines.measures import MEASURES, accuracy_of
from tfsci.data import catalog
from tfsci.data.source import Source


@dataclass(frozen=True)
class Trained:
    """How good a trained network is.

    Attributes:
        title: Its model and variant.
        folder: Its run folder.
        measure: A row of `measures.MEASURES`.
        test: Its score on the test samples.
        test_standard_error: Sampling error of `test`; None where it is unknown.
    """

    title: str
    folder: str
    measure: str
    test: float
    test_standard_error: float | None = None

    @property
    def badness(self) -> float:
        """Grows from the best to the worst."""
        return -self.test if MEASURES[self.measure].higher_is_better else self.test


def read_all(
    folders: Sequence[str | Path], source: Source, limit: int | None = None
) -> tuple[Trained, ...]:
    """Returns the results of run folders; where two have one title, the folder tells them apart.

    Args:
        folders: Run folders.
        source: The data that they are compared on.
        limit: How many samples of the data are used; all where None.

    Raises:
        ValueError: One is no folder of a finished training, or one on other data.
    """
    found = [_read(folder, source, limit) for folder in folders]
    titles = [each.title for each in found]
    return tuple(
        each
        if titles.count(each.title) == 1
        else replace(each, title=f"{each.title} ({Path(each.folder).name})")
        for each in found
    )


def _read(folder: str | Path, source: Source, limit: int | None) -> Trained:
    config, metrics = (_json(folder, name) for name in ("config.json", "metrics.json"))
    try:
        options = config["options"]
        spec, its_limit, model = options["data"], options["limit"], options["model"]
        title = " ".join(str(model[key]) for key in ("name", "variant") if model.get(key))
        same = its_limit == limit and _canonical(spec) == _canonical(source.name)
    except (LookupError, TypeError, AttributeError):
        raise ValueError(f"--compare {folder}: its config.json is no training's") from None
    if not same:
        theirs, ours = _told(spec, its_limit), _told(source.name, limit)
        raise ValueError(
            f"--compare {folder}: trained on other data ({theirs}); expected {ours}, as here"
        )
    key = f"test_{source.measure}"
    test = metrics.get(key) if isinstance(metrics, dict) else None
    if isinstance(test, bool) or not isinstance(test, int | float) or not math.isfinite(test):
        raise ValueError(f"--compare {folder}: its metrics.json has no {key}")
    if source.measure != "accuracy":
        return Trained(title, str(folder), source.measure, float(test))
    if not 0 <= test <= 1:
        raise ValueError(f"--compare {folder}: {key} {test}: expected 0 to 1")
    return Trained(
        title, str(folder), "accuracy", *accuracy_of(float(test), source.test.num_samples)[:2]
    )


def _json(folder: str | Path, name: str) -> dict:
    try:
        return json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"--compare {folder}: no {name} ({error.strerror}); expected the run folder of a "
            "training that has ended"
        ) from None
    except ValueError:
        raise ValueError(f"--compare {folder}: its {name} is no JSON") from None


def _canonical(spec: str) -> tuple:
    """Returns the same value for every way to write a data spec."""
    from tfsci.data.simulated import SIMULATORS, Simulated

    try:
        name, place, options = catalog.parse(spec)
        if name in SIMULATORS:
            return name, Simulated.of(name, options).spec
    except ValueError:  # random batches, or what another version knows
        return (spec,)
    if name in ("npz", "folder", "text"):
        place = os.path.realpath(os.path.expanduser(place))
    return name, place, tuple(sorted(options.items()))


def _told(spec: str, limit: int | None) -> str:
    return f"--data {spec}" + (f" --limit {limit}" if limit is not None else "")
