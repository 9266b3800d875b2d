"""One process at a time: the others wait, and go on where the first has done the work."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, waiting: str | None = None) -> Iterator[None]:
    """Holds the lock of the file `path`, which it makes with its folder.

    The operating system frees it when the process ends, however it ends.

    Args:
        path: The lock file; it stays.
        waiting: What to tell the user where another process holds it.

    Raises:
        OSError: The folder can't be written to, or its file system knows no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise OSError(
                f"{path.parent}: its file system knows no locks ({os.strerror(error.errno)}); "
                "choose a folder on another one"
            ) from None
        yield
