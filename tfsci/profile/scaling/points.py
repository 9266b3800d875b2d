"""Times at several world sizes, from run folders or from a CSV file."""

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfsci.training.run_folder import read_history

# What must be the same in runs whose speeds are compared; the batch size is looked at apart.
_DECIDES_SPEED = (
    "model", "data", "task", "augment", "optimizer", "precision", "jit", "accumulate",
    "sync_batch_norm", "deterministic", "compression", "reduction",
)  # fmt: skip
# Examples whose time is told where only rates are known.
_EXAMPLES = 1000


@dataclass(frozen=True)
class Point:
    """A run.

    Attributes:
        world_size: Number of ranks.
        seconds: For a work that is the same at each size.
        batch_size: Global, the sum over the ranks; None where it is not known.
    """

    world_size: int
    seconds: float
    batch_size: int | None = None


def read(paths: Sequence[Path]) -> tuple[list[Point], str]:
    """Reads run folders, or a CSV file.

    Args:
        paths: Folders with ``config.json`` and ``metrics.json`` (or ``history.csv``), or one file
            with the columns ``world_size`` and ``seconds`` or ``examples_per_second``, and
            ``batch_size`` where that is known.

    Returns:
        The points, and which work their seconds are for.

    Raises:
        FileNotFoundError: There is no such file, or no run in a folder.
        ValueError: A file doesn't hold what it should, or runs are not comparable.
    """
    per_examples = f"{_EXAMPLES:,} examples"
    if len(paths) == 1 and not paths[0].is_dir():
        points, timed = _table(paths[0])
        return points, "the work" if timed else per_examples
    points, first = [], None
    for path in paths:
        if path.is_file():
            raise ValueError(f"{path}: give run folders, or one CSV file alone")
        options, point = _run(path)
        first = first or (path, options)
        _compare(path, options, *first)
        points.append(point)
    return points, per_examples


def _run(folder: Path) -> tuple[dict, Point]:
    config = _json(folder / "config.json")
    try:
        options, world_size = config["options"], config["world_size"]
        batch_size, metrics = options["batch_size"], {}
        if (folder / "metrics.json").exists():
            metrics = _json(folder / "metrics.json")
        rate = metrics.get("examples_per_second")
        if rate is None and (folder / "history.csv").exists():
            rows = read_history((folder / "history.csv").read_text(encoding="utf-8"))
            rate = statistics.median(row["examples_per_second"] for row in rows)
        ended = metrics.get("world_size", world_size)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder}: its files are no run's ({error!r})") from error
    if rate is None:
        raise ValueError(f"{folder}: holds no examples_per_second; give the folder of a training")
    if ended != world_size:
        raise ValueError(
            f"{folder}: began on {world_size} ranks and ended on {ended}; give runs of one size"
        )
    point = Point(
        _positive(world_size, f"{folder}: world_size", int),
        _EXAMPLES / _positive(rate, f"{folder}: examples_per_second", float),
        _positive(batch_size, f"{folder}: batch_size", int),
    )
    return options, point


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{path}: no such file; give run folders (--output of a training), or a CSV file"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: no run's")
    return found


def _compare(path: Path, options: dict, other: Path, others: dict) -> None:
    for name in _DECIDES_SPEED:
        mine, theirs = options.get(name), others.get(name)
        if mine == theirs:
            continue
        if isinstance(mine, dict) and isinstance(theirs, dict):
            key = next(key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key))
            name, mine, theirs = f"{name} {key}", mine.get(key), theirs.get(key)
        raise ValueError(f"{path} and {other} can't be compared: {name} is {mine!r} and {theirs!r}")


def _table(path: Path) -> tuple[list[Point], bool]:
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        columns = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        table = list(rows)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file or run folder") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no CSV file ({error})") from error
    timed = "seconds" in columns
    if "world_size" not in columns or not (timed or "examples_per_second" in columns):
        raise ValueError(
            f"{path}: expected a line with the columns world_size and seconds (or "
            f"examples_per_second), got {', '.join(columns)[:80] or 'nothing'}"
        )
    points = []
    for number, row in enumerate(table, 2):
        where = f"{path}, line {number}"
        name = "seconds" if timed else "examples_per_second"
        value = _positive(row[name], f"{where}: {name}", float)
        points.append(
            Point(
                _positive(row["world_size"], f"{where}: world_size", int),
                value if timed else _EXAMPLES / value,
                _positive(row["batch_size"], f"{where}: batch_size", int)
                if row.get("batch_size")
                else None,
            )
        )
    return points, timed


def _positive(value, name: str, kind: type):
    try:
        number = kind(value)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number < 1e15:
        expected = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: expected {expected} above 0, got {value!r}")
    return number
