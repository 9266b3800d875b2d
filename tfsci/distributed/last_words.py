"""What a process leaves behind when a rank is missing: one sentence, and what each rank was at."""

import contextlib
import faulthandler
import os
import shlex
import sys
import threading
from pathlib import Path


class LastWords:
    """Of one process.

    Args:
        rank: Of this process.

    Attributes:
        folder: The run folder, once it is known; there all ranks write to ``stacks/``.
    """

    def __init__(self, rank: int):
        self._rank, self.folder = rank, None

    def keep_in(self, folder: Path) -> None:
        """Names the run folder on the chief, and removes what an earlier end left there."""
        self.folder = Path(folder).resolve()
        for old in (self.folder / "stacks").glob("*.txt"):
            old.unlink(missing_ok=True)

    def sentence(self, what: str) -> str:
        """Returns what happened, with what to do next."""
        if not self.folder:
            return f"{what}; start the job anew"
        here = Path.cwd()
        near = self.folder.is_relative_to(here)
        folder = shlex.quote(str(self.folder.relative_to(here) if near else self.folder))
        return (
            f"{what} (stacks of the others: {folder}/stacks); go on with the same command "
            f"and --output {folder} --resume"
        )

    def leave(self, message: str, state: str) -> bool:
        """Writes what every thread of this process is at, and the message, to the run folder.

        Args:
            message: Why all end.
            state: What this process was at.

        Returns:
            Whether no other rank has left the message there before.
        """
        if not self.folder:
            return True
        stacks = self.folder / "stacks"
        with contextlib.suppress(OSError):
            stacks.mkdir(exist_ok=True)  # not its parents: another node may not see the folder
            with (stacks / f"rank-{self._rank}.txt").open("w") as file:
                file.write(f"{state}\n\n")
                file.flush()
                faulthandler.dump_traceback(file)
        try:
            with (stacks / "message.txt").open("x") as file:
                file.write(message + "\n")
        except FileExistsError:
            return False
        except OSError:
            pass
        return True


def speak(message: str) -> None:
    """Prints an error from a thread, whatever the main thread is doing."""
    name = os.path.basename(sys.argv[0]).replace("__main__.py", "tfsci")
    # The main thread may hold the lock of a standard output that nobody reads.
    flush = threading.Thread(target=sys.stdout.flush, daemon=True)
    flush.start()
    flush.join(1)
    with contextlib.suppress(OSError, ValueError):
        print(f"{name}: error: {message}", file=sys.stderr, flush=True)
