"""What of Horovod to build on this machine: MPI, CUDA with NCCL, ROCm; and the tools for it."""

import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tfsci.distributed.horovod_source import MENDS, SHA256

SITE_PACKAGES = Path(sysconfig.get_path("platlib"))
_SCRIPTS = Path(sysconfig.get_path("scripts"))
_GPU_OPERATIONS = ("OPERATIONS", "ALLREDUCE", "ALLGATHER", "BROADCAST", "ALLTOALL", "REDUCESCATTER")
# Horovod's other variables (HOROVOD_CYCLE_TIME, …) act when it runs, not when it is built.
_BUILD_VARIABLES = re.compile(
    "HOROVOD_(WITH|GPU|NCCL_|CUDA_HOME|ROCM_HOME|BUILD_|CPU_OPERATIONS|ALLOW_MIXED|DEBUG|NVTX)"
)


@dataclass(frozen=True)
class Build:
    """What is built.

    Args:
        flags: The variables that Horovod's build reads, sorted.
        notes: What was found and chosen, one line each.
        mpicc: The MPI compiler, links followed: a wheel fits one MPI.
    """

    flags: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    mpicc: str = ""

    @property
    def features(self) -> list[str]:
        """Which of MPI, Gloo and NCCL the flags ask for."""
        flags = dict(self.flags)
        nccl = any(flags.get(f"HOROVOD_GPU_{name}") == "NCCL" for name in _GPU_OPERATIONS)
        mpi, gloo = (flags.get(f"HOROVOD_WITHOUT_{name}") != "1" for name in ("MPI", "GLOO"))
        return [name for name, on in (("MPI", mpi), ("Gloo", gloo), ("NCCL", nccl)) if on]

    def key(self, tensorflow: str) -> str:
        """Names the cache folder: one for each Python, machine, TensorFlow and choice."""
        what = hashlib.sha256(repr((SHA256, MENDS, self.flags, self.mpicc)).encode())
        features = "-".join(self.features).lower()
        python, machine = sys.implementation.cache_tag, os.uname().machine
        return f"{python}-{machine}-tf{tensorflow}-{features}-{what.hexdigest()[:8]}"


def detect(
    environ: Mapping[str, str],
    root: Path = Path("/"),
    site_packages: Path = SITE_PACKAGES,
    which: Callable[[str], str | None] | None = None,
) -> Build:
    """Chooses what to build from what the machine has; runs nothing.

    Args:
        environ: The environment; its HOROVOD_* build variables override what is found.
        root: Where usr, usr/local/cuda and opt/rocm are looked for.
        site_packages: Where pip's NCCL is looked for.
        which: Finds a program; default: on the PATH of `environ`.
    """
    which = which or functools.partial(shutil.which, path=environ.get("PATH"))
    mpicc = which("mpicc")
    gpu, note = _detect_gpu(environ, root, site_packages, which)
    names = ["WITH_TENSORFLOW", "WITHOUT_PYTORCH", "WITHOUT_MXNET", "WITH_GLOO"]
    names += ["WITH_MPI" if mpicc else "WITHOUT_MPI"]
    flags = {f"HOROVOD_{name}": "1" for name in names} | gpu
    notes = [f"MPI: {mpicc}" if mpicc else "MPI: no mpicc on the PATH; built without", note]
    asked = {name: value for name, value in environ.items() if _BUILD_VARIABLES.match(name)}
    if any(f"HOROVOD_GPU_{name}" in asked for name in _GPU_OPERATIONS):
        flags.pop("HOROVOD_GPU_OPERATIONS", None)  # CMake refuses it beside HOROVOD_GPU_ALLREDUCE
    for name in asked:
        flags.pop(re.sub("WITH(OUT)?_", lambda m: "WITH_" if m[1] else "WITHOUT_", name), None)
    flags |= asked
    if make_flags(environ):
        asked["MAKEFLAGS"] = environ["MAKEFLAGS"]
    if said := asked | {n: environ[n] for n in ("HOROVOD_CMAKE",) if n in environ}:
        notes.append(f"Set by you: {' '.join(f'{n}={v}' for n, v in sorted(said.items()))}")
    mpi = os.path.realpath(mpicc) if mpicc and flags.get("HOROVOD_WITHOUT_MPI") != "1" else ""
    return Build(tuple(sorted(flags.items())), tuple(notes), mpi)


def _detect_gpu(environ, root, site_packages, which) -> tuple[dict[str, str], str]:
    def homes(*names):
        return [Path(environ[name]) for name in names if environ.get(name)]

    nvcc = which("nvcc")
    cudas = homes("HOROVOD_CUDA_HOME", "CUDA_HOME", "CUDA_PATH")
    cudas += [Path(nvcc).resolve().parents[1]] if nvcc else []
    cudas = [home for home in [*cudas, root / "usr/local/cuda"] if (home / "bin/nvcc").exists()]
    nccls = [*homes("HOROVOD_NCCL_HOME", "NCCL_HOME"), *cudas, root / "usr"]
    for home in [*nccls, site_packages / "nvidia/nccl"] if cudas else []:
        folders = ("lib64", "lib", f"lib/{os.uname().machine}-linux-gnu")
        libraries = {path.name for name in folders for path in home.glob(f"{name}/libnccl*")}
        if libraries and (home / "include/nccl.h").exists():
            flags = {"GPU_OPERATIONS": "NCCL", "CUDA_HOME": str(cudas[0]), "NCCL_HOME": str(home)}
            if "libnccl_static.a" not in libraries:
                flags["NCCL_LINK"] = "SHARED"
            words = f"GPU: CUDA in {cudas[0]}, NCCL in {home}"
            return {f"HOROVOD_{name}": value for name, value in flags.items()}, words
    headers = ("include/rccl/rccl.h", "include/rccl.h", "rccl/include/rccl.h")
    for home in [*homes("HOROVOD_ROCM_HOME", "ROCM_PATH"), root / "opt/rocm"]:
        if any((home / header).exists() for header in headers):
            flags = {"GPU": "ROCM", "GPU_OPERATIONS": "NCCL", "ROCM_HOME": str(home)}
            words = f"GPU: ROCm with RCCL in {home}"
            return {f"HOROVOD_{name}": value for name, value in flags.items()}, words
    if cudas:
        return {}, f"GPU: CUDA in {cudas[0]} but no NCCL (nccl.h, libnccl); built for the CPU"
    return {}, "GPU: no CUDA, no ROCm; built for the CPU"


def make_flags(environ: Mapping[str, str]) -> str | None:
    """Returns the user's own MAKEFLAGS, if any."""
    # Under make, MAKEFLAGS and the job server in it are the outer make's, not the user's.
    return None if "MAKELEVEL" in environ else environ.get("MAKEFLAGS")


def check_tools(environ: Mapping[str, str], scripts: Path = _SCRIPTS) -> str:
    """Returns a CMake that will do; raises FileNotFoundError for a tool that is missing."""
    which = functools.partial(shutil.which, path=environ.get("PATH"))
    compiler, *_ = shlex.split(environ.get("CXX", "")) or ["g++"]
    if not which(compiler):
        raise FileNotFoundError(
            f"building Horovod needs a C++ compiler, and {compiler} is not on the PATH: "
            "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora, RHEL) or, at a "
            "computing centre, module load gcc"
        )
    if not which("make"):
        raise FileNotFoundError(
            "building Horovod needs make, which is not on the PATH: apt install make (Debian, "
            "Ubuntu) or dnf install make (Fedora, RHEL)"
        )
    for cmake in (environ.get("HOROVOD_CMAKE"), which("cmake"), str(scripts / "cmake")):
        if cmake and _cmake_version(cmake) >= (3, 13):
            return cmake
    raise FileNotFoundError(
        "building Horovod needs CMake 3.13 or newer, and there is none on the PATH: "
        f"{sys.executable} -m pip install cmake"
    )


def _cmake_version(cmake: str) -> tuple[int, ...]:
    try:
        words = subprocess.run([cmake, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return ()
    found = re.search(r"version (\d+)\.(\d+)", words)
    return tuple(map(int, found.groups())) if found else ()
