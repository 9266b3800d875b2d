import itertools
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.distributed.launch import Launch, detect
from tfsci.distributed.nodes import cluster, expand, first_port, node_list, tf_config


def slurm(rank, local_rank, node, tasks, nodes="nid[002256,002257]", step_nodes=None):
    """A task of srun, as Perlmutter's job logs show it."""
    counts = [int(count) for count in tasks.replace("4(x2)", "4,4").split(",")]
    return {
        "SLURM_JOB_ID": "4321987",
        "SLURM_STEP_ID": "0",
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_STEP_NODELIST": step_nodes or nodes,
        "SLURM_STEP_NUM_NODES": str(len(counts)),
        "SLURM_STEP_NUM_TASKS": str(sum(counts)),
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(local_rank),
        "SLURM_NODEID": str(node),
    }


def summit(rank, nodes=2):
    """A rank of jsrun -n12 -r6: the job's script runs on a node of its own."""
    hosts = ["batch5", *(f"h36n0{n}" for n in range(1, nodes + 1))]
    return {
        "LSB_JOBID": "1181234",
        "LSB_JOBINDEX": "0",
        "LSB_DJOB_HOSTFILE": "/ccs/home/user/.lsbatch/1600000000.1181234.hostfile",
        "LSB_MCPU_HOSTS": " ".join(f"{host} {1 if n == 0 else 42}" for n, host in enumerate(hosts)),
        "JSM_NAMESPACE_RANK": str(rank),
        "JSM_NAMESPACE_SIZE": "12",
        "JSM_NAMESPACE_LOCAL_RANK": str(rank % 6),
        "JSM_NAMESPACE_LOCAL_SIZE": "6",
    }


def polaris(rank, file):
    """A rank of mpiexec -n 8 --ppn 4."""
    return {
        "PBS_JOBID": "463919.polaris-pbs-01.hsn.cm.polaris.alcf.anl.gov",
        "PBS_NODEFILE": str(file),
        "PALS_APID": "a2c4",
        "PALS_RANKID": str(rank),
        "PALS_NODEID": str(rank // 4),
        "PALS_LOCAL_RANKID": str(rank % 4),
        "PMI_RANK": str(rank),
        "PMI_SIZE": "8",
        "PMI_LOCAL_RANK": str(rank % 4),
        "PMI_LOCAL_SIZE": "4",
    }


class TestSlurmsLists:
    # What 'scontrol show hostnames' of Slurm 22.05 prints.
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("localhost", "localhost"),
            ("nid[001-003,007],login1", "nid001 nid002 nid003 nid007 login1"),
            ("a[1-2]b[3-4]", "a1b3 a1b4 a2b3 a2b4"),
            ("n[098-102]", "n098 n099 n100 n101 n102"),
            ("n[9-11]", "n9 n10 n11"),
            ("nid00[1-2],c[2,1]", "nid001 nid002 c2 c1"),
            ("sh04-10n05,gpu-a[1].site.org", "sh04-10n05 gpu-a1.site.org"),
        ],
    )
    def test_expands_as_scontrol_does(self, text, names):
        assert expand(text) == names.split()

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["nid", "a-", "rack2n", "x.y"]),
                st.integers(1, 5),
                st.sets(st.integers(0, 99_999), min_size=1, max_size=8),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def test_undoes_a_compression(self, groups):
        names = [f"{p}{n:0{width}}" for p, width, numbers in groups for n in sorted(numbers)]
        assert expand(",".join(compress(*group) for group in groups)) == names

    @given(st.text(alphabet="n[]-,019x", max_size=12))
    def test_expands_or_says_why_not(self, text):
        try:
            names = expand(text)
        except ValueError as error:
            assert repr(text) in str(error) or "runs backwards" in str(error)
        else:
            assert names and all(names) and not set("".join(names)) & set("[],")

    @pytest.mark.parametrize(
        "text", ["", "n[1-3", "n1-3]", "n[]", "n[a-b]", "a,,b", "n[1,]", "a b"]
    )
    def test_a_malformed_list_is_shown(self, text):
        with pytest.raises(ValueError) as error:
            node_list({"SLURM_JOB_NODELIST": text})
        assert str(error.value) == (
            f"SLURM_JOB_NODELIST in the environment: {text!r} is no list of nodes such as "
            "nid[001-003,007],login1"
        )

    def test_a_backward_range_is_named(self):
        with pytest.raises(ValueError, match=r"SLURM_JOB_NODELIST .* range 3-1 runs backwards"):
            node_list({"SLURM_JOB_NODELIST": "n[3-1]"})


def compress(prefix, width, numbers):
    """Writes names as Slurm does: runs of one width as ranges."""
    runs, texts = [], [f"{n:0{width}}" for n in sorted(numbers)]
    for text in texts:
        last = runs[-1][-1] if runs else ""
        if len(last) == len(text) and int(text) == int(last) + 1:
            runs[-1].append(text)
        else:
            runs.append([text])
    ranges = (run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"{prefix}[{','.join(ranges)}]"


class TestNodeList:
    def test_of_the_step_under_srun(self):
        environ = slurm(0, 0, 0, "1", "nid[001-004]", "nid003")
        assert node_list(environ) == ["nid003"]

    def test_of_the_job_under_mpirun_whose_daemons_are_the_step(self):
        environ = {
            **slurm(0, 0, 0, "1", "nid[001-002]", "nid002"),
            "OMPI_COMM_WORLD_RANK": "0",
            "OMPI_COMM_WORLD_SIZE": "2",
        }
        assert node_list(environ) == ["nid001", "nid002"]

    @pytest.mark.parametrize("name", ["PBS_NODEFILE", "COBALT_NODEFILE", "LSB_DJOB_HOSTFILE"])
    def test_a_file_has_a_line_for_each_slot(self, name, tmp_path):
        file = tmp_path / "nodes"
        file.write_text("b.hsn.cm\nb.hsn.cm\n\na.hsn.cm\nb.hsn.cm\n")
        assert node_list({name: str(file)}) == ["b.hsn.cm", "a.hsn.cm"]

    def test_jsrun_leaves_the_batch_node_alone(self):
        assert node_list(summit(0)) == ["h36n01", "h36n02"]
        environ = {**summit(0), "LSB_MCPU_HOSTS": "p9a 40 p9b 40"}  # a site without a batch node
        assert node_list(environ) == ["p9a", "p9b"]

    def test_mpirun_under_lsf_uses_all(self):
        environ = {"LSB_MCPU_HOSTS": "grid03 1 grid05 1 grid01 2"}
        assert node_list(environ) == ["grid03", "grid05", "grid01"]

    def test_without_a_scheduler_it_is_this_host(self):
        assert node_list({}) == [socket.gethostname()]

    def test_a_file_that_is_not_here(self, tmp_path):
        with pytest.raises(FileNotFoundError) as error:
            node_list({"PBS_NODEFILE": f"{tmp_path}/nodes"})
        assert str(error.value) == (
            f"PBS_NODEFILE={tmp_path}/nodes cannot be read on this node (No such file or "
            "directory): expected the job's nodes, a line each; copy it to a shared folder and "
            "set PBS_NODEFILE to the copy"
        )

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "nodes").touch()
        with pytest.raises(ValueError, match=r"PBS_NODEFILE=.* is empty: expected the job's nodes"):
            node_list({"PBS_NODEFILE": f"{tmp_path}/nodes"})

    @pytest.mark.parametrize("text", ["", "batch1", "batch1 1 a01", "batch1 x"])
    def test_malformed_hosts_of_lsf(self, text):
        with pytest.raises(ValueError, match=f"^LSB_MCPU_HOSTS='{text}' .* such as 'batch1 1 a01"):
            node_list({"LSB_MCPU_HOSTS": text})


class TestCluster:
    def test_srun_on_two_nodes(self):
        configs = [cluster(slurm(rank, rank % 4, rank // 4, "4(x2)")) for rank in range(8)]
        port = first_port(slurm(0, 0, 0, "4(x2)"))
        workers = [f"nid00225{node}:{port + i}" for node in (6, 7) for i in range(4)]
        for rank, config in enumerate(configs):
            assert config["cluster"] == {"worker": workers}
            assert config["task"] == {"type": "worker", "index": rank}

    def test_srun_with_uneven_nodes(self):
        config = cluster({**slurm(3, 0, 1, "3,2"), "TFSCI_PORT": "5000"})
        hosts = ["002256:5000", "002256:5001", "002256:5002", "002257:5000", "002257:5001"]
        assert config["cluster"]["worker"] == [f"nid{host}" for host in hosts]

    def test_jsrun(self):
        config = cluster(summit(7))
        port = first_port(summit(0))
        assert config["cluster"]["worker"][7] == f"h36n02:{port + 1}"
        assert len(set(config["cluster"]["worker"])) == 12

    def test_pals(self, tmp_path):
        file = tmp_path / "nodes"
        domain = ".hsn.cm.polaris.alcf.anl.gov"
        file.write_text(f"x3004c0s25b0n0{domain}\nx3004c0s25b1n0{domain}\n")
        config = cluster({**polaris(6, file), "TFSCI_PORT": "2222"})
        assert config["cluster"]["worker"][6] == f"x3004c0s25b1n0{domain}:2224"

    def test_one_process(self):
        config = cluster({"TFSCI_PORT": "2222"})
        assert config["cluster"]["worker"] == [f"{socket.gethostname()}:2222"]
        assert config["task"]["index"] == 0

    def test_detect_reads_it_back(self):
        for rank in range(5):
            environ = slurm(rank, rank % 3, rank // 3, "3,2")
            launch = detect({"TF_CONFIG": json.dumps(cluster(environ))})
            assert launch.launcher == "TF_CONFIG"
            for field in ("rank", "world_size", "local_rank", "local_size", "node_rank"):
                assert getattr(launch, field) == getattr(detect(environ), field)

    def test_a_tf_config_is_returned_as_it_is(self):
        config = {
            "cluster": {"chief": ["a:1"], "worker": ["b:1"]},
            "task": {"type": "worker", "index": 0},
            "rpc_layer": "grpc",
        }
        assert cluster({"TF_CONFIG": json.dumps(config)}) == config
        started = {**slurm(1, 0, 1, "1,1"), "TF_CONFIG": json.dumps(config)}
        assert cluster(started) == config

    def test_one_tf_config_for_all_is_refused(self):
        config = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
        with pytest.raises(ValueError) as error:
            cluster({**slurm(1, 0, 1, "1,1"), "TF_CONFIG": json.dumps(config)})
        assert str(error.value) == (
            "TF_CONFIG in the environment is of worker 0 of 1 but srun started this process as "
            "rank 1 of 2: unset it, and it is made from srun's variables"
        )


class TestPlacement:
    @given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
    def test_each_rank_has_an_address_of_its_own(self, counts, data):
        ranks = [(node, i) for node, count in enumerate(counts) for i in range(count)]
        rank = data.draw(st.integers(0, len(ranks) - 1))
        node, i = ranks[rank]
        launch = Launch("srun", rank, len(ranks), i, counts[node], node, len(counts))
        config = tf_config(launch, [f"n{n}" for n in range(7)], 20_000, counts)
        workers = config["cluster"]["worker"]
        assert len(set(workers)) == len(ranks)
        assert workers[rank] == f"n{node}:{20_000 + i}"

    def test_a_last_node_that_is_not_full(self):
        launch = Launch("jsrun", 6, 13, 0, 6, 1, 3)
        workers = tf_config(launch, ["a", "b", "c", "d"], 20_000)["cluster"]["worker"]
        assert workers[12] == "c:20000"

    def test_ranks_dealt_out_in_turn_are_refused(self):
        with pytest.raises(ValueError) as error:
            cluster(slurm(1, 0, 1, "2,2"))  # srun --distribution=cyclic
        assert str(error.value) == (
            "rank 1 is local rank 0 of 2 on node 1; expected 1 of 2 on node 0, the nodes filled "
            "one after the other: start it so (srun --distribution=block, mpirun --map-by slot), "
            "with as many on each node, or set TF_CONFIG"
        )

    def test_too_few_nodes(self):
        with pytest.raises(ValueError) as error:
            tf_config(Launch("mpirun", 0, 8, 0, 2, 0, 4), ["a", "b"], 20_000)
        assert str(error.value) == (
            "mpirun started 8 processes with 2 on this node, which needs 4 nodes, but the job's "
            "list has 2 (a, b): start as many on each node, under a scheduler, or set TF_CONFIG"
        )

    def test_a_list_of_tasks_that_does_not_add_up(self):
        with pytest.raises(
            ValueError, match=r"started 5 processes but lists 4 on its nodes \(2, 2"
        ):
            cluster({**slurm(0, 0, 0, "2,2"), "SLURM_STEP_NUM_TASKS": "5"})

    def test_too_high_a_port(self):
        with pytest.raises(ValueError, match="65534: expected at most 65532, for 4 ranks"):
            tf_config(Launch("srun", 0, 4, 0, 4), ["a"], 65_534)


class TestFirstPort:
    def test_is_the_same_on_all_ranks_of_a_job(self, tmp_path):
        assert len({first_port(slurm(r, r % 4, r // 4, "4(x2)")) for r in range(8)}) == 1
        assert len({first_port(summit(rank)) for rank in range(12)}) == 1
        assert len({first_port(polaris(rank, tmp_path)) for rank in range(8)}) == 1

    def test_is_the_same_under_an_mpirun_whose_daemons_are_of_another_step(self):
        ranks = [
            {"SLURM_JOB_ID": "7", "OMPI_COMM_WORLD_RANK": f"{rank}", "OMPI_COMM_WORLD_SIZE": "2"}
            for rank in range(2)
        ]
        assert first_port(ranks[0]) == first_port({**ranks[1], "SLURM_STEP_ID": "0"})

    def test_differs_by_job_step_and_run(self):
        environ = slurm(0, 0, 0, "4(x2)")
        others = [
            {},
            {"SLURM_JOB_ID": "4321988"},
            {"SLURM_STEP_ID": "1"},
            {"PMIX_NAMESPACE": "slurm.pmix.4321987.2"},
        ]
        ports = [first_port({**environ, **other}) for other in others]
        assert all(a != b for a, b in itertools.combinations(ports, 2))

    @given(st.text())
    def test_is_outside_the_ephemeral_ports(self, job):
        assert 20_000 <= first_port({"SLURM_JOB_ID": job}) < 29_000

    def test_is_what_the_user_sets(self):
        assert first_port({**summit(0), "TFSCI_PORT": "12345"}) == 12345

    @pytest.mark.parametrize("value", ["80", "65536"])
    def test_that_no_user_may_open_is_refused(self, value):
        with pytest.raises(ValueError) as error:
            first_port({"TFSCI_PORT": value})
        assert str(error.value) == (
            f"TFSCI_PORT={value} in the environment: expected 1024 to 65535"
        )
