"""OpenMPI for the tests: the machine's own, or Debian's packages unpacked into the user's cache.

Nothing is installed. An mpicc that a test left on the PATH would have every Horovod that is built
afterwards on this machine built with MPI.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tfsci.distributed.install import cache_folder
from tfsci.lock import locked

_PACKAGES = ("openmpi-bin", "libopenmpi-dev")
_PROGRAMS = ("mpirun", "mpicc", "mpicxx")
# As root, on fewer cores than ranks, and without a look for networks that are not there.
_SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "self,vader",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "PMIX_MCA_pcompress_base_silence_warning": "1",  # for messages that are not worth it
}


class UnavailableError(Exception):
    """There can be no OpenMPI on this machine, for a reason."""


def environment() -> dict[str, str]:
    """Returns the environment in which OpenMPI's programs are found and run.

    Raises:
        UnavailableError: There can be none here.
    """
    environ = os.environ | _SETTINGS
    if not all(map(shutil.which, _PROGRAMS)):
        folder = cache_folder(os.environ) / "openmpi"
        with locked(folder.with_name("openmpi.lock"), f"Waiting for {folder}"):
            if not folder.exists():
                _unpack(folder)
        (libraries,) = {path.parent for path in (folder / "usr/lib").glob("*/libmpi.so.*")}
        also = folder / libraries.relative_to(folder / "usr")
        environ |= {
            "PATH": f"{folder / 'bin'}:{environ['PATH']}",
            "LD_LIBRARY_PATH": f"{libraries}:{also}",
            "OPAL_PREFIX": str(folder / "usr"),
            "PMIX_PREFIX": str(libraries / "pmix2"),
        }
    _run("mpirun", "-n", "2", "true", env=environ, timeout=60)
    return environ


def _unpack(folder: Path) -> None:
    """Makes the folder, whole or not at all."""
    if not shutil.which("apt-get"):
        raise UnavailableError("no mpirun, and no apt-get to fetch one")
    with tempfile.TemporaryDirectory("", "openmpi-", folder.parent) as temporary:
        packages, root = Path(temporary) / "packages", Path(temporary) / "root"
        for name in ("packages/partial", "lists/partial"):
            (Path(temporary) / name).mkdir(parents=True)
        settings = {
            "Dir::State::lists": f"{temporary}/lists",
            "Dir::Cache": temporary,
            "Dir::Cache::archives": packages,
            "Debug::NoLocking": 1,
            "APT::Sandbox::User": "root",
            "Acquire::Retries": 0,
            "Acquire::http::Timeout": 10,
        }
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
        _run(*apt, "update", timeout=120)
        fetch = ("install", "-y", "--download-only", "--no-install-recommends", *_PACKAGES)
        _run(*apt, *fetch, timeout=300)
        for package in packages.glob("*.deb"):
            _run("dpkg-deb", "--extract", package, root, timeout=60)
        (root / "bin").mkdir()
        for name in _PROGRAMS:
            (root / "bin" / name).symlink_to(f"../usr/bin/{name}.openmpi")
        root.rename(folder)


def _run(*command: object, **options: object) -> None:
    try:
        subprocess.run(
            [str(word) for word in command], check=True, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stdout", None) or "").strip().splitlines()
        raise UnavailableError(f"{command[0]} failed: {said[-1] if said else error}") from None
