"""Which callbacks a run has, and in which order."""

from tfsci.data.pipeline import Batches
from tfsci.distributed.strategy import Strategy
from tfsci.distributed.watch import Watch
from tfsci.training import checkpoint
from tfsci.training.checkpoint import Position
from tfsci.training.elastic import Elastic
from tfsci.training.interrupts import Interrupts
from tfsci.training.options import Options
from tfsci.training.run_folder import RunFolder


def members(
    watch: Watch, elastic: Elastic | None, train: Batches, position: Position, strategy: Strategy
) -> list:
    """Returns the callbacks that have to do with ranks that come and go; they come first."""
    from tfsci.training.commits import Commits
    from tfsci.training.watching import Watching

    commits = [Commits(elastic, train.steps, position, strategy)] if elastic else []
    return [Watching(watch, train.steps, position.step), *commits]


def savers(
    options: Options,
    folder: RunFolder | None,
    train: Batches,
    position: Position,
    strategy: Strategy,
    interrupts: Interrupts,
) -> list:
    """Returns the callbacks that write and print; what saves, on every process, comes last."""
    from tfsci.training.callbacks import History, Progress
    from tfsci.training.saving import Checkpoints

    saving = (train.steps, options.epochs, position.step, strategy, interrupts)
    if folder is None:
        return [Checkpoints(*saving)]
    history = History(folder, position.history)
    callbacks = [history]
    if not options.quiet:
        callbacks.append(Progress(options.epochs, train.steps, train.batch_size, position.step))
    writer = checkpoint.Writer(folder.checkpoints, options.keep_checkpoints)
    return [*callbacks, Checkpoints(*saving, history, writer)]
