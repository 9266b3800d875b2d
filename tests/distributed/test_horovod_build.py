import os
import sys
from pathlib import Path

import pytest

from tfsci.distributed import horovod_build
from tfsci.distributed.horovod_build import Build, check_tools


def plant(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    return folder


@pytest.fixture
def detect(tmp_path):
    """Detection on a machine that has nothing but what a test plants in tmp_path."""

    def call(**environ):
        environ = {"PATH": str(tmp_path / "usr/bin")} | environ
        return horovod_build.detect(environ, tmp_path, tmp_path / "site-packages")

    return call


class TestDetect:
    def test_a_bare_machine_builds_gloo_for_the_cpu(self, detect):
        build = detect(HOROVOD_CYCLE_TIME="5", HOROVOD_RANK="0", HOME="/home")
        assert dict(build.flags) == {
            "HOROVOD_WITHOUT_MPI": "1",
            "HOROVOD_WITHOUT_MXNET": "1",
            "HOROVOD_WITHOUT_PYTORCH": "1",
            "HOROVOD_WITH_GLOO": "1",
            "HOROVOD_WITH_TENSORFLOW": "1",
        }
        assert build.features == ["Gloo"]
        assert build.notes == (
            "MPI: no mpicc on the PATH; built without",
            "GPU: no CUDA, no ROCm; built for the CPU",
        )

    def test_mpi_where_its_compiler_is(self, detect, tmp_path):
        plant(tmp_path, "usr/bin/mpicc")
        build = detect()
        assert dict(build.flags)["HOROVOD_WITH_MPI"] == "1"
        assert "HOROVOD_WITHOUT_MPI" not in dict(build.flags)
        assert build.features == ["MPI", "Gloo"]
        assert build.mpicc == str(tmp_path / "usr/bin/mpicc")

    def test_cuda_without_nccl_is_said_and_builds_for_the_cpu(self, detect, tmp_path):
        plant(tmp_path, "usr/local/cuda/bin/nvcc", "usr/include/nccl.h")
        build = detect()
        assert build.features == ["Gloo"]
        assert build.notes[1] == (
            f"GPU: CUDA in {tmp_path}/usr/local/cuda but no NCCL (nccl.h, libnccl); "
            "built for the CPU"
        )

    def test_nccl_without_cuda_is_no_gpu(self, detect, tmp_path):
        plant(tmp_path, "usr/include/nccl.h", "usr/lib64/libnccl.so")
        assert detect().features == ["Gloo"]

    @pytest.mark.parametrize("variable", ["HOROVOD_CUDA_HOME", "CUDA_HOME", "CUDA_PATH"])
    def test_cuda_named_by_a_variable_holds_static_nccl(self, detect, tmp_path, variable):
        cuda = plant(tmp_path / "cuda", "bin/nvcc", "include/nccl.h", "lib64/libnccl_static.a")
        flags = dict(detect(**{variable: str(cuda)}).flags)
        assert flags["HOROVOD_GPU_OPERATIONS"] == "NCCL"
        assert flags["HOROVOD_CUDA_HOME"] == flags["HOROVOD_NCCL_HOME"] == str(cuda)
        assert "HOROVOD_NCCL_LINK" not in flags

    @pytest.mark.parametrize("library", ["lib/libnccl.so", "lib/{}-linux-gnu/libnccl.so.2"])
    def test_nvcc_on_the_path_and_shared_nccl_of_the_system(self, detect, tmp_path, library):
        library = library.format(os.uname().machine)
        plant(tmp_path / "opt/cuda", "bin/nvcc")
        plant(tmp_path / "usr", "bin/sh", "include/nccl.h", library)
        (tmp_path / "usr/bin/nvcc").symlink_to(tmp_path / "opt/cuda/bin/nvcc")
        flags = dict(detect().flags)
        assert flags["HOROVOD_CUDA_HOME"] == str(tmp_path / "opt/cuda")
        assert flags["HOROVOD_NCCL_HOME"] == str(tmp_path / "usr")
        assert flags["HOROVOD_NCCL_LINK"] == "SHARED"

    def test_nccl_of_pip_is_the_last_choice(self, detect, tmp_path):
        plant(tmp_path, "usr/local/cuda/bin/nvcc")
        pip = plant(tmp_path / "site-packages/nvidia/nccl", "include/nccl.h", "lib/libnccl.so.2")
        build = detect()
        assert build.features == ["Gloo", "NCCL"]
        assert dict(build.flags)["HOROVOD_NCCL_HOME"] == str(pip)
        assert dict(build.flags)["HOROVOD_NCCL_LINK"] == "SHARED"
        module = plant(tmp_path / "module", "include/nccl.h", "lib/libnccl_static.a")
        assert dict(detect(NCCL_HOME=str(module)).flags)["HOROVOD_NCCL_HOME"] == str(module)

    @pytest.mark.parametrize("variable", ["HOROVOD_ROCM_HOME", "ROCM_PATH", None])
    def test_rocm(self, detect, tmp_path, variable):
        rocm = plant(tmp_path / "opt/rocm", "include/rccl/rccl.h")
        flags = dict(detect(**({variable: str(rocm)} if variable else {})).flags)
        assert flags["HOROVOD_GPU"] == "ROCM"
        assert flags["HOROVOD_GPU_OPERATIONS"] == "NCCL"
        assert flags["HOROVOD_ROCM_HOME"] == str(rocm)

    def test_what_the_user_set_overrides_and_is_said(self, detect, tmp_path):
        plant(tmp_path, "usr/bin/mpicc", "usr/local/cuda/bin/nvcc")
        plant(tmp_path, "usr/include/nccl.h", "usr/lib/libnccl.so")
        build = detect(HOROVOD_WITHOUT_MPI="1", HOROVOD_GPU_OPERATIONS="", MAKEFLAGS="-j3")
        assert build.features == ["Gloo"]
        assert "HOROVOD_WITH_MPI" not in dict(build.flags)
        assert build.mpicc == ""
        said = "Set by you: HOROVOD_GPU_OPERATIONS= HOROVOD_WITHOUT_MPI=1 MAKEFLAGS=-j3"
        assert build.notes[-1] == said

    def test_one_operation_alone_replaces_all_of_them(self, detect, tmp_path):
        plant(tmp_path, "usr/local/cuda/bin/nvcc", "usr/include/nccl.h", "usr/lib/libnccl.so")
        flags = dict(detect(HOROVOD_GPU_ALLREDUCE="NCCL").flags)
        assert "HOROVOD_GPU_OPERATIONS" not in flags
        assert flags["HOROVOD_NCCL_HOME"] == str(tmp_path / "usr")

    def test_flags_of_an_outer_make_are_not_the_users(self, detect):
        assert not any("MAKEFLAGS" in note for note in detect(MAKEFLAGS="w", MAKELEVEL="1").notes)


class TestKey:
    def test_every_choice_has_its_own(self, detect, tmp_path, monkeypatch):
        builds = [detect(), detect(HOROVOD_DEBUG="1"), detect(HOROVOD_WITHOUT_GLOO="1")]
        plant(tmp_path, "usr/bin/mpicc")
        builds.append(detect())
        builds.append(Build(builds[-1].flags, mpicc="/opt/mpich/bin/mpicc"))
        plant(tmp_path, "usr/local/cuda/bin/nvcc", "usr/include/nccl.h", "usr/lib/libnccl.so")
        builds.append(detect())
        keys = [build.key("2.21.0") for build in builds]
        keys.append(builds[0].key("2.22.0"))
        monkeypatch.setattr(horovod_build, "MENDS", horovod_build.MENDS[:-1])
        keys.append(builds[0].key("2.21.0"))
        assert len(set(keys)) == len(keys)

    def test_what_does_not_change_the_wheel_does_not_change_it(self, detect):
        same = detect(MAKEFLAGS="-j9", HOROVOD_CMAKE="/bin/cmake", HOROVOD_CYCLE_TIME="3")
        assert same.key("2.21.0") == detect().key("2.21.0")

    def test_it_can_be_read(self, detect):
        key = detect().key("2.21.0")
        start = f"{sys.implementation.cache_tag}-{os.uname().machine}-tf2.21.0-gloo-"
        assert key.startswith(start)


class TestTools:
    @pytest.fixture
    def tools(self, tmp_path):
        plant(tmp_path / "bin", "g++", "make", "cmake")
        (tmp_path / "bin/cmake").write_text("#!/bin/sh\necho cmake version 4.0.1\n")
        return tmp_path / "bin"

    def test_all_there(self, tools, tmp_path):
        assert check_tools({"PATH": str(tools)}, tmp_path) == str(tools / "cmake")

    def test_no_compiler(self, tools, tmp_path):
        (tools / "g++").unlink()
        with pytest.raises(FileNotFoundError, match=r"g\+\+ is not on the PATH: apt install g\+\+"):
            check_tools({"PATH": str(tools)}, tmp_path)
        plant(tools, "clang++")
        check_tools({"PATH": str(tools), "CXX": "clang++ -m64"}, tmp_path)

    def test_no_make(self, tools, tmp_path):
        (tools / "make").unlink()
        with pytest.raises(FileNotFoundError, match="needs make"):
            check_tools({"PATH": str(tools)}, tmp_path)

    def test_an_old_cmake_gives_way_to_pips(self, tools, tmp_path):
        scripts = plant(tmp_path / "scripts", "cmake")
        (tools / "cmake").rename(scripts / "cmake")
        (tools / "cmake").write_text("#!/bin/sh\necho cmake version 3.9.6\n")
        (tools / "cmake").chmod(0o755)
        found = check_tools({"PATH": str(tools)}, scripts)
        assert found == str(scripts / "cmake")
        with pytest.raises(FileNotFoundError, match=r"CMake 3.13 .* -m pip install cmake"):
            check_tools({"PATH": str(tools)}, tmp_path / "nowhere")
