"""One GPU a rank, never two ranks on one: on nodes as launchers really lay them out."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.distributed import gpus
from tfsci.distributed.cores import UNBOUND
from tfsci.distributed.devices import gpu_of_rank
from tfsci.distributed.launch import Launch

BINDING = ("srun", "jsrun", "pals", "mpirun", "mpich")
MASKS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def place(launcher, rank, size):
    return Launch(launcher, rank, size, rank, size)


def taken(launcher, shown, environs):
    """The physical GPU that each rank takes of those it is shown; None where it is refused."""
    found = []
    for rank, (its, environ) in enumerate(zip(shown, environs, strict=True)):
        try:
            found.append(its[gpu_of_rank(len(its), place(launcher, rank, len(shown)), environ)])
        except ValueError:
            found.append(None)
    return found


@given(st.sampled_from([*BINDING, *UNBOUND]), st.integers(1, 9), st.integers(1, 9))
def test_all_gpus_shown_to_all_ranks(launcher, num_gpus, size):
    found = taken(launcher, [range(num_gpus)] * size, [{}] * size)
    if num_gpus >= size:
        assert found == list(range(size))
    elif num_gpus > 1 or launcher in UNBOUND:
        assert set(found) == {None}


@given(st.sampled_from(BINDING), st.permutations(range(6)), st.sampled_from(MASKS), st.data())
def test_one_of_its_own_for_each_rank(launcher, order, mask, data):
    """By an index, as everywhere 0 within Slurm's cgroups, by a UUID, or by no mask at all."""
    environs = [
        data.draw(
            st.sampled_from([{}, {mask: "0"}, {mask: str(gpu)}, {mask: f"MIG-{gpu:08d}-5d25"}])
        )
        for gpu in order
    ]
    assert taken(launcher, [[gpu] for gpu in order], environs) == order


@given(st.sampled_from([*BINDING, *UNBOUND]), st.integers(1, 6), st.sampled_from(MASKS))
def test_a_mask_of_the_local_rank(launcher, size, mask):
    environs = [{mask: str(rank)} for rank in range(size)]
    assert taken(launcher, [[rank] for rank in range(size)], environs) == list(range(size))


@given(st.sampled_from(UNBOUND), st.integers(2, 6), st.sampled_from(MASKS), st.data())
def test_a_mask_that_all_ranks_share_never_gives_one_gpu_to_two(launcher, size, mask, data):
    shared = str(data.draw(st.integers(0, 7)))
    found = taken(launcher, [[shared]] * size, [{mask: shared}] * size)
    assert sum(gpu is not None for gpu in found) <= 1
    assert None in found  # which ends the job


@pytest.mark.parametrize("launcher", ["srun", "horovodrun"])
def test_of_several_mig_instances_cuda_opens_the_first_for_all(launcher):
    mask = {"CUDA_VISIBLE_DEVICES": "MIG-7f4c,MIG-90aa"}
    assert taken(launcher, [["MIG-7f4c"]] * 2, [mask] * 2) == [None, None]
    assert taken("none", [["MIG-7f4c"]], [mask]) == ["MIG-7f4c"]


def test_a_mask_of_one_within_a_mask_of_all():
    """Frontier: Slurm masks by ROCR, a wrapper by HIP."""
    environs = [{"ROCR_VISIBLE_DEVICES": "0,1", "HIP_VISIBLE_DEVICES": str(r)} for r in range(2)]
    for launcher in ("srun", "torchrun"):
        assert taken(launcher, [["a"], ["b"]], environs) == ["a", "b"]


def test_the_mask_that_works_below_the_others_decides():
    environs = [{"ROCR_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": str(r)} for r in range(2)]
    assert taken("torchrun", [["a"], ["a"]], environs)[1] is None


# A driver of two GPUs, as cuda.h declares it.
STUB = """
#include <stdio.h>
#include <string.h>
int cuInit(unsigned flags) { return flags; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 7; return 0; }
int cuDeviceGetName(char *name, int len, int d) { snprintf(name, len, "GPU %d", d); return 0; }
int cuDeviceGetPCIBusId(char *id, int n, int d) { snprintf(id, n, "0:%02X:0.0", d); return 0; }
int cuDeviceGetUuid_v2(unsigned char *uuid, int d) { memset(uuid, d, 16); return d == 8; }
"""


def test_gpus_as_their_driver_names_them(tmp_path):
    library = tmp_path / "libstub.so"
    build = ["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"]
    try:
        subprocess.run(build, input=STUB, text=True, check=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no C compiler")
    nvidia = gpus._DRIVERS[0]
    assert gpus.visible_gpus([("libnowhere.so", *nvidia[1:]), (str(library), *nvidia[1:])]) == [
        {"name": "GPU 7", "pci": "0:07:0.0", "uuid": "07070707-0707-0707-0707-070707070707"},
        {"name": "GPU 8", "pci": "0:08:0.0", "uuid": None},
    ]
    assert gpus.visible_gpus([(str(library), "cuNothing", *nvidia[2:])]) == []


def test_without_a_driver_or_with_a_broken_one_there_are_none(tmp_path):
    (tmp_path / "libcuda.so.1").write_text("no library")
    code = "from tfsci.distributed.gpus import visible_gpus; print(visible_gpus()[:0])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (result.stdout, result.returncode) == ("[]\n", 0), result.stderr
