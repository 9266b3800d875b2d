"""What rank 0 hears from the watch of every rank: lines of JSON over TCP, with the job's token.

Nothing that comes from the network is unpickled or evaluated; a stranger is hung up on.
"""

import contextlib
import hmac
import json
import os
import selectors
import socket
import time
from collections.abc import Sequence

from tfsci.distributed.missing import Roll

LINE = 4096  # bytes of a message

_STRANGERS = 64  # connections that have not said the token


class Server:
    """Keeps the roll; one thread calls `serve` again and again.

    Args:
        roll: What it hears goes there.
        world_size: Number of ranks.

    Attributes:
        port: Where it listens, on all interfaces.
        token: What the ranks of this job say.
    """

    def __init__(self, roll: Roll, world_size: int):
        self._roll, self._world_size = roll, world_size
        self.token = os.urandom(16).hex()
        self._listener = socket.create_server(("", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lines = {}  # connection: what came of its next line
        self._ranks = {}  # connection: its rank

    def serve(self, seconds: float) -> None:
        """Takes what comes within some seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._receive(key.fileobj)

    def send(self, message: dict) -> None:
        """Tells every rank something; what can't be sent at once is lost."""
        line = json.dumps(message).encode() + b"\n"
        for connection in list(self._ranks):
            try:
                connection.send(line)
            except BlockingIOError:
                continue  # stopped, or far behind
            except OSError:
                self._hang_up(connection)

    def connected(self) -> set[int]:
        """Returns the ranks that are connected."""
        return set(self._ranks.values())

    def close(self) -> None:
        """Hangs up."""
        for connection in [*self._lines, self._listener]:
            connection.close()
        self._selector.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            if len(self._lines) - len(self._ranks) >= _STRANGERS:
                connection.close()
                return
            connection.setblocking(False)
            self._lines[connection] = b""
            self._selector.register(connection, selectors.EVENT_READ)

    def _receive(self, connection):
        try:
            data = connection.recv(LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, rest = (self._lines[connection] + data).split(b"\n")
        self._lines[connection] = rest
        good = all(self._take(connection, line) for line in lines)
        if not data or not good or len(rest) > LINE:
            self._hang_up(connection)

    def _take(self, connection, line: bytes) -> bool:
        """Returns whether a line is what a rank says."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if type(message) is not dict:
            return False
        rank = self._ranks.get(connection)
        if rank is None:
            return self._join(connection, message)
        if type(message.get("end")) is str:
            self._roll.end(rank, message["end"])
            return True
        doing, exchanges = message.get("doing"), message.get("exchanges")
        if type(doing) is not str or type(exchanges) is not int:
            return False
        self._roll.note(rank, doing[:100], exchanges)
        return True

    def _join(self, connection, message: dict) -> bool:
        token, rank, host = (message.get(key) for key in ("token", "rank", "host"))
        if type(token) is not str or type(rank) is not int or type(host) is not str:
            return False
        known = hmac.compare_digest(token.encode(), self.token.encode())
        if not known or not 0 < rank < self._world_size or rank in self._roll.joined():
            return False
        self._ranks[connection] = rank
        self._roll.join(rank, host[:100])
        return True

    def _hang_up(self, connection):
        self._selector.unregister(connection)
        connection.close()
        del self._lines[connection]
        rank = self._ranks.pop(connection, None)
        if rank is not None:
            self._roll.end(rank, "gone")


def addresses(others: Sequence[str]) -> list[str]:
    """Returns the addresses that this host may have for others, the likeliest first.

    Args:
        others: Names of other hosts.
    """
    found = []
    for other in others[:3]:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        ):
            probe.connect((socket.gethostbyname(other), 9))  # sends nothing, only picks the route
            found.append(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    with contextlib.suppress(ImportError):
        import psutil  # comes with Horovod

        for each in psutil.net_if_addrs().values():
            found += [a.address for a in each if a.family == socket.AF_INET]
    # A name of another host may well resolve to the loopback, where that host finds itself.
    found = [a for a in dict.fromkeys(found) if not a.startswith("127.")]
    return [*found, "127.0.0.1"]
