import json

import pytest

from tfsci.distributed.launch import Launch, detect

HOROVODRUN = {
    "HOROVOD_RANK": "5",
    "HOROVOD_SIZE": "8",
    "HOROVOD_LOCAL_RANK": "1",
    "HOROVOD_LOCAL_SIZE": "4",
    "HOROVOD_CROSS_RANK": "1",
    "HOROVOD_CROSS_SIZE": "2",
}
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "6",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_COMM_WORLD_LOCAL_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
    "OMPI_COMM_WORLD_NODE_RANK": "2",  # among the node's processes
}
JSRUN = {  # Summit: six resource sets a node
    "JSM_NAMESPACE_RANK": "7",
    "JSM_NAMESPACE_SIZE": "12",
    "JSM_NAMESPACE_LOCAL_RANK": "1",
    "JSM_NAMESPACE_LOCAL_SIZE": "6",
}
PALS = {  # Polaris: four GPUs a node
    "PALS_RANKID": "9",
    "PMI_SIZE": "12",
    "PALS_LOCAL_RANKID": "1",
    "PMI_LOCAL_SIZE": "4",
    "PALS_NODEID": "2",
}
AURORA = {  # a job log of 3 nodes, 4 ranks each: no size anywhere
    "PALS_RANKID": "9",
    "PALS_LOCAL_RANKID": "1",
    "PALS_LOCAL_SIZE": "4",
    "PALS_NODEID": "2",
    "PALS_APID": "1b0c5b2e-8f04-4c8f-9d7c-0c3f5d6a7b8c",
    "PALS_DEPTH": "1",
    "PALS_PMI": "pmix",
    "PALS_TRANSFER": "0",
}
THETA = {"ALPS_APP_PE": "5", "ALPS_APP_ID": "10101", "ALPS_APP_DEPTH": "1", "PMI_NO_FORK": "1"}
MVAPICH = {
    "MV2_COMM_WORLD_RANK": "3",
    "MV2_COMM_WORLD_SIZE": "4",
    "MV2_COMM_WORLD_LOCAL_RANK": "1",
    "MV2_COMM_WORLD_LOCAL_SIZE": "2",
}
INTEL_MPI = {  # a log of mpirun -np 5 -ppn 3: 3 ranks on one node, 2 on the other
    "PMI_RANK": "4",
    "PMI_SIZE": "5",
    "MPI_LOCALRANKID": "1",
    "MPI_LOCALNRANKS": "2",
}
TORCHRUN = {
    "RANK": "6",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "2",
    "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1",
    "GROUP_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "none",
}
PYTORCH_JOB = {"RANK": "1", "WORLD_SIZE": "3", "MASTER_ADDR": "train-master-0"}
BATCH_SCRIPT = {
    "SLURM_JOB_ID": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "2",
    "SLURM_TASKS_PER_NODE": "2(x2)",
}


def perlmutter(rank, local_rank, node):
    """One of 8 tasks on 2 nodes of a Cray, where srun sets the variables of PALS and PMI too."""
    return {
        **srun(rank, local_rank, node, "4(x2)"),
        "SLURM_STEP_NUM_TASKS": "8",
        "PALS_APID": "1.0",
        "PALS_LOCAL_RANKID": str(local_rank),
        "PALS_NODEID": str(node),
        "PALS_RANKID": str(rank),
        "PMI_JOBID": "1",
        "PMI_LOCAL_RANK": str(local_rank),
        "PMI_LOCAL_SIZE": "4",
        "PMI_RANK": str(rank),
        "PMI_SIZE": "8",
        "PMI_UNIVERSE_SIZE": "8",
    }


def tf_config(kind, index, worker=("a:2222", "a:2223", "b:2222"), **others):
    """Three workers on two nodes."""
    cluster = {"worker": list(worker), **others}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def srun(rank, local_rank, node, tasks):
    """Task `rank` of five or four on two nodes."""
    return {
        **BATCH_SCRIPT,
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(local_rank),
        "SLURM_NODEID": str(node),
        "SLURM_STEP_NUM_TASKS": "5" if tasks == "3,2" else "4",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_TASKS_PER_NODE": tasks,
    }


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Launch()),
        ({"HOME": "/home/me"}, Launch("none", 0, 1, 0, 1, 0, 1)),
        (HOROVODRUN, Launch("horovodrun", 5, 8, 1, 4, 1, 2)),
        (OPENMPI, Launch("mpirun", 6, 8, 2, 4, 1, 2)),
        (JSRUN, Launch("jsrun", 7, 12, 1, 6, 1, 2)),
        (PALS, Launch("pals", 9, 12, 1, 4, 2, 3)),
        (srun(3, 1, 1, "2(x2)"), Launch("srun", 3, 4, 1, 2, 1, 2)),
        (srun(2, 2, 0, "3,2"), Launch("srun", 2, 5, 2, 3, 0, 2)),
        (srun(4, 1, 1, "3,2"), Launch("srun", 4, 5, 1, 2, 1, 2)),
        (BATCH_SCRIPT, Launch()),
        (perlmutter(5, 1, 1), Launch("srun", 5, 8, 1, 4, 1, 2)),
        ({**AURORA, "WORLD_SIZE": "12"}, Launch("pals", 9, 12, 1, 4, 2, 3)),
        ({**THETA, "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, Launch("alps", 5, 8, 1, 4, 1, 2)),
        ({**THETA, "PMI_SIZE": "8"}, Launch("alps", 5, 8, 5, 8, 0, 1)),
        (MVAPICH, Launch("mvapich", 3, 4, 1, 2, 1, 2)),
        (INTEL_MPI, Launch("mpich", 4, 5, 1, 2, 2, 3)),
        (TORCHRUN, Launch("torchrun", 6, 8, 2, 4, 1, 2)),
        (PYTORCH_JOB, Launch("torchrun", 1, 3, 1, 3, 0, 1)),
        # As TensorFlow counts, a chief is the first worker.
        (tf_config("worker", 2), Launch("TF_CONFIG", 2, 3, 0, 1, 1, 2)),
        (tf_config("worker", 1), Launch("TF_CONFIG", 1, 3, 1, 2, 0, 2)),
        (tf_config("chief", 0, chief=["c:1"]), Launch("TF_CONFIG", 0, 4, 0, 1, 0, 3)),
        (tf_config("worker", 0, chief=["c:1"]), Launch("TF_CONFIG", 1, 4, 0, 2, 1, 3)),
        (tf_config("worker", "2"), Launch("TF_CONFIG", 2, 3, 0, 1, 1, 2)),
        ({"TF_CONFIG": "{}"}, Launch()),
        ({"TF_CONFIG": '{"cluster": {}, "environment": "cloud"}'}, Launch()),
        # The innermost launcher counts.
        ({**srun(3, 1, 1, "2(x2)"), **HOROVODRUN}, Launch("horovodrun", 5, 8, 1, 4, 1, 2)),
        ({**srun(1, 0, 1, "1(x2)"), **OPENMPI}, Launch("mpirun", 6, 8, 2, 4, 1, 2)),
        ({**BATCH_SCRIPT, **OPENMPI}, Launch("mpirun", 6, 8, 2, 4, 1, 2)),
        ({**srun(1, 0, 1, "1(x2)"), **TORCHRUN}, Launch("torchrun", 6, 8, 2, 4, 1, 2)),
        ({**srun(1, 0, 1, "1(x2)"), **INTEL_MPI}, Launch("mpich", 4, 5, 1, 2, 2, 3)),
        ({**JSRUN, **OPENMPI}, Launch("jsrun", 7, 12, 1, 6, 1, 2)),  # Spectrum MPI
        # A script's own names, and a TF_CONFIG, count after a launcher's ...
        ({**srun(3, 1, 1, "2(x2)"), **PYTORCH_JOB}, Launch("srun", 3, 4, 1, 2, 1, 2)),
        ({**MVAPICH, **tf_config("worker", 0)}, Launch("mvapich", 3, 4, 1, 2, 1, 2)),
        # ... that started more than the script.
        (
            {"PMI_RANK": "0", "PMI_SIZE": "1", **tf_config("worker", 2)},
            Launch("TF_CONFIG", 2, 3, 0, 1, 1, 2),
        ),
        # A rank without a size is no launch.
        ({"HOROVOD_RANK": "3"}, Launch()),
        ({"PMI_SIZE": "3"}, Launch()),
    ],
)
def test_the_variables_of_each_launcher(environ, expected):
    assert detect(environ) == expected


@pytest.mark.parametrize(
    ("tasks", "node", "expected"),
    [("2(x2)", 1, 2), ("4(x3),1", 2, 4), ("4(x3),1", 3, 1), ("3,2(x2),7", 3, 7), ("1", 0, 1)],
)
def test_slurms_compressed_lists(tasks, node, expected):
    assert detect(srun(0, 0, node, tasks)).local_size == expected


@pytest.mark.parametrize(
    ("environ", "num_nodes", "local_size"),
    [
        ({**JSRUN, "JSM_NAMESPACE_SIZE": "13"}, 3, 6),  # the last node holds one
        ({name: PALS[name] for name in ("PALS_RANKID", "PMI_SIZE")}, 1, 12),
    ],
)
def test_what_a_launcher_does_not_say_is_worked_out(environ, num_nodes, local_size):
    launch = detect(environ)
    assert (launch.num_nodes, launch.local_size) == (num_nodes, local_size)


@pytest.mark.parametrize("value", ["x", "", "-1", "1.5", "²"])
@pytest.mark.parametrize("environ", [HOROVODRUN, OPENMPI, JSRUN, PALS, srun(3, 1, 1, "2(x2)")])
def test_a_malformed_number_is_named(environ, value):
    *_, name = (each for each in environ if each.endswith(("RANK", "RANKID", "PROCID")))
    with pytest.raises(ValueError) as error:
        detect({**environ, name: value})
    assert str(error.value) == (
        f"{name}={value!r} in the environment is not a whole number; "
        "start the job anew with its launcher"
    )


@pytest.mark.parametrize("value", ["x", "2(xx)", "2x2", "2(x2", "2,-1"])
def test_a_malformed_list_is_named(value):
    with pytest.raises(ValueError) as error:
        detect(srun(0, 0, 0, value))
    assert str(error.value) == (
        f"SLURM_STEP_TASKS_PER_NODE={value!r} in the environment is no list such as 2(x2),1; "
        "start the job anew with srun"
    )


def test_aurora_tells_no_size_but_the_nodes(tmp_path):
    nodes = tmp_path / "nodefile"
    nodes.write_text("".join(f"x4502c0s{n}b0n0.hsn.cm.aurora.alcf.anl.gov\n" for n in range(3)))
    launch = detect({**AURORA, "PBS_NODEFILE": str(nodes)})
    assert launch == Launch("pals", 9, 12, 1, 4, 2, 3)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            AURORA,
            "PALS_RANKID=9 in the environment, but nothing tells the number of processes; pass it "
            "with 'mpiexec --env WORLD_SIZE=N -n N …'",
        ),
        (
            THETA,
            "ALPS_APP_PE=5 in the environment, but nothing tells the number of processes; pass it "
            "with 'aprun -e WORLD_SIZE=N -n N …'",
        ),
        (
            {**MVAPICH, "MV2_COMM_WORLD_RANK": "4"},
            "MV2_COMM_WORLD_RANK=4 contradicts MV2_COMM_WORLD_SIZE=4 in the environment: expected "
            "less; start the job anew with its launcher",
        ),
        (
            {**TORCHRUN, "LOCAL_RANK": "4"},
            "LOCAL_RANK=4 contradicts LOCAL_WORLD_SIZE=4 in the environment: expected less; "
            "start the job anew with its launcher",
        ),
        (
            srun(2, 2, 0, "2(x2)"),
            "SLURM_LOCALID=2 contradicts 2 in all in the environment: expected less; start the "
            "job anew with its launcher",
        ),
        (
            {"PMI_RANK": "0", "PMI_SIZE": "0"},
            "PMI_SIZE=0 in the environment: expected at least 1 process",
        ),
        (
            tf_config("evaluator", 0),
            "TF_CONFIG in the environment is of task 'evaluator' 0: expected a chief or worker of "
            "its cluster; correct its task",
        ),
        (
            tf_config("worker", 3),
            "TF_CONFIG in the environment is of task 'worker' 3: expected a chief or worker of "
            "its cluster; correct its task",
        ),
    ],
)
def test_what_cannot_be_is_refused(environ, message):
    with pytest.raises(ValueError) as error:
        detect(environ)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "text", ["", "worker 0", "[]", "3", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": 3}']
)
def test_a_malformed_tf_config_is_shown(text):
    with pytest.raises(ValueError, match=r"^TF_CONFIG=.* expected JSON such as [^\n]*$") as error:
        detect({"TF_CONFIG": text})
    assert repr(text) in str(error.value)
