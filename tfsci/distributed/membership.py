"""Which ranks there are, while Horovod's elastic launcher drops and adds some.

`horovodrun --host-discovery-script` starts and ends processes; Horovod starts anew in each process
that is left. Its own elastic module for Keras knows Keras 2 alone (and reads what another process
sends by pickle): what is used here is no more than the launcher and its notice of new hosts.
"""

import os
from collections.abc import Mapping

from tfsci.distributed.strategy import Strategy


class RanksChange(Exception):
    """Horovod's launcher has other ranks for this training; raised on all ranks alike."""


def check_launcher(environ: Mapping[str, str] = os.environ) -> None:
    """Raises a ValueError where the launcher is not Horovod's elastic one."""
    if environ.get("HOROVOD_ELASTIC") != "1":
        raise ValueError(
            "--elastic: the launcher neither drops nor adds ranks; start with 'horovodrun -np 2 "
            "--min-np 1 --max-np 3 --host-discovery-script ./hosts.sh …', where hosts.sh prints a "
            "line host:slots for each host that is there"
        )


class Membership:
    """Hears of new hosts, and starts Horovod anew.

    Args:
        strategy: Horovod's, started.
    """

    def __init__(self, strategy: Strategy):
        from horovod.common.elastic import notification_manager

        self._strategy, self._news = strategy, False
        notification_manager.init()
        notification_manager.register_listener(self)

    def on_hosts_updated(self, timestamp, update) -> None:
        """Is called by a thread of Horovod's, on rank 0."""
        self._news = True

    def check(self) -> None:
        """Raises `RanksChange` where there are new hosts; every process calls it alike."""
        if any(self._strategy.gather(self._news)):
            raise RanksChange

    def renew(self) -> None:
        """Waits for the ranks that there are now, and takes this process's place among them."""
        import horovod.tensorflow as hvd

        self._news = False
        hvd.shutdown()
        hvd.init()
        self._strategy.rank, self._strategy.world_size = hvd.rank(), hvd.size()


def is_loss(error: BaseException) -> bool:
    """Whether an error says that another rank has gone."""
    kind = type(error)
    if kind.__module__.startswith("horovod"):
        return kind.__name__ == "HorovodInternalError"
    return kind.__module__.startswith("tensorflow") and "orovod" in str(error)
