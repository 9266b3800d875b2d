"""OpenMPI, and a Horovod that was built with it in an environment of its own."""

import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
from digits import BIN
from openmpi import UnavailableError, environment


@pytest.fixture(scope="session")
def openmpi():
    """The environment in which mpirun runs."""
    try:
        environ = environment()
    except UnavailableError as error:
        pytest.skip(f"no OpenMPI here: {error}")
    return environ | {"PATH": f"{BIN}:{environ['PATH']}"}


@pytest.fixture(scope="session")
def python_with_mpi(openmpi, tmp_path_factory):
    """A Python whose packages are this one's, but for a Horovod that is built with MPI.

    It takes minutes, once: `tfsci install-horovod` keeps the wheel in the user's cache.
    """
    home, others = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("others")
    for path in Path(sysconfig.get_path("platlib")).iterdir():
        if not path.name.startswith("horovod"):
            (others / path.name).symlink_to(path)
    venv.create(home, with_pip=False, symlinks=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(f"import site; site.addsitedir({str(others)!r})\n")
    python = home / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "tfsci", "install-horovod"], env=openmpi, timeout=2400,
        capture_output=True, text=True,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "(MPI, Gloo) for TensorFlow" in installed.stdout
    return python
