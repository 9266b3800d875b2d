import errno
import fcntl
import subprocess
import sys
import threading

import pytest

from tfsci.lock import locked


def test_the_second_waits_and_says_so(tmp_path, capsys):
    path, order = tmp_path / "folder/lock", []

    def second():
        with locked(path, "Waiting for the first"):
            order.append("second")

    with locked(path, "never said"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert capsys.readouterr().err == "Waiting for the first\n"


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "lock"
    code = f"import os, tfsci.lock, pathlib\nwith tfsci.lock.locked(pathlib.Path({str(path)!r})): "
    subprocess.run([sys.executable, "-c", code + "os.kill(os.getpid(), 9)"], check=False)
    with locked(path, pytest.fail):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(OSError, match=f"{tmp_path}: its file system knows no locks") as error,
        locked(tmp_path / "lock"),
    ):
        pass
    assert "choose a folder on another one" in str(error.value)
