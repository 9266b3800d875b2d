"""OpenMPI for tests and benchmarks: the machine's, or Debian's packages in the user's cache.

    python tests/mpi/openmpi.py PROGRAM.py [ARGUMENT…]

runs a Python program where there is OpenMPI and a Horovod that was built with it. Where there can
be none, it says why and runs the program as it is.

Nothing is installed: packages are unpacked. An mpicc that is left on the PATH would have every
Horovod that is built afterwards on this machine built with MPI.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from tfsci import cache
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
    own = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = os.environ | _SETTINGS | {"PATH": own}
    if not all(map(shutil.which, _PROGRAMS)):
        folder = cache.folder() / "openmpi"
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


def install_python(environ: dict[str, str], home: Path) -> Path:
    """Makes a Python whose packages are this one's, but for a Horovod that is built with MPI.

    It takes minutes, once: `tfsci install-horovod` keeps the wheel in the user's cache.

    Args:
        environ: As `environment` returns it.
        home: Where it is to lie.

    Raises:
        UnavailableError: Horovod could not be built.
    """
    others = home / "others"
    others.mkdir(parents=True)
    for path in Path(sysconfig.get_path("platlib")).iterdir():
        if not path.name.startswith("horovod"):
            (others / path.name).symlink_to(path)
    venv.create(home, with_pip=False, symlinks=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(f"import site; site.addsitedir({str(others)!r})\n")
    python = home / "bin" / "python"
    _run(python, "-m", "tfsci", "install-horovod", env=environ, timeout=2400)
    _run(python, "-c", "import horovod.tensorflow as hvd; assert hvd.mpi_built()", env=environ)
    return python


def main(arguments: list[str]) -> int:
    """Runs a program; returns its exit code."""
    with tempfile.TemporaryDirectory("", "openmpi-") as home:
        environ, python = os.environ, sys.executable
        try:
            environ = environment()
            python = install_python(environ, Path(home) / "python")
        except UnavailableError as error:
            print(f"no OpenMPI here: {error}", file=sys.stderr)
        return subprocess.run([python, *arguments], env=environ).returncode


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
