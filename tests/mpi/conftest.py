"""OpenMPI, and a Horovod that was built with it in an environment of its own."""

import pytest
from openmpi import UnavailableError, environment, install_python


@pytest.fixture(scope="session")
def openmpi():
    """The environment in which mpirun runs."""
    try:
        return environment()
    except UnavailableError as error:
        pytest.skip(f"no OpenMPI here: {error}")


@pytest.fixture(scope="session")
def python_with_mpi(openmpi, tmp_path_factory):
    """A Python whose Horovod is built with MPI; minutes the first time."""
    try:
        return install_python(openmpi, tmp_path_factory.mktemp("mpi") / "python")
    except UnavailableError as error:
        pytest.skip(f"no Horovod with MPI here: {error}")
