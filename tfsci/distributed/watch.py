"""Ends all ranks where one dies or hangs, and says which one and what it was doing.

Horovod and TensorFlow wait for a rank that hangs for as long as it lasts, and name nobody where one
is gone. So each rank has a thread that tells rank 0 every second what it is doing and how many
exchanges it has entered. Rank 0 judges (`tfsci.distributed.missing`) and tells all. The thread ends
the process by itself: the main thread waits in an exchange that knows no signal.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tfsci.distributed.echoes import may_be_echo
from tfsci.distributed.last_words import LastWords, speak
from tfsci.distributed.missing import Missing, Roll, rank_timeout
from tfsci.distributed.strategy import Strategy
from tfsci.distributed.watch_server import LINE, Server, addresses

_SHARE = 2 / 3  # of the bound in which nothing is heard; the rest is for stacks and the end
_BEAT = 1.0  # seconds
_PAUSE = 5.0
_SECONDS_FOR_STACKS = 2.0
_EXCHANGES = ("gather", "sum", "broadcast", "average_statistics")


class Watch:
    """Watches the ranks of a training within its context; every process has one.

    Leaving it by an error that says no more than that another rank has gone waits for the watch to
    say which, and to end the process.

    Args:
        strategy: Started. Its exchanges are counted from now on.
        timeout: Seconds, as `rank_timeout` gives them.
        deliberate: Exceptions by which all ranks leave alike.
        elastic: Whether a rank that hangs is to end alone, and the others go on.
        end: Ends the process.

    Attributes:
        doing: What this process is at, for people: set it as often as you like.
    """

    def __init__(
        self,
        strategy: Strategy,
        timeout: float | None = None,
        deliberate: tuple[type[BaseException], ...] = (),
        elastic: bool = False,
        end: Callable[[int], None] = os._exit,
    ):
        self._strategy, self._deliberate, self._end = strategy, deliberate, end
        self._elastic = elastic
        self._patience = _SHARE * (timeout or rank_timeout())
        self.doing = "start-up"
        self._words = LastWords(strategy.rank)
        self._exchanges, self._steps = 0, None
        self._host = socket.gethostname()
        self._thread = self._rank0 = None
        self._how = "left"
        self._leaving = threading.Event()

    def __enter__(self):
        strategy = self._strategy
        if strategy.num_shards == 1:
            return self
        self._hosts = hosts = strategy.gather(self._host)
        told = None
        if strategy.is_chief:
            self._roll = Roll(self._patience)
            self._roll.join(0, self._host)
            self._server = Server(self._roll, strategy.num_shards)
            others = [host for host in dict.fromkeys(hosts) if host != self._host]
            told = [self._server.token, addresses(others), self._server.port]
        self._rank0 = strategy.broadcast_value(told)
        for name in _EXCHANGES:
            setattr(strategy, name, self._counting(getattr(strategy, name)))
        target = self._lead if strategy.is_chief else self._follow
        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        if self._thread is None:
            return
        for name in _EXCHANGES:
            self._strategy.__dict__.pop(name)
        if error is not None and not self._elastic and may_be_echo(error):
            self._thread.join(2 * self._patience)  # it ends the process
        if kind and not issubclass(kind, self._deliberate):
            self._how = f"{kind.__name__}: {(str(error).splitlines() or [''])[0]}"[:200]
        self._leaving.set()
        self._thread.join(2 * _BEAT + _SECONDS_FOR_STACKS)

    def keep_in(self, folder: Path) -> None:
        """Names the chief's run folder, where all leave their stacks."""
        self._words.keep_in(folder)

    def count_steps(self, optimizer) -> None:
        """Counts, from the next trace of a model's step on, each step whose gradients are ready.

        Args:
            optimizer: As `Strategy.average_gradients` left it.
        """
        if self._thread is None or hasattr(optimizer.apply, "counted"):
            return
        import tensorflow as tf

        if self._steps is None:
            with tf.device("CPU:0"):
                self._steps = tf.Variable(0, trainable=False, dtype=tf.int64)
        apply = optimizer.apply

        def counted(grads, trainable_variables=None):
            grads = list(grads)
            ready = [getattr(g, "values", g) for g in grads if g is not None]
            with tf.control_dependencies(ready):  # a rank that hangs before is not yet waited with
                self._steps.assign_add(1)
            return apply(grads, trainable_variables)

        counted.counted = True
        optimizer.apply = counted

    def _counting(self, exchange):
        def counted(*arguments):
            self._exchanges += 1
            return exchange(*arguments)

        return counted

    def _entered(self) -> int:
        steps = 0 if self._steps is None else int(self._steps.numpy())
        return self._exchanges + steps

    def _state(self) -> str:
        return f"{self._host}: {self.doing}, {self._entered()} exchanges entered"

    def _lead(self) -> None:
        server, roll = self._server, self._roll
        missing = None
        while not (self._leaving.is_set() or missing):
            server.serve(_BEAT / 2)
            roll.note(0, self.doing, self._entered())
            folder = self._words.folder
            server.send({"alive": True, "folder": folder and str(folder)})
            missing = roll.missing()
            if missing and self._elastic:
                missing = self._drop(missing)
        if not missing:
            server.send({"left": True})
            server.close()
            return
        message = self._words.sentence(missing.message)
        self._words.leave(message, self._state())
        speak(message)
        server.send({"missing": list(missing.ranks), "message": message})
        wait = time.monotonic() + _SECONDS_FOR_STACKS
        while server.connected() - set(missing.ranks) and time.monotonic() < wait:
            server.serve(0.1)
        self._end(1)

    def _follow(self) -> None:
        connection = self._connect()
        if connection is None:
            return
        heard, rest = time.monotonic(), b""
        why = None
        while why is None:
            looked = time.monotonic()
            if self._leaving.is_set():
                _send(connection, {"end": self._how})
                connection.close()
                return
            _send(connection, {"doing": self.doing, "exchanges": self._entered()})
            with contextlib.suppress(TimeoutError, BlockingIOError):
                try:
                    data = connection.recv(LINE)
                except ConnectionError:
                    data = b""
                if not data:
                    why = f"ended without a word while this one was in {self.doing}"
                heard = time.monotonic()
                *lines, rest = (rest + data).split(b"\n")
                for message in map(json.loads, lines):
                    if "left" in message:
                        connection.close()
                        return
                    if "missing" in message:
                        self._obey(message, connection)
                    if message.get("folder"):
                        self._words.folder = Path(message["folder"])
            self._leaving.wait(_BEAT / 2)
            now = time.monotonic()
            if now - looked > _PAUSE:  # this process was stopped, not rank 0
                heard = now
            if why is None and now - heard > self._patience:
                why = (
                    f"went silent while this one was in {self.doing}: no sign for "
                    f"{now - heard:.0f} s, so it was stopped, or is out of reach"
                )
        if not self._elastic:
            self._without_rank0(why)

    def _obey(self, message: dict, connection) -> None:
        """Ends this process; under an elastic launcher only where it is the one that is missing."""
        if not self._elastic or self._strategy.rank in message["missing"]:
            self._words.leave(message["message"], self._state())
            connection.close()
            if not self._elastic:
                time.sleep(_SECONDS_FOR_STACKS)  # rank 0 speaks, and ends first
            self._end(1)

    def _drop(self, missing: Missing) -> Missing | None:
        """Lets ranks that hang end, so that the others hear of it from Horovod, and go on."""
        self._server.send({"missing": list(missing.ranks), "message": missing.message})
        if 0 in missing.ranks:
            return missing
        alive = self._server.connected() & set(missing.ranks)
        if alive:
            speak(f"{missing.message}; the others go on")
        for rank in missing.ranks:
            self._roll.drop(rank)
        return None

    def _without_rank0(self, why: str) -> None:
        """Ends this process; the first to come speaks, the lowest rank mostly."""
        time.sleep(min(0.3 * self._strategy.rank, 3.0))
        message = self._words.sentence(f"rank 0 on host {self._hosts[0]} {why}")
        if self._words.leave(message, self._state()):
            speak(message)
        time.sleep(_SECONDS_FOR_STACKS)
        self._end(1)

    def _connect(self):
        token, hosts, port = self._rank0
        end = time.monotonic() + self._patience
        while time.monotonic() < end and not self._leaving.is_set():
            for host in hosts:
                try:
                    connection = socket.create_connection((host, port), timeout=3)
                except OSError:
                    continue
                connection.settimeout(_BEAT / 2)
                hello = {"token": token, "rank": self._strategy.rank, "host": self._host}
                if _send(connection, hello):
                    return connection
            self._leaving.wait(_BEAT / 2)
        return None


def _send(connection: socket.socket, message: dict) -> bool:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")
        return True
    return False
