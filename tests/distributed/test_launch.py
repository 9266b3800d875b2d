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
BATCH_SCRIPT = {
    "SLURM_JOB_ID": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "2",
    "SLURM_TASKS_PER_NODE": "2(x2)",
}


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
        # The innermost launcher counts.
        ({**srun(3, 1, 1, "2(x2)"), **HOROVODRUN}, Launch("horovodrun", 5, 8, 1, 4, 1, 2)),
        ({**srun(1, 0, 1, "1(x2)"), **OPENMPI}, Launch("mpirun", 6, 8, 2, 4, 1, 2)),
        ({**BATCH_SCRIPT, **OPENMPI}, Launch("mpirun", 6, 8, 2, 4, 1, 2)),
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
