"""How a command ends: its result, or one line that says what was wrong, and an exit code."""

import contextlib
import gc
import os
import re
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tfsci import plots, training
from tfsci.distributed.echoes import is_echo
from tfsci.distributed.launch import detect
from tfsci.training.interrupts import Interrupted
from tfsci.training.options import Options
from tfsci.training.tasks import Classification, Task

# What library code raises for input, files and environments that can't work.
_EXPECTED = (ValueError, OSError, ImportError, FloatingPointError)

# How long a rank that is not the chief waits before it speaks: where the chief has found the same
# error the launcher ends this rank meanwhile, and the user reads one line, not one a rank.
_SECONDS_FOR_CHIEF = 3.0


def run(main: Callable[[], object]) -> None:
    """Runs a command and ends the process where it fails.

    An error that the user can mend is one line and exit code 2; anything else keeps its traceback
    and exit code 1. Under a launcher the process ends at once, without waiting for the others, so
    that the launcher ends the job; the rank that failed first is the one that speaks.

    Args:
        main: The command. A training that a signal or its time limit stopped ends with 0, or with
            128 and the signal's number where ``TFSCI_EXIT_BY_SIGNAL=1``. Set ``TFSCI_DEBUG=1`` to
            see the traceback of every error.
    """
    try:
        main()
    except Interrupted as interrupted:
        _stop(interrupted)
    except KeyboardInterrupt:
        _end(130, "interrupted")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _end(141)
    except SystemExit:
        raise
    except BaseException as error:
        _fail(error)


def train(options: Options, model: str, task: Task | None = None, **model_options: object) -> None:
    """Trains, draws the learning curves and tells the result.

    Args:
        options: How to train.
        model: A name that `tfsci.models.build` knows.
        task: What to train for; `Classification` by default.
        **model_options: Passed to the builder.
    """
    task = task or Classification()
    folder = training.run(options, model, task, _trace_steps, **model_options)
    if folder is None:
        return
    if options.profile and not options.quiet:
        _tell_profile(folder.path)
    metrics, history = folder.read_json("metrics.json"), folder.read_history()
    with folder.replacing("curves.png") as path:
        plots.save_curves(path, history, metrics)
    print(f"{task.summary(metrics)} · run folder {folder.path}")


def _trace_steps(folder: str, steps: int) -> object:
    from tfsci.profile.callback import TraceSteps

    return TraceSteps(folder, steps)


def _tell_profile(folder: Path) -> None:
    from tfsci import profile

    try:
        print(profile.report(folder).answer)
    except (OSError, ValueError) as error:  # the training is what was asked for
        print(f"no profile: {error}", file=sys.stderr)
    else:
        print(f"for the rest of it: tfsci profile report {shlex.quote(str(folder))}")


def _stop(interrupted: Interrupted) -> None:
    if interrupted.folder:
        folder = shlex.quote(str(interrupted.folder))
        print(f"{interrupted}; go on with the same command and --output {folder} --resume")
    name = interrupted.reason
    if os.environ.get("TFSCI_EXIT_BY_SIGNAL") and name.startswith("SIG"):
        sys.exit(128 + getattr(signal, name))


def _fail(error: BaseException) -> None:
    name = os.path.basename(sys.argv[0]).replace("__main__.py", "tfsci")
    rank, world_size = _place()
    if world_size > 1 and (rank > 0 or is_echo(error)):
        time.sleep(_SECONDS_FOR_CHIEF)
    if is_echo(error):
        _end(1, f"{name}: rank {rank} stopped because another rank did")
    where = f" (rank {rank} of {world_size})" if rank else ""
    error = _of_pipeline(error) or error
    if isinstance(error, _EXPECTED) and not os.environ.get("TFSCI_DEBUG"):
        _end(2, f"{name}: error: {_one_line(error)}{where}")
    _end(1, "".join(traceback.format_exception(error)).rstrip() + where)


def _end(code: int, message: str | None = None) -> None:
    """Prints and ends the process; without Python's clean-up where other ranks might be waited for.

    The end of a rank that has not told Horovod is what makes the launcher end the job.
    """
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.flush()
    if message:
        print(message, file=sys.stderr, flush=True)
    if _place()[1] > 1:
        os._exit(code)
    _let_go(sys.exception())
    sys.exit(code)


def _let_go(error: BaseException | None) -> None:
    """Frees the iterators that an error refers to, while their threads can still run Python.

    The end of an iterator waits for its threads; in Python's own clean-up it would wait forever.
    Keras and TensorFlow cut their own frames out of a traceback; those left still lead to them.
    """
    while error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for each, _ in traceback.walk_stack(frame):
                with contextlib.suppress(RuntimeError):  # it runs: the callers of this function
                    each.clear()
        error = error.__cause__ or error.__context__
    gc.collect()


def _place() -> tuple[int, int]:
    try:
        launch = detect()
    except ValueError:
        return 0, 1
    return launch.rank, launch.world_size


def _of_pipeline(error: BaseException) -> ValueError | None:
    """Returns what a function of the input pipeline raised for its data, where that is the error.

    TensorFlow hands on its text alone, traceback and all.
    """
    if type(error).__module__.startswith("tensorflow"):
        raised = re.search(r"(?m)^(?:\{\{.*\}\} )?ValueError: (.+)$", str(error))
        return ValueError(raised[1]) if raised else None
    return None


def _one_line(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__
