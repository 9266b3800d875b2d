"""From a data spec, as ``--data`` takes it, to a source."""

import functools
import hashlib
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci.data import store
from tfsci.data.source import Source, Split, sizes, stratified_split

if TYPE_CHECKING:
    from tfsci.data.simulated import Simulated

IN_MEMORY = 2_000  # samples of a simulated set that are made where they are used, in seconds

SPECS = {
    "digits": "1,797 handwritten digits, real 8×8 images (scikit-learn; UCI)",
    "diffraction": "electron-diffraction patterns of crystals; which crystal system",
    "damage": "aerial tiles of buildings; which grade of damage, as annotators saw it",
    "galaxies": "elliptical, spiral, edge-on and merging galaxies, as volunteers labelled them",
    "ising": "spins of the two-dimensional Ising model; below or above the critical temperature",
    "sequences": "amino-acid-like tokens of a Markov source; the next token",
    "burgers": "the viscous Burgers equation; the exact field at a later time",
    "npz:DIR": "your .npz files: a sample a file (data, label), or many a file (x, y)",
    "folder:DIR": "your JPEG, PNG or TIFF images: a folder a class",
    "text:FILE": "your text, byte by byte",
    "tfds:NAME": "any set of TensorFlow Datasets",
}

UNLABELLED = {"sequences", "burgers", "text"}  # sets without classes to tell apart


def load(
    spec: str = "digits", limit: int | None = None, data_dir: str | Path | None = None
) -> Source:
    """Returns the source that a data spec names.

    What is not prepared yet is prepared now, by one process; others wait for it. Not so images in
    folders, which are read as they lie until `prepare` has converted them.

    Args:
        spec: A data spec: NAME or NAME:PLACE, and options after commas, for example
            ``"damage:3,quality=0.5"`` or ``"folder:photos,size=64"``.
        limit: Use the first so many samples, 70/20/10 of the three splits; all by default.
        data_dir: Where prepared sets lie, see `store.data_dir`.

    Raises:
        ValueError: The spec is unknown, its files are not what they should be, or the limit leaves
            a split without samples.
        OSError: A file can't be read, or a set not be downloaded.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"--limit {limit}: expected at least 1")
    name, place, options = parse(spec)
    folder = store.data_dir(data_dir)
    if name == "digits":
        return _digits(limit)
    if name in _FILES:
        source = _FILES[name](spec, place, options, folder)
    else:
        from tfsci.data.simulated import Simulated

        source = _simulated(Simulated.of(name, options), folder, limit)
    return _limited(source, limit)


def prepare(spec: str, data_dir: str | Path | None = None) -> Source:
    """Makes, converts or downloads a set where that is not done yet, and returns its source.

    Args:
        spec: As for `load`, like what is raised.
        data_dir: Same.
    """
    from tfsci.data.simulated import SIMULATORS, Simulated

    name, place, options = parse(spec)
    folder = store.data_dir(data_dir)
    if name == "folder":
        return _converted(spec, *_images(spec, place, options), folder)
    if name in SIMULATORS:  # of any size: `load` makes small ones in memory
        _prepare_simulated(Simulated.of(name, options), folder)
    return load(spec, data_dir=data_dir)


def parse(spec: str) -> tuple[str, str, dict[str, str]]:
    """Returns the name of a data spec, its place and its options.

    Raises:
        ValueError: The name is unknown, or the place is missing.
    """
    name, _, rest = spec.partition(":")
    places = {known.partition(":")[0]: known.partition(":")[2] for known in SPECS}
    if name not in places:
        raise ValueError(f"--data {spec}: unknown data set; expected one of {', '.join(SPECS)}")
    options = {}
    if places[name]:  # a path may hold commas; an option has a word and an equals sign
        while found := re.fullmatch(r"(.*),([a-z_]+)=([^,=]*)", rest, re.DOTALL):
            rest, options[found[2]] = found[1], found[3]
        if not rest:
            raise ValueError(f"--data {spec}: expected {name}:{places[name]}")
        return name, rest, options
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        key, value = (key, value) if equals else ("", item)
        if key in options:
            raise ValueError(f"--data {spec}: {key or 'a bare value'} comes twice")
        options[key] = value
    if name == "digits" and options:
        raise ValueError(f"--data {spec}: digits take no options")
    return name, "", options


def _digits(limit: int | None) -> Source:
    """Scikit-learn's 1,797 handwritten digits, real 8×8 images (UCI, Alpaydin and Kaynak 1998)."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1)[:limit].astype("float32")
    y = y[:limit].astype("int32")
    parts = [Split(x[part], y[part]) for part in map(np.sort, stratified_split(y))]
    _check_limit("digits", parts, limit, 100)
    return Source("digits", *parts, 10, class_names=tuple("0123456789"))


def _simulated(simulated: "Simulated", data_dir: Path, limit: int | None) -> Source:
    from tfsci.data import datasets

    folder = datasets.folder_of(simulated, data_dir)
    total = min(simulated.options["samples"], limit or np.inf)
    if total <= IN_MEMORY and not store.is_prepared(folder):
        _check_limit(simulated.spec, sizes(total), limit, 10)
        return simulated.in_memory(limit)
    return store.open_source(_prepare_simulated(simulated, data_dir))


def _prepare_simulated(simulated: "Simulated", data_dir: Path) -> Path:
    from tfsci.data import datasets

    folder = datasets.folder_of(simulated, data_dir)
    prepare = functools.partial(datasets.prepare_simulated, simulated, data_dir)
    store.ensure(folder, prepare, simulated.spec)
    return folder


def _place_of_converted(
    spec: str, module, path: Path, options: Mapping[str, int], data_dir: Path
) -> Path:
    from tfsci.data import convert

    of_path = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', path.stem)}-{of_path}"
    key = convert.fingerprint(module.files(path), options)
    return data_dir / spec.partition(":")[0] / name / key


def _converted(spec: str, module, path: Path, options: Mapping[str, int], data_dir: Path) -> Source:
    from tfsci.data import convert

    folder = _place_of_converted(spec, module, path, options, data_dir)

    def prepare():
        for old in folder.parent.glob("*/"):  # of files that have changed since
            if old.name.partition(".")[0] != folder.name:
                store.remove(old)
        convert.convert(spec, module.collect(path, **options), folder)

    store.ensure(folder, prepare, spec)
    return replace(store.open_source(folder), name=spec)


def _npz(spec: str, place: str, options: Mapping[str, str], data_dir: Path) -> Source:
    from tfsci.data import npz

    given = whole_options(spec, options, "classes")
    return _converted(spec, npz, _path(place), given, data_dir)


def _folder(spec: str, place: str, options: Mapping[str, str], data_dir: Path) -> Source:
    from tfsci.data import direct

    module, path, given = _images(spec, place, options)
    folder = _place_of_converted(spec, module, path, given, data_dir)
    if store.is_prepared(folder):
        return replace(store.open_source(folder), name=spec)
    elsewhere = [] if data_dir == store.data_dir() else ["--data-dir", str(data_dir)]
    kept_by = shlex.join(["tfsci", "data", "prepare", spec, *elsewhere])
    return direct.source(spec, module.collect(path, **given), kept_by)


def _images(spec: str, place: str, options: Mapping[str, str]):
    from tfsci.data import images

    return images, _path(place), whole_options(spec, options, "size")


def _path(place: str) -> Path:
    return Path(place).expanduser().absolute()


def _text(spec: str, place: str, options: Mapping[str, str], data_dir: Path) -> Source:
    from tfsci.data import text

    given = whole_options(spec, options, "length")
    splits = text.splits(_path(place), **given)
    return Source(spec, *splits, text.VOCABULARY_SIZE, measure="loss")


def _tfds(spec: str, place: str, options: Mapping[str, str], data_dir: Path) -> Source:
    from tfsci.data import datasets

    return replace(
        datasets.load(place, data_dir, **whole_options(spec, options, "size")), name=spec
    )


_FILES: Mapping[str, Callable] = {"npz": _npz, "folder": _folder, "text": _text, "tfds": _tfds}


def whole_options(spec: str, options: Mapping[str, str], known: str) -> dict[str, int]:
    """Returns the options of a spec that knows one alone, a whole number above 0."""
    for key, value in options.items():
        if key != known:
            raise ValueError(f"--data {spec}: no option {key!r}; expected {known}=NUMBER")
        if not value.isascii() or not value.isdigit() or not int(value):
            raise ValueError(f"--data {spec}: {key}={value}: expected a whole number above 0")
    return {key: int(value) for key, value in options.items()}


def _limited(source: Source, limit: int | None) -> Source:
    """Returns the first samples of each split, in the shares that the whole set is cut by."""
    if limit is None:
        return source
    parts = {
        name: split.first(size)
        for (name, split), size in zip(source.splits.items(), sizes(limit), strict=True)
    }
    _check_limit(source.name, list(parts.values()), limit, 10)
    return replace(source, **parts)


def _check_limit(name: str, parts: list, limit: int | None, least: int) -> None:
    if not all(getattr(part, "num_samples", part) for part in parts):
        raise ValueError(
            f"--limit {limit}: leaves a split of {name} without samples; use at least {least}"
        )
