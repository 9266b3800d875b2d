"""A rank that dies or hangs ends the others, which say who it was."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tfsci.distributed.missing import Roll
from tfsci.distributed.strategy import Strategy
from tfsci.distributed.watch import Watch
from tfsci.distributed.watch_server import Server

PROGRAM = Path(__file__).parent / "watched.py"
STOPPED = "went silent while this one was in training step"


def hello(server, **changes):
    return {"token": server.token, "rank": 1, "host": "b"} | changes


class TestServer:
    @pytest.fixture
    def server(self):
        server = Server(Roll(1e6), 3)
        yield server
        server.close()

    def tell(self, server, *messages: bytes) -> socket.socket:
        """Sends what a rank might and lets the server read it."""
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        for message in messages:
            connection.sendall(message)
        for _ in range(5):
            server.serve(0.05)
        return connection

    def test_a_rank_joins_tells_and_leaves(self, server):
        state = {"doing": "training step 3", "exchanges": 9}
        lines = [json.dumps(m).encode() + b"\n" for m in (hello(server), state)]
        with self.tell(server, *lines) as connection:
            assert server.connected() == {1}
            server.send({"alive": True})
            assert json.loads(connection.recv(100)) == {"alive": True}
            connection.sendall(b'{"end": "left"}\n')
        for _ in range(5):
            server.serve(0.05)
        assert server.connected() == set()
        assert server._roll.missing() is None

    @pytest.mark.parametrize(
        "changes",
        [{"token": "guess"}, {"token": None}, {"rank": 0}, {"rank": 3}, {"rank": "1"}, {"host": 1}],
    )
    def test_a_stranger_is_hung_up_on(self, server, changes):
        line = json.dumps(hello(server, **changes)).encode() + b"\n"
        with self.tell(server, line) as connection:
            assert connection.recv(100) == b""
        assert server._roll.joined() == set()

    @pytest.mark.parametrize("text", [b"\n", b"[]\n", b"\xff\n", b"[" * 3000 + b"\n", b"x" * 9000])
    def test_so_is_what_is_no_message(self, server, text):
        reset = contextlib.suppress(ConnectionResetError)  # of what it did not read
        with self.tell(server, text) as connection, reset:
            assert connection.recv(100) == b""

    def test_nobody_joins_for_another(self, server):
        line = json.dumps(hello(server)).encode() + b"\n"
        with self.tell(server, line), self.tell(server, line) as second:
            assert second.recv(100) == b""
            assert server.connected() == {1}


def test_one_process_is_not_watched():
    strategy = Strategy()
    with Watch(strategy) as watch:
        assert strategy.gather(3) == [3]
        assert watch._thread is None


@pytest.mark.horovod
class TestRanks:
    @pytest.mark.parametrize(
        ("how", "rank", "words"),
        [
            ("SIGKILL", 1, "ended without a word in "),
            pytest.param("SIGSTOP", 0, STOPPED, marks=pytest.mark.slow),
            pytest.param("hang", 1, "hangs in training step", marks=pytest.mark.slow),
        ],
        ids=["killed", "stopped", "hangs"],
    )
    def test_the_missing_one_is_named_once(self, how, rank, words, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environ = os.environ | {"WORLD_SIZE": "3", "TFSCI_RANK_TIMEOUT": "18"}
        ranks = [
            subprocess.Popen(
                [sys.executable, PROGRAM, how, str(rank), tmp_path / "run"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=environ | {"RANK": str(i), "TFSCI_COORDINATOR": f"127.0.0.1:{port}"},
            )
            for i in range(3)
        ]  # fmt: skip
        others = [i for i in range(3) if i != rank]
        try:
            errors = {i: ranks[i].communicate(timeout=280)[1] for i in others}
        finally:
            for process in ranks:
                process.send_signal(signal.SIGKILL)
                process.communicate()
        assert [ranks[i].returncode for i in others] == [1, 1]
        said = [line for text in errors.values() for line in text.splitlines() if "rank" in line]
        who = f"rank {rank} on host {socket.gethostname()} {words}"
        assert len(said) == 1 and who in said[0], errors
        assert said[0].startswith("watched.py: error: ")
        assert said[0].endswith(f"and --output {tmp_path}/run --resume")
        stacks = tmp_path / "run" / "stacks"
        for i in others:
            assert 'tfsci/command.py", line' in (stacks / f"rank-{i}.txt").read_text()
        if how == "hang":  # and the line that it hangs at
            text = (stacks / f"rank-{rank}.txt").read_text()
            assert re.search(r'watched\.py", line \d+ in at\n', text), text
