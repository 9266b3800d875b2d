"""What the benchmarks share: each in a process of its own, each figure a line of a table."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping


def run(
    doc: str,
    benches: Mapping[str, Callable[[], None]],
    parts: Mapping[str, Callable[..., None]] | None = None,
) -> None:
    """Runs the benchmarks that the command line names, all by default.

    Args:
        doc: What to print where a name is unknown.
        benches: By name.
        parts: What benchmarks start in processes of their own: ``--NAME ARGUMENTS``.
    """
    script = sys.argv[0]
    match sys.argv[1:]:
        case ["--one", name]:
            benches[name]()
        case [option, *arguments] if option[2:] in (parts or {}):
            parts[option[2:]](*arguments)
        case names if set(names) <= set(benches):
            for name in names or benches:
                subprocess.run([sys.executable, script, "--one", name], check=True)
        case _:
            print(doc)
            sys.exit(2)


def say(what: str, value: float, wanted: str, note: str) -> None:
    """Prints a line of the table."""
    print(f"{what:44}{value:8.2f}  {wanted:9}{note}", flush=True)


def with_mpi() -> bool:
    """Whether Horovod can run over MPI here."""
    code = "import horovod.tensorflow as hvd, sys; sys.exit(not hvd.mpi_built())"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    found = shutil.which("mpirun")
    return bool(found) and subprocess.run([sys.executable, "-c", code], **quiet).returncode == 0
