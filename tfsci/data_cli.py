"""`tfsci data`: what data sets there are, and what can be done with them before training."""

import argparse
import functools
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from tfsci.data import catalog, store
from tfsci.data.source import SPLITS
from tfsci.progress import Progress
from tfsci.training.options import Parser, positive_int

_EPILOG = f"""\
A data spec (SPEC) is one of
  {", ".join(list(catalog.SPECS)[:7])},
  {", ".join(list(catalog.SPECS)[7:])};
options follow after commas, as in damage:3,quality=0.5,samples=20000
"""


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci data`; returns 1 where a check has found something wrong."""
    return _parser().run(argv)


def _parser() -> Parser:
    wide = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=28)
    about = "What data sets there are, and what can be done with them before training."
    parser = Parser("tfsci data", description=about, epilog=_EPILOG, formatter_class=wide)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(name, run, about, specs="SPEC"):
        added = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        added.formatter_class, added.epilog = wide, _EPILOG
        added.set_defaults(run=run, prog=added.prog)
        if specs:
            added.add_argument("specs", nargs="*", metavar=specs, help="data spec, or --data SPEC")
            added.add_argument("--data", action="append", default=[], help=argparse.SUPPRESS)
        folder = "where prepared sets lie (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)"
        added.add_argument("--data-dir", metavar="DIR", help=folder)
        return added.add_argument

    command("list", _list, "list the built-in sets and those that are prepared", specs=None)
    command("prepare", _prepare, "make, convert or download sets now, before a job needs them")
    add = command("show", _show, "draw samples with their classes, as a PNG")
    add("--output", metavar="FILE", help="the picture (default: named after the spec, here)")
    add("--samples", type=positive_int, metavar="N", help="at most (default: 40; 12 of sequences)")
    add("--split", choices=SPLITS, default="train", help="whose (default: train)")
    command("check", _check, "read all of a set and say what is wrong")
    add = command(
        "export", _export, "write a labelled set as files, a sample a file", "SPEC DIR",
    )  # fmt: skip
    add("--format", choices=["npz"], default="npz", help="of the files (default: npz)")
    add("--limit", type=positive_int, metavar="N", help="write the first N samples")
    return parser


def _specs(arguments: argparse.Namespace, most: int | None = 1) -> list[str]:
    """Returns the data specs that are given, with or without ``--data``."""
    specs = [*arguments.data, *arguments.specs]
    if not specs or (most and len(specs) > most):
        expected = f"{most} SPEC" if most else "a SPEC or more"
        raise ValueError(f"expected {expected}, got {len(specs)} (see {arguments.prog} --help)")
    for spec in specs:
        catalog.parse(spec)
    return specs


def _list(arguments: argparse.Namespace) -> None:
    from tfsci.data.inventory import inventory

    folder = store.data_dir(arguments.data_dir)
    rows = [("spec", "samples", "shape", "classes", "MB", "known answer", "prepared")]
    for entry in inventory(folder):
        rows.append(
            (
                entry.spec,
                _or_dash(entry.samples, ","),
                "×".join(map(str, entry.shape)) or "–",
                _or_dash(entry.num_classes, ","),
                _or_dash(entry.megabytes, ",.1f"),
                _answer(entry.known_answer, entry.measure),
                entry.prepared,
            )
        )
    print(f"prepared sets lie in {folder}\n")
    _table(rows, right=(1, 3, 4))


def _prepare(arguments: argparse.Namespace) -> None:
    folder = store.data_dir(arguments.data_dir)
    for spec in _specs(arguments, most=None):
        source = catalog.prepare(spec, folder)
        if catalog.parse(spec)[0] in ("digits", "text"):
            print(f"{spec}: needs no preparation", flush=True)
            continue
        sizes = {split: part.num_samples for split, part in source.splits.items()}
        files = [Path(file) for file in getattr(source.train, "files", ())]
        place = files[0].parent if files else folder
        size = sum(file.stat().st_size for file in files) / 1e6
        text = f"{size:,.1f} MB in " if files else "in "
        print(f"{spec}: {_sizes(sizes)}; {text}{place}", flush=True)


def _show(arguments: argparse.Namespace) -> None:
    from tfsci import plots
    from tfsci.data import samples

    (spec,) = _specs(arguments)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", spec).strip("-.")
    path = Path(arguments.output or f"{name}.png")
    if path.suffix.lower() != ".png":
        raise ValueError(f"--output {path}: expected a name that ends with .png")
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"--output {path}: expected a file in a folder that is there")
    given = samples.load(spec, data_dir=arguments.data_dir)
    x, y, columns = samples.choose(given, arguments.split, arguments.samples)
    figure = plots.contact_sheet(x, y, given.class_names, columns)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with warnings.catch_warnings():
            # Of letters that the font lacks: they are drawn as boxes.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            figure.savefig(part, dpi=120, format="png")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    print(f"{len(x)} samples of {spec} ({arguments.split}): {path}")


def _check(arguments: argparse.Namespace) -> int:
    from tfsci.data.check import check
    from tfsci.data.report import first_lines

    (spec,) = _specs(arguments)
    with _Bar(f"Checking {spec}") as update:
        report = check(spec, arguments.data_dir, update)
    number = sum(map(len, report.problems.values()))
    print(f"{spec}: {_sizes(report.samples)}" if report.samples else spec)
    if report.values:
        print("values {:.6g} to {:.6g}".format(*report.values))
    if report.counts:
        print()
        labels = sorted(set().union(*report.counts.values()))
        rows = [("class", *report.counts)]
        for label in labels:
            counts = (f"{of.get(label, 0):,}" for of in report.counts.values())
            rows.append((report.name(label), *counts))
        _table(rows, right=(1, 2, 3))
        print()
    for line in first_lines(report.notes):
        print(f"note: {line}")
    for line in first_lines(report.problems):
        print(f"wrong: {line}")
    print(f"{number:,} problem{'s' * (number > 1)}" if number else "nothing is wrong")
    return 1 if number else 0


def _export(arguments: argparse.Namespace) -> None:
    from tfsci.data.export import export

    if not arguments.specs:
        raise ValueError(f"expected SPEC and DIR (see {arguments.prog} --help)")
    folder = Path(arguments.specs.pop()).expanduser()
    (spec,) = _specs(arguments)
    with _Bar(f"Exporting {spec}") as update:
        sizes = export(spec, folder, arguments.limit, arguments.data_dir, update)
    print(f"{spec}: {_sizes(sizes)} in {folder}; --data npz:{folder} reads them")


class _Bar:
    """A progress bar that is there as soon as it is known how much there is to do."""

    def __init__(self, what: str):
        self._what, self._progress = what, None

    def __enter__(self):
        return self._update

    def __exit__(self, *_):
        if self._progress:
            self._progress.close()

    def _update(self, done: int, total: int) -> None:
        self._progress = self._progress or Progress(self._what, total)
        self._progress.update(done)


def _sizes(sizes: dict[str, int]) -> str:
    each = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    return f"{sum(sizes.values()):,} samples ({each})"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _answer(value: float | None, measure: str) -> str:
    if value is None:
        return "–"
    return f"{measure} {value:.3f}{' nats' * (measure == 'loss')}"


def _table(rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    """Prints rows in columns; `right` are those of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
