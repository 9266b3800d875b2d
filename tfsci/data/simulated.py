"""The simulated sets: their options, their known answers, and their samples made in order.

Samples of training, validation and test have numbers of their own, far apart, so the first ones of
each are the same whatever the size of the set.
"""

import contextlib
import inspect
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from tfsci.data.example import Feature
from tfsci.data.source import Source, Split, sizes
from tfsci.simulate import burgers, damage, diffraction, galaxies, ising, sequences

FIRST = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}
SAMPLES = 10_000
_CHUNK = 100  # samples that a worker makes at once


@dataclass(frozen=True)
class Simulator:
    """A row of the table.

    Attributes:
        module: Of `tfsci.simulate`.
        make: Makes x and y of the samples whose numbers it is given.
        x: Key and dtype of inputs as they are stored; uint8 for pictures in 0 … 1.
        y: Key and dtype of targets.
        answer: Gives the known answer from those of the options that it takes.
        classes: Gives the number of classes and their names.
        measure: As in `Source`.
        short: The option that may stand without its name.
    """

    module: ModuleType
    make: Callable
    x: tuple[str, str]
    y: tuple[str, str]
    answer: Callable[..., float | None]
    classes: Callable[[Mapping], tuple[int | None, tuple[str, ...] | None]]
    measure: str = "accuracy"
    short: str | None = None

    @property
    def defaults(self) -> dict[str, object]:
        """Every option and its default: the parameters of `make`, and the number of samples."""
        parameters = list(inspect.signature(self.make).parameters.values())[1:]
        return {p.name: p.default for p in parameters} | {"samples": SAMPLES}


def next_tokens(indices, seed=0, length=128, order=2, contrast=1.5, source=0):
    """Makes tokens 1 … length of each sequence, and 2 … length + 1 to predict."""
    tokens = sequences.generate(indices, seed, length + 1, order, contrast, source)
    return tokens[:, :-1], tokens[:, 1:]


def _grades(options):
    names = damage.GRADES
    merged = {
        5: names,
        3: (names[0], f"{names[1]} to {names[2]}", f"{names[3]} or {names[4]}"),
        2: (f"up to {names[2]}", f"{names[3]} or {names[4]}"),
    }
    return options["classes"], merged[options["classes"]]


def _named(names):
    return len(names), tuple(names)


IMAGE, LABEL = ("image", "uint8"), ("label", "int32")
SIMULATORS = {
    "diffraction": Simulator(
        diffraction, diffraction.generate, IMAGE, LABEL, diffraction.best_accuracy,
        lambda options: _named(diffraction.CLASS_NAMES[options["classes"]]), short="classes",
    ),
    "damage": Simulator(
        damage, damage.generate, IMAGE, LABEL, damage.best_accuracy, _grades, short="classes",
    ),
    "galaxies": Simulator(
        galaxies, galaxies.generate, IMAGE, LABEL, galaxies.best_accuracy,
        lambda options: _named(galaxies.TYPES),
    ),
    "ising": Simulator(
        ising, ising.generate, ("spins", "int8"), LABEL, ising.best_accuracy,
        lambda options: (2, ("ordered", "disordered")),
    ),
    "sequences": Simulator(
        sequences, next_tokens, ("tokens", "int32"), ("next_tokens", "int32"),
        lambda length, order, contrast, source: sequences.loss_floor(
            length + 1, 1, order, contrast, source
        ),
        lambda options: (sequences.VOCABULARY_SIZE, tuple(sequences.AMINO_ACIDS)), "loss",
    ),
    "burgers": Simulator(
        burgers, burgers.pairs, ("initial", "float32"), ("final", "float32"),
        lambda: 0.0, lambda options: (None, None), "error",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Simulated:
    """A simulated set with its options.

    Attributes:
        name: A row of `SIMULATORS`.
        options: Every option of the simulator, and ``samples``.
    """

    name: str
    options: Mapping[str, object]

    @classmethod
    def of(cls, name: str, given: Mapping[str, str]) -> "Simulated":
        """Returns the set with options as the command line has them.

        Args:
            name: A row of `SIMULATORS`.
            given: Texts by the options' names; the key ``""`` stands for the simulator's short
                option.

        Raises:
            ValueError: An option is unknown, or its value can't be.
        """
        row = SIMULATORS[name]
        options = row.defaults
        for key, text in given.items():
            key = key or row.short
            if key not in options:
                raise ValueError(
                    f"--data {name}: {f'no option {key!r}' if key else 'takes no bare value'}; "
                    f"expected {', '.join(options)}, each as NAME=VALUE"
                )
            options[key] = _value(name, key, text, options[key])
        if options["samples"] < 10:
            raise ValueError(f"--data {name}: samples={options['samples']}: expected at least 10")
        made = cls(name, options)
        try:
            made.make("train", 0, 1)
        except ValueError as error:
            raise ValueError(f"--data {name}: {error}") from None
        return made

    @property
    def row(self) -> Simulator:
        """Its row of the table."""
        return SIMULATORS[self.name]

    @property
    def config(self) -> str:
        """The options that differ from the defaults, in a name that a folder can have."""
        defaults, short = self.row.defaults, self.row.short
        parts = [str(self.options["classes"])] if self.name == "damage" else []
        for key, value in self.options.items():
            if value != defaults[key] and not (parts and key == short):
                text = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
                parts.append(text if key == short else f"{key}-{text}")
        return "_".join(parts) or "default"

    @property
    def spec(self) -> str:
        """The data spec."""
        defaults, short = self.row.defaults, self.row.short
        parts = []
        for key, value in self.options.items():
            if value != defaults[key]:
                text = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
                parts.append(text if key == short else f"{key}={text}")
        return ":".join([self.name, *([",".join(parts)] if parts else [])])

    @property
    def known_answer(self) -> float | None:
        """The best value that is possible."""
        return self.row.answer(**_taken(self.row.answer, self.options))

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each split."""
        return dict(zip(FIRST, sizes(self.options["samples"]), strict=True))

    @property
    def features(self) -> tuple[Feature, Feature]:
        """How inputs and targets are stored."""
        x, y = self.make("train", 0, 1)
        return Feature(*self.row.x, x.shape[1:]), Feature(*self.row.y, y.shape[1:])

    def make(self, split: str, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Makes some samples of a split, as they are stored."""
        indices = FIRST[split] + np.arange(start, stop)
        x, y = self.row.make(indices, **_taken(self.row.make, self.options))
        if self.row.x[1] == "uint8":
            x = np.rint(255 * x)
        return x.astype(self.row.x[1]), y.astype(self.row.y[1])

    def in_memory(self, limit: int | None = None) -> Source:
        """Makes the set, or so many samples of it, in this process."""
        total = self.options["samples"] if limit is None else min(limit, self.options["samples"])
        parts = [
            Split(*self.make(split, 0, size))
            for split, size in zip(FIRST, sizes(total), strict=True)
        ]
        num_classes, names = self.row.classes(self.options)
        return Source(
            self.spec, *parts, num_classes, self.known_answer, self.row.measure, names
        )  # fmt: skip

    def chunks(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Makes a split's samples in order, some at a time, on all cores of this process."""
        total = self.sizes[split]
        bounds = [(start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)]
        yield from _on_all_cores([[self.name, dict(self.options), split, *b] for b in bounds])


def _taken(function: Callable, options: Mapping) -> dict:
    return {k: v for k, v in options.items() if k in inspect.signature(function).parameters}


def _value(name: str, key: str, text: str, default: object) -> object:
    kind = type(default)
    try:
        if kind is tuple:
            return tuple(type(d)(t) for d, t in zip(default, text.split("-"), strict=True))
        return kind(text)
    except ValueError:
        what = {int: "a whole number", float: "a number", tuple: "as many numbers, between dashes,"}
        raise ValueError(
            f"--data {name}: {key}={text}: expected {what[kind]} like {default}"
        ) from None


def _on_all_cores(jobs: list) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the results of jobs for `_serve` in order, from a worker process a core.

    Plain subprocesses: a pool of `multiprocessing` would run the user's script again in each.
    """
    code = "from tfsci.data.simulated import _serve; _serve()"
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environ = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    count = min(len(os.sched_getaffinity(0)), len(jobs))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        for _ in range(count)
    ]

    def ask(i: int) -> None:
        if i < len(jobs):
            workers[i % count].stdin.write(json.dumps(jobs[i]).encode() + b"\n")
            workers[i % count].stdin.flush()

    try:
        for i in range(2 * count):  # one at work, one waiting
            ask(i)
        for i in range(len(jobs)):
            yield _receive(workers[i % count])
            ask(i + 2 * count)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()


def _receive(worker: subprocess.Popen) -> tuple[np.ndarray, np.ndarray]:
    def array() -> np.ndarray:
        dtype, shape = json.loads(worker.stdout.readline() or b"[]")
        number = math.prod(shape) * np.dtype(dtype).itemsize
        return np.frombuffer(worker.stdout.read(number), dtype).reshape(shape)

    try:
        return array(), array()
    except ValueError:
        raise OSError(
            f"a process that makes samples ended early (exit code {worker.wait()}); "
            "was memory short?"
        ) from None


def _serve() -> None:
    """Makes what each line of standard input asks for, until it ends or nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends its workers
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for line in sys.stdin:
        name, options, split, start, stop = json.loads(line)
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        for array in Simulated(name, options).make(split, start, stop):
            header = json.dumps([array.dtype.str, array.shape])
            sys.stdout.buffer.write(header.encode() + b"\n" + array.tobytes())
        sys.stdout.buffer.flush()
