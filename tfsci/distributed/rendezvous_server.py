"""What rank 0 serves: the gathering of the ranks, then Horovod's own rendezvous, on one port.

Horovod's server does neither count who comes nor know whom to expect, takes a port at random and
answers anybody. This one is told its port, counts the ranks of one job by their token, and lets
Horovod's messages through once all have come, from their addresses only. Its own messages are JSON;
nothing that comes from the network is unpickled or evaluated.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Sequence

from horovod.runner.common.util.hosts import SlotInfo
from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

from tfsci.distributed.strategy import ranks_as_text

MAX_MESSAGE = 4096  # bytes of a rank's report
PATH = "/tfsci/gather"

_MAX_PER_RANK = 4096  # bytes that a rank tells Horovod for each rank; seen: some 200


class Gathering(RendezvousHTTPServer):
    """Counts the ranks of a job, gives each its place, then serves Horovod's rendezvous.

    It answers from a daemon thread until the process ends: Horovod asks again for process sets.

    Args:
        address: Interface (``""`` for all) and port to listen on.
        token: What the ranks of this job and no other say.
        world_size: Number of ranks to wait for.
        timeout: Seconds until it gives up on ranks that have not come.

    Raises:
        OSError: The address is in use, or not this host's.
    """

    request_queue_size = 1024  # 5 otherwise: a large job's ranks would be turned away
    daemon_threads = True

    def __init__(self, address: tuple[str, int], token: str, world_size: int, timeout: float):
        self._token, self._world_size, self._timeout = token, world_size, timeout
        self._reports = {}  # rank: (id of its process, label of its host, its address)
        self._verdict = None  # once known, rank → its answer
        self._told = set()
        self._changed = threading.Condition()
        self.addresses = frozenset()  # whom Horovod's messages may come from
        super().__init__(address, _Handler, 0)
        for target in (self.serve_forever, self._give_up):
            threading.Thread(target=target, daemon=True).start()

    def gather(self, report: object, address: str) -> dict:
        """Returns the answer to a rank's report.

        Args:
            report: As decoded from JSON: ``token``, ``rank``, ``id`` of its process and ``host``.
            address: Where it came from.

        Returns:
            ``refused`` with a reason; or ``wait`` with the ranks that are missing; or ``error``
            with a reason, for all ranks; or ``place`` with the fields of Horovod's `SlotInfo` and
            ``peer``, the address of a rank on another host (None where there is one host).
        """
        kinds = {"token": str, "rank": int, "id": str, "host": str}
        if type(report) is not dict or any(type(report.get(k)) is not t for k, t in kinds.items()):
            return {"refused": f"a report has {', '.join(kinds)}"}
        if report["token"] != self._token:
            return {"refused": f"another job's rank 0 ({self._token}) is there"}
        rank, process = report["rank"], report["id"]
        if not 0 <= rank < self._world_size:
            return {"refused": f"rank {rank} is not one of 0 … {self._world_size - 1}"}
        # Host names alone may be equal ("localhost"), and so may addresses behind a gateway.
        here = (process, f"{re.sub(r'[^A-Za-z0-9.-]', '-', report['host'])}-{address}", address)
        with self._changed:
            known = self._reports.get(rank)
            if known and known[0] != process:
                reason = f"rank {rank} came twice, from {known[1]} and {here[1]}: two jobs share it"
                if not self._verdict:
                    self._decide(lambda _: {"error": reason})
                return {"refused": reason}
            if not known:
                if self._verdict:
                    return {"refused": f"rank {rank} came after the others were told to end"}
                self._reports[rank] = here
                if len(self._reports) == self._world_size:
                    self._start_horovod()
            if not self._verdict:
                return {"wait": self._missing()}
            return self._verdict(rank)

    def told(self, rank: int) -> None:
        """Notes that a rank's answer is on its way: this process may end without cutting it."""
        with self._changed:
            self._told.add(rank)
            self._changed.notify_all()

    def wait_until_told(self, timeout: float) -> None:
        """Waits until every rank that came has been answered."""
        with self._changed:
            self._changed.wait_for(lambda: self._told >= set(self._reports), timeout)

    def handle_error(self, request, client_address) -> None:
        """Says nothing of a connection that broke: its rank tries again, or is missed."""

    def _missing(self) -> list[int]:
        return [rank for rank in range(self._world_size) if rank not in self._reports]

    def _decide(self, verdict) -> None:
        self._verdict = verdict
        self._changed.notify_all()

    def _start_horovod(self) -> None:
        reports = [self._reports[rank] for rank in range(self._world_size)]
        addresses = [address for _, _, address in reports]
        places = plan([host for _, host, _ in reports])
        self.init(places)
        self.addresses = frozenset(addresses)

        def answer(rank):
            others = (a for a, p in zip(addresses, places, strict=True)
                      if p.hostname != places[rank].hostname)  # fmt: skip
            return {"place": {**vars(places[rank]), "peer": next(others, None)}}

        self._decide(answer)

    def _give_up(self) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._verdict, self._timeout):
                return
            missing = self._missing()
            reason = (
                f"{ranks_as_text(missing)} of {self._world_size} did not come within "
                f"{self._timeout:g} s: see what their output says and how many the launcher "
                "started, or wait longer with TFSCI_START_TIMEOUT=seconds"
            )
            self._decide(lambda _: {"error": reason})


class _Handler(RendezvousHandler):
    """Our one message, and Horovod's where they come from one of the job's ranks."""

    def do_POST(self):
        length = self._length(MAX_MESSAGE)
        if self.path != PATH or length is None:
            return self.send_status_code(400)
        try:
            report = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError, OSError):
            return self.send_status_code(400)
        answer = self.server.gather(report, self.client_address[0])
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        if "error" in answer or "place" in answer:
            self.server.told(report["rank"])

    def do_HEAD(self):  # the base class would tell of files in the working directory
        self.send_status_code(400)

    def do_GET(self):
        if self._is_horovods():
            super().do_GET()

    def do_PUT(self):
        if self._is_horovods(_MAX_PER_RANK * self.server._world_size):
            super().do_PUT()

    def do_DELETE(self):
        if self._is_horovods():
            super().do_DELETE()

    def _is_horovods(self, most: int | None = None) -> bool:
        if (
            self.client_address[0] in self.server.addresses
            and self.path.count("/") == 2
            and (most is None or self._length(most) is not None)
        ):
            return True
        self.send_status_code(403)
        return False

    def _length(self, most: int) -> int | None:
        text = self.headers.get("Content-Length", "")
        return int(text) if re.fullmatch(r"[0-9]{1,12}", text) and int(text) <= most else None


def plan(hosts: Sequence[str]) -> list[SlotInfo]:
    """Returns every rank's place, as Horovod's own launcher would count.

    Args:
        hosts: The host of each rank; ranks of a host need not be neighbours.

    >>> [(p.local_rank, p.local_size, p.cross_rank, p.cross_size) for p in plan(["a", "b", "a"])]
    [(0, 2, 0, 2), (0, 1, 1, 2), (1, 2, 0, 1)]
    """
    ranks_of = {}  # hosts in the order of their first rank
    for rank, host in enumerate(hosts):
        ranks_of.setdefault(host, []).append(rank)
    places = []
    for rank, host in enumerate(hosts):
        local = ranks_of[host].index(rank)
        cross = [other for other, ranks in ranks_of.items() if len(ranks) > local]
        places.append(SlotInfo(host, rank, local, cross.index(host), len(hosts),
                               len(ranks_of[host]), len(cross)))  # fmt: skip
    return places


def serve(
    address: tuple[str, int], token: str, world_size: int, timeout: float, patience: float
) -> Gathering:
    """Starts a `Gathering`, trying for `patience` seconds while an earlier job ends."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            return Gathering(address, token, world_size, timeout)
        time.sleep(0.2)
    return Gathering(address, token, world_size, timeout)
