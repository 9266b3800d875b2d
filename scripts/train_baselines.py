"""Compares scikit-learn's classical methods on a data set, and trained networks with them.

python scripts/train_baselines.py --data digits
python scripts/train_baselines.py --data damage:2 --compare runs/damage-2-cnn-20261121-120000
"""

import time
from importlib.metadata import version
from pathlib import Path

from tfsci import baselines, command, plots
from tfsci.baselines import files, table, trained
from tfsci.data import catalog
from tfsci.distributed import facts, launch
from tfsci.progress import Progress
from tfsci.training.options import Parser, not_negative_int, positive_int
from tfsci.training.run_folder import RunFolder


def main() -> None:
    """Parses the command line, compares, and leaves a run folder."""
    options = _parser().parse_args()
    table.check_names(options.only)
    if launch.detect().world_size > 1:
        raise ValueError("baselines are fitted by one process (--jobs N); leave the launcher out")
    problem = baselines.load(options.data, options.limit, options.data_dir)
    baselines.check(problem, options.only, options.folds)
    networks = trained.read_all(options.compare, problem.source, options.limit)
    name = options.data.replace(":", "-").replace("/", "-")
    path = Path(options.output or f"runs/{name}-baselines-{time.strftime('%Y%m%d-%H%M%S')}")
    settings = {**vars(options), "model": {"name": files.MODEL}}
    files.clear(path, settings)
    versions = {**facts.versions(), "scikit-learn": version("scikit-learn")}
    folder = RunFolder(path, {"options": settings, "versions": versions})
    if not options.quiet:
        print(problem.headline(), end="\n\n", flush=True)
    found = baselines.compare(
        problem, options.only, options.folds, options.seed, options.jobs,
        trained=networks, progress=None if options.quiet else Progress,
    )  # fmt: skip
    with folder.replacing("baselines.csv") as file:
        file.write_text(found.as_csv(), encoding="utf-8")
    with folder.replacing("baselines.png") as file:
        plots.save_comparison(file, found)
    folder.write_json("metrics.json", found.as_dict())
    print(f"{found.as_text()}\n\nrun folder {folder.path}")


def _parser() -> Parser:
    parser = Parser(description="Compare scikit-learn's classical methods on a data set.")
    add = parser.add_argument
    add("--data", metavar="SPEC", default="digits", help=f"data spec: {', '.join(catalog.SPECS)}")
    add("--data-dir", metavar="DIR", help="where prepared sets lie")
    add("--limit", type=positive_int, metavar="N", help="use the first N samples of the data")
    add("--seed", type=not_negative_int, default=0, metavar="N", help="of folds and baselines (0)")
    add("--only", type=lambda text: text.split(","), default=[], metavar="NAMES",
        help=f"of {', '.join(table.NAMES)} (all), with commas between")  # fmt: skip
    add("--folds", type=positive_int, default=5, metavar="K", help="of the cross-validation (5)")
    add("--compare", nargs="+", default=[], metavar="DIR",
        help="run folders of networks that were trained on the same data")  # fmt: skip
    add("--jobs", type=positive_int, default=1, metavar="N", help="fit N at the same time (1)")
    add("--output", metavar="DIR", help="run folder (default: a new one under runs/)")
    add("--quiet", action="store_true", help="print the result alone")
    return parser


if __name__ == "__main__":
    command.run(main)
