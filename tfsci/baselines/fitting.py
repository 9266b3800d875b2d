"""Every fit of a comparison: to choose settings, to cross-validate, and to test once."""

import contextlib
import dataclasses
import functools
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfsci.baselines import table
from tfsci.baselines.measures import MEASURES, Score
from tfsci.baselines.problem import Problem
from tfsci.baselines.results import Comparison, Result
from tfsci.baselines.trained import Trained
from tfsci.data.source import SPLITS, Split
from tfsci.progress import Progress


@dataclass(frozen=True)
class _Fit:
    """What is to be fitted, to what, and what is to be measured.

    Attributes:
        baseline: A row of the table.
        settings: Options of its estimator from its grid.
        options: Further arguments of `table.pipeline`.
        splits: The data.
        scored: Names of splits to measure it on; none in cross-validation.
        fold: Training samples to fit to, and those to measure it on; all of them where None.
    """

    baseline: table.Baseline
    settings: Mapping[str, object]
    options: Mapping[str, object]
    splits: Mapping[str, Split]
    scored: Sequence[str] = ()
    fold: tuple[np.ndarray, np.ndarray] | None = None


class _Fitted(NamedTuple):
    scores: dict[str, Score]
    seconds: float
    notes: list[str]


def check(problem: Problem, only: Sequence[str] = (), folds: int = 5) -> None:
    """Raises the ValueErrors of `compare`, before anything is fitted."""
    table.choose(problem.task, only)
    _folds(problem, folds, 0)


def compare(
    problem: Problem,
    only: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
    trained: Sequence[Trained] = (),
    progress: Callable[[str, int], Progress] | None = None,
) -> Comparison:
    """Fits baselines to the training samples and tests each once.

    The settings of each are those that do best on the validation samples; with these it is
    cross-validated on the training samples, and then fitted to all of them.

    Args:
        problem: The data.
        only: Names of baselines; all that the data allow by default.
        folds: Of the cross-validation, 2 or more; each holds every class in its share.
        seed: Of folds and baselines.
        jobs: Processes that fit at the same time.
        trained: Networks to stand beside them.
        progress: Makes what shows how far it is, from what is done and the number of fits.

    Raises:
        ValueError: A name is unknown or not for this data, or there are not so many folds.
    """
    rows = table.choose(problem.task, only)
    cuts = _folds(problem, folds, seed)
    fewest = min(len(fitted_to) for fitted_to, _ in cuts)
    grids = {row.name: row.settings(fewest) for row in rows}
    options = {
        "num_inputs": problem.num_inputs,
        "num_samples": fewest,
        "num_classes": problem.source.num_classes,
        "seed": seed,
    }
    make = functools.partial(_Fit, options=options, splits=problem.splits)
    total = sum(len(grid) for grid in grids.values() if len(grid) > 1) + len(rows) * (folds + 1)
    bar = contextlib.closing(progress("Fitting baselines", total)) if progress else None
    with bar or contextlib.nullcontext() as shown:
        run = _Runner(jobs, shown)
        chosen = _choose(rows, grids, make, run)
        fits = []
        for row in rows:
            settings = chosen[row.name]
            fits.append(make(row, settings, scored=SPLITS))
            fits += [make(row, settings, fold=fold) for fold in cuts]
        found = run(fits)
    results = [
        _result(row, chosen[row.name], *found[i * (folds + 1) : (i + 1) * (folds + 1)])
        for i, row in enumerate(rows)
    ]
    source = problem.source
    made = Comparison(
        source.name, source.measure, source.known_answer, problem.used, folds, seed, results,
        trained,
    )  # fmt: skip
    return dataclasses.replace(made, results=made.in_order)


def _choose(rows, grids, make, run) -> dict[str, Mapping[str, object]]:
    """Returns the settings of each row that do best on the validation samples."""
    fits = [
        make(row, settings, scored=("validation",))
        for row in rows
        for settings in grids[row.name]
        if len(grids[row.name]) > 1
    ]
    chosen = {name: (grid[0], None) for name, grid in grids.items()}
    for fit, fitted in zip(fits, run(fits), strict=True):
        value, best = fitted.scores["validation"].value, chosen[fit.baseline.name][1]
        sign = 1 if MEASURES[fit.baseline.measure].higher_is_better else -1
        if best is None or math.isnan(best) or sign * value > sign * best:
            chosen[fit.baseline.name] = (fit.settings, value)
    return {name: settings for name, (settings, _) in chosen.items()}


def _folds(problem: Problem, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    split = problem.splits["train"]
    classes = problem.task == "classes"
    most = int(np.unique(split.y, return_counts=True)[1].max()) if classes else len(split.y)
    most = min(most, len(split.y) // 2)  # two samples or more to fit to
    if not 2 <= folds <= most:
        raise ValueError(
            f"--folds {folds}: expected 2 to {max(2, most)} for {len(split.y)} training samples"
            + (", fewer than the largest class has" if classes else "")
        )
    kind = StratifiedKFold if classes else KFold
    with warnings.catch_warnings():
        # A class with fewer samples than folds is missing from some folds, which is no fault.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(kind(folds, shuffle=True, random_state=seed).split(split.x, split.y))


class _Runner:
    """Fits, and shows how many fits are done; called several times, it counts on."""

    def __init__(self, jobs: int, shown: Progress | None):
        self._jobs, self._shown, self._done = jobs, shown, 0

    def __call__(self, fits: Sequence[_Fit]) -> list[_Fitted]:
        found = []
        with warnings.catch_warnings():
            # What joblib says of an interrupt, which is told already.
            warnings.filterwarnings("ignore", ".* tasks which were still being processed")
            for fitted in self._in_order(fits):
                found.append(fitted)
                self._done += 1
                if self._shown:
                    self._shown.update(self._done)
        return found

    def _in_order(self, fits: Sequence[_Fit]) -> Iterable[_Fitted]:
        if self._jobs == 1:
            return map(_fit, fits)
        from joblib import Parallel, delayed

        with _interrupts_held_back():
            return Parallel(self._jobs, return_as="generator")(delayed(_fit)(each) for each in fits)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Lets processes that start now not hear Ctrl-C, each in its own way: this one ends them."""
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker

    # Each lets interrupts through again when it starts.
    resource_tracker.ensure_running()
    loky_resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _fit(fit: _Fit) -> _Fitted:
    made = table.pipeline(fit.baseline, **fit.options, **fit.settings)
    score = MEASURES[fit.baseline.measure].score
    x, y = fit.splits["train"]
    measured = {name: fit.splits[name] for name in fit.scored}
    if fit.fold is not None:
        rows, held_out = fit.fold
        measured["fold"] = Split(x[held_out], y[held_out])
        x, y = x[rows], y[rows]
    # Several threads would add up in another order, and wait for each other where the samples are
    # few or the cores taken; `jobs` is for that. Warnings of a worker process would reach the
    # terminal past every filter of this one.
    with _threads().limit(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        try:
            made.fit(x, y)
            seconds = time.perf_counter() - start
            scores = {name: score(made, *split) for name, split in measured.items()}
        except (ValueError, np.linalg.LinAlgError) as error:
            # One that these data are nothing for; the others go on.
            seconds, scores = math.nan, dict.fromkeys(measured, Score(math.nan))
            warnings.warn(f"failed: {error}", stacklevel=1)
    return _Fitted(scores, seconds, list(dict.fromkeys(map(_note, caught))))


@functools.cache
def _threads():
    """Returns what limits the threads of linear algebra and OpenMP, which are loaded by now."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _note(caught: warnings.WarningMessage) -> str:
    if caught.category.__name__ == "ConvergenceWarning":
        return "did not converge"
    return str(caught.message).strip().partition("\n")[0]


def _result(
    row: table.Baseline, settings: Mapping[str, object], whole: _Fitted, *crossed: _Fitted
) -> Result:
    values = np.array([each.scores["fold"].value for each in crossed])
    test = whole.scores["test"]
    return Result(
        name=row.name,
        title=row.title,
        measure=row.measure,
        settings=settings,
        cross_validation=float(values.mean()),
        standard_error=float(values.std(ddof=1) / np.sqrt(len(values))),
        training=whole.scores["train"].value,
        validation=whole.scores["validation"].value,
        test=test.value,
        test_standard_error=test.standard_error,
        seconds=whole.seconds,
        others=test.others,
        notes=tuple(dict.fromkeys(note for each in (whole, *crossed) for note in each.notes)),
    )
