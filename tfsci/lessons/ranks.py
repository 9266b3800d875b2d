"""Ranks for a lesson: those of its launcher, or a job that it starts by itself."""

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tfsci import command
from tfsci.distributed.launch import detect
from tfsci.distributed.strategy import Strategy, choose
from tfsci.lessons.eight_steps import Recipe, Result, train


def on_ranks(
    recipes: Mapping[str, Recipe], ranks: int = 2, strategy: str = "horovod"
) -> Iterator[Result]:
    """Trains recipes one after the other in a job, which is started where no launcher has.

    Args:
        recipes: By name.
        ranks: Of the job that is started, each with a core of its own while there are as many.
        strategy: ``"horovod"``; or ``"multiworker"``, or ``"mirrored"`` for as many replicas,
            where this process is no rank itself.

    Returns:
        An iterator over the results, in order; each comes as soon as it is there.

    Raises:
        ModuleNotFoundError: Horovod is not installed.
        ChildProcessError: The job failed.
    """
    if strategy == "horovod" and not importlib.util.find_spec("horovod"):
        raise ModuleNotFoundError(
            "Horovod is not installed in this environment, and the ranks need it; "
            "'make horovod' or 'tfsci install-horovod' builds it, in some minutes"
        )
    if are_here():
        return (train(recipe, _horovod()) for recipe in recipes.values())
    return _job(recipes, ranks, strategy)


def are_here() -> bool:
    """Whether a launcher has started this process as a rank among others."""
    return detect().world_size > 1


def world_size(ranks: int = 2) -> int:
    """Returns how many ranks `on_ranks` trains on: those of the launcher, or those to start."""
    return detect().world_size if are_here() else ranks


@functools.cache
def _horovod() -> Strategy:
    return choose("horovod", timeline=True)


def _job(recipes: Mapping[str, Recipe], ranks: int, strategy: str) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "results").touch()
        asked = {
            "strategy": strategy,
            "replicas": ranks if strategy == "mirrored" else None,
            "recipes": [dataclasses.asdict(recipe) for recipe in recipes.values()],
        }
        (folder / "recipes.json").write_text(json.dumps(asked))
        processes, last = _start(folder, ranks, strategy), None
        try:
            for result in _results(folder, processes, len(recipes)):
                if last:
                    yield last
                last = result
            for process in processes:
                process.wait()
        finally:
            for process in processes:
                process.terminate()
    yield last  # when the job is over, so that nobody needs to ask for more


def _start(folder: Path, ranks: int, strategy: str) -> list[subprocess.Popen]:
    """Starts the job's processes, on as many cores as there are ranks."""
    words = [sys.executable, "-m", "tfsci.lessons.ranks", str(folder)]
    environs = [{}]
    if strategy == "horovod":
        beside = Path(sys.executable).with_name("horovodrun")
        launcher = str(beside) if beside.exists() else "horovodrun"
        words = [launcher, "-np", str(ranks), *words]
    elif strategy == "multiworker":
        environs = [{"RANK": str(rank), "WORLD_SIZE": str(ranks)} for rank in range(ranks)]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:ranks])  # a process inherits its parent's
    try:
        with (folder / "log").open("w") as log:
            return [
                subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**os.environ, **environ, "TFSCI_ALONE": "1"},
                )
                for environ in environs
            ]  # fmt: skip
    finally:
        os.sched_setaffinity(0, cores)


def _results(folder: Path, processes: Sequence[subprocess.Popen], count: int) -> Iterator[Result]:
    """Yields the lines that the first rank writes, while the job runs."""
    text = ""
    with (folder / "results").open() as lines:
        while count:
            ended = [process.poll() for process in processes]
            text += lines.read()
            *whole, text = text.split("\n")
            for line in whole:
                yield Result(**json.loads(line))
                count -= 1
            if count and (any(ended) or None not in ended):
                said = (folder / "log").read_text(errors="replace").strip().splitlines()
                raise ChildProcessError(f"the ranks ended early: {(said or ['no word'])[-1]}")
            time.sleep(0.05)


def main() -> None:
    """Trains on a rank of a job that `on_ranks` has started."""
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "recipes.json").read_text())
    if asked["strategy"] == "horovod":
        ranks = _horovod()
    else:
        ranks = choose(asked["strategy"], replicas=asked["replicas"])
    for recipe in asked["recipes"]:
        result = train(Recipe(**recipe), ranks)
        if ranks.is_chief:
            with (folder / "results").open("a") as lines:
                lines.write(json.dumps(dataclasses.asdict(result)) + "\n")


if __name__ == "__main__":
    command.run(main)
