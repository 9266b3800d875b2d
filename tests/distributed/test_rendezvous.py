"""Ranks that find each other: threads for the counting, real processes for the meeting."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tfsci.distributed import coordinator, rendezvous
from tfsci.distributed.coordinator import Coordinator, find_coordinator, job_token
from tfsci.distributed.launch import Launch

RANKS = Path(__file__).with_name("ranks.py")
TORCHRUN = Launch("torchrun", 0, 3, 0, 3, 0, 1)
SRUN = Launch("srun", 1, 4, 1, 2, 0, 2)
SLURM = {
    "SLURM_PROCID": "1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NODELIST": "nid[007-008]",
    "SLURM_JOB_NODELIST": "nid[001-008]",
    "SLURM_JOB_ID": "12",
    "SLURM_STEP_ID": "3",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class TestWhereRank0Listens:
    def test_as_told(self):
        environ = {**SLURM, "TFSCI_COORDINATOR": "hsn.nid7:4000", "MASTER_ADDR": "other"}
        assert find_coordinator(SRUN, environ) == Coordinator("hsn.nid7", 4000)

    def test_as_told_in_torchruns_way(self):
        environ = {**SLURM, "MASTER_ADDR": "nid008", "MASTER_PORT": "29500"}
        assert find_coordinator(SRUN, environ) == Coordinator("nid008", 29500)

    def test_torchrun_itself_has_the_port_it_tells(self):
        environ = {"MASTER_ADDR": "a", "MASTER_PORT": "29500"}
        environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
        assert find_coordinator(TORCHRUN, environ).port == 29501

    def test_on_the_steps_first_node_at_the_jobs_port(self):
        found = find_coordinator(SRUN, SLURM)
        assert found.host == "nid007"
        assert 20_000 <= found.port < 29_000
        assert found.port != find_coordinator(SRUN, {**SLURM, "SLURM_STEP_ID": "4"}).port

    def test_on_this_host_where_all_ranks_are(self):
        assert find_coordinator(TORCHRUN, {}).host == "127.0.0.1"

    def test_on_the_first_host_of_a_tf_config(self):
        cluster = {"chief": ["a:1"], "worker": ["b:1"]}
        config = {"cluster": cluster, "task": {"type": "worker", "index": 0}}
        environ = {"TF_CONFIG": json.dumps(config)}
        assert find_coordinator(Launch("TF_CONFIG", 1, 2, 0, 1, 1, 2), environ).host == "a"

    def test_several_nodes_that_nothing_lists_are_refused(self):
        with pytest.raises(ValueError, match=r"^mpich started 4 .* set TFSCI_COORDINATOR=host:por"):
            find_coordinator(Launch("mpich", 0, 4, 0, 2, 0, 2), {})

    @pytest.mark.parametrize("text", ["host", "host:", ":80", "host:x", "host:0", "host:65536"])
    def test_a_malformed_address_is_refused(self, text):
        with pytest.raises(ValueError, match=r"^TFSCI_COORDINATOR='.*': expected"):
            find_coordinator(SRUN, {"TFSCI_COORDINATOR": text})

    def test_an_unknown_host_is_named(self, monkeypatch):
        def unknown(name):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(coordinator.socket, "gethostbyname", unknown)
        with pytest.raises(
            ConnectionError, match=r"rank 0's host nid9 is not known on .*: set TFS"
        ):
            coordinator.resolve(Coordinator("nid9", 1))

    @pytest.mark.parametrize("text", ["", "x", "0", "-1", "inf", "1e9"])
    def test_a_malformed_timeout_is_refused(self, text):
        with pytest.raises(ValueError, match=f"^TFSCI_START_TIMEOUT='{text}': expected a number"):
            rendezvous.start_timeout({"TFSCI_START_TIMEOUT": text})


class TestToken:
    def test_names_the_step_and_not_the_rank(self):
        assert job_token(SRUN, SLURM) == "srun, 4 processes, job 12.3"

    def test_differs_by_world_size_and_launcher(self):
        environ = {"SLURM_JOB_ID": "12"}
        launches = [Launch("srun", 0, 2), Launch("srun", 0, 3), Launch("mpich", 0, 2)]
        tokens = {job_token(launch, environ) for launch in launches}
        assert len(tokens) == 3

    def test_of_a_shell_loop_is_its_session_and_command(self, monkeypatch):
        token = job_token(TORCHRUN, {})
        assert f"session {os.getsid(0)}, command " in token
        monkeypatch.setattr(sys, "argv", [*sys.argv, "--seed", "1"])
        assert job_token(TORCHRUN, {}) != token
        assert "session" not in job_token(TORCHRUN, {"MASTER_PORT": "1"})


class TestNeeded:
    @pytest.mark.parametrize(
        ("launcher", "size", "with_mpi", "environ", "needed"),
        [
            ("srun", 2, False, {}, True),
            ("srun", 2, True, {}, True),
            ("srun", 2, True, {"PMIX_PREFIX": "/usr"}, True),
            ("srun", 2, True, {"SLURM_MPI_TYPE": "pmix"}, False),
            ("srun", 2, True, {"SLURM_MPI_TYPE": "pmix", "HOROVOD_CONTROLLER": "gloo"}, True),
            ("torchrun", 2, True, {}, True),
            ("torchrun", 2, True, {"HOROVOD_CONTROLLER": "mpi"}, False),
            ("mpirun", 2, True, {}, False),
            ("srun", 1, False, {}, False),
            ("horovodrun", 2, False, {}, False),
            ("none", 1, False, {}, False),
        ],
    )
    def test_where_horovod_cannot_know(self, launcher, size, with_mpi, environ, needed):
        assert rendezvous.is_needed(Launch(launcher, 0, size), with_mpi, environ) is needed


@pytest.fixture
def gathering():
    """Starts a server, ``start(world_size, timeout)``, and closes it after the test."""
    server_module = pytest.importorskip("tfsci.distributed.rendezvous_server")
    started = []

    def start(world_size, timeout=20.0, port=0):
        server = server_module.Gathering(("127.0.0.1", port), "token", world_size, timeout)
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def report(rank, host="a", token="token", process=None):
    return {"token": token, "rank": rank, "id": process or f"process {rank}", "host": host}


def send(server, method, path, body=None, **headers):
    """Returns the status and body of an answer."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=5)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class TestPlaces:
    def places(self, hosts):
        module = pytest.importorskip("tfsci.distributed.rendezvous_server")
        return [
            (p.local_rank, p.local_size, p.cross_rank, p.cross_size) for p in module.plan(hosts)
        ]

    def test_on_two_hosts_with_2_and_1(self):
        assert self.places("aab") == [(0, 2, 0, 2), (1, 2, 0, 1), (0, 1, 1, 2)]

    def test_dealt_out_in_turn(self):
        assert self.places("abab") == [(0, 2, 0, 2), (0, 2, 1, 2), (1, 2, 0, 2), (1, 2, 1, 2)]

    def test_are_those_of_horovodrun(self):
        hosts = pytest.importorskip("horovod.runner.common.util.hosts")
        expected = hosts.get_host_assignments(hosts.parse_hosts("a:3,b:1,c:2"), 6)
        module = pytest.importorskip("tfsci.distributed.rendezvous_server")
        assert module.plan("aaabcc") == expected


class TestGathering:
    def test_each_rank_is_given_its_place_once_all_are_there(self, gathering):
        server = gathering(3)
        assert server.gather(report(2, "b"), "10.0.0.2") == {"wait": [0, 1]}
        assert server.gather(report(0), "10.0.0.1") == {"wait": [1]}
        place = server.gather(report(1), "10.0.0.1")["place"]
        assert place == {
            "hostname": "a-10.0.0.1", "rank": 1, "size": 3, "local_rank": 1, "local_size": 2,
            "cross_rank": 0, "cross_size": 1, "peer": "10.0.0.2",
        }  # fmt: skip
        assert server.gather(report(2, "b"), "10.0.0.2")["place"]["peer"] == "10.0.0.1"
        assert server.addresses == {"10.0.0.1", "10.0.0.2"}
        assert server.scope_size["local_a-10.0.0.1"] == 2

    def test_hosts_of_one_name_are_told_apart_by_address(self, gathering):
        server = gathering(2)
        server.gather(report(0, "localhost"), "10.0.0.1")
        assert server.gather(report(1, "localhost"), "10.0.0.2")["place"]["local_size"] == 1

    def test_no_peer_where_there_is_one_host(self, gathering):
        server = gathering(1)
        assert server.gather(report(0), "127.0.0.1")["place"]["peer"] is None

    def test_a_foreigner_is_refused_and_not_counted(self, gathering):
        server = gathering(2)
        assert "another job" in server.gather(report(0, token="x"), "127.0.0.1")["refused"]
        assert server.gather(report(1), "127.0.0.1") == {"wait": [0]}

    def test_a_rank_that_comes_twice_ends_the_job(self, gathering):
        server = gathering(3)
        server.gather(report(1), "127.0.0.1")
        answer = server.gather(report(1, process="another"), "127.0.0.1")
        assert "rank 1 came twice" in answer["refused"]
        assert "rank 1 came twice" in server.gather(report(1), "127.0.0.1")["error"]

    def test_a_latecomer_of_that_rank_does_not(self, gathering):
        server = gathering(1)
        server.gather(report(0), "127.0.0.1")
        assert "came twice" in server.gather(report(0, process="late"), "127.0.0.1")["refused"]
        assert "place" in server.gather(report(0), "127.0.0.1")

    def test_the_missing_are_named_to_all(self, gathering):
        server = gathering(8, timeout=0.2)
        server.gather(report(0), "127.0.0.1")
        server.gather(report(5), "127.0.0.1")
        time.sleep(0.5)
        for rank in (0, 5):
            assert server.gather(report(rank), "127.0.0.1")["error"].startswith(
                "ranks 1-4, 6-7 of 8 did not come within 0.2 s: "
            )
        server.wait_until_told(5)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 3000, b"{}", b"x" * 5000,
         json.dumps(report("0")).encode(), json.dumps(report(True)).encode(),
         json.dumps(report(-1)).encode(), json.dumps(report(2)).encode(),
         json.dumps(report(0, host=["a"])).encode()],
    )  # fmt: skip
    def test_a_malformed_report_is_refused(self, gathering, body):
        server = gathering(2)
        status, answer = send(server, "POST", "/tfsci/gather", body)
        assert status == 400 or "refused" in json.loads(answer)
        assert server.gather(report(1), "127.0.0.1") == {"wait": [0]}

    @pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999", ""])
    def test_so_is_a_malformed_length(self, gathering, length):
        server = gathering(2)
        assert send(server, "POST", "/tfsci/gather", None, **{"Content-Length": length})[0] == 400

    def test_an_answer_is_out_before_it_counts_as_told(self, gathering):
        server = gathering(1)
        finish = threading.Event()
        server.told = lambda rank: finish.wait(30)  # this process would end once it returns
        _, answer = send(server, "POST", "/tfsci/gather", json.dumps(report(0)).encode())
        finish.set()
        assert "place" in json.loads(answer)

    def test_horovods_messages_pass_once_all_are_there_and_within_bounds(self, gathering):
        server = gathering(1)
        assert send(server, "PUT", "/global/key", b"1")[0] == 403
        server.gather(report(0), "127.0.0.1")
        assert send(server, "PUT", "/global/key", b"1")[0] == 200
        assert send(server, "GET", "/global/key") == (200, b"1")
        assert send(server, "GET", "/a/b/c")[0] == 403
        assert send(server, "PUT", "/global/key", None, **{"Content-Length": "-1"})[0] == 403
        assert send(server, "PUT", "/global/key", None, **{"Content-Length": "9999999"})[0] == 403
        assert send(server, "HEAD", "/setup.cfg")[0] == 400
        server.addresses = frozenset({"10.0.0.1"})
        assert send(server, "GET", "/global/key")[0] == 403


def meet(places, environs, timeout="10"):
    """Calls `prepare` in a thread a rank; returns the environments and the errors."""
    errors = {}

    def one(launch, environ):
        try:
            rendezvous.prepare(launch, environ)
        except (OSError, ValueError) as error:
            errors[launch.rank] = str(error)

    for environ in environs:
        environ.setdefault("TFSCI_START_TIMEOUT", timeout)
    pairs = zip(places, environs, strict=True)
    threads = [threading.Thread(target=one, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return environs, errors


class TestPrepare:
    @pytest.fixture(autouse=True)
    def horovod(self):
        pytest.importorskip("horovod")

    def launches(self, size, ranks=None):
        ranks = range(size) if ranks is None else ranks
        return [Launch("torchrun", r, size, r, size, 0, 1) for r in ranks]

    def test_every_rank_has_what_horovod_reads(self, capsys, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        port = str(free_port())
        environs, errors = meet(self.launches(3), [{"MASTER_PORT": port} for _ in range(3)])
        assert errors == {}
        for rank, environ in enumerate(environs):
            hostname = environ.pop("HOROVOD_HOSTNAME")
            assert hostname.endswith("-127.0.0.1")
            assert environ == {
                "MASTER_PORT": port, "TFSCI_START_TIMEOUT": "10",
                "HOROVOD_RANK": str(rank), "HOROVOD_SIZE": "3",
                "HOROVOD_LOCAL_RANK": str(rank), "HOROVOD_LOCAL_SIZE": "3",
                "HOROVOD_CROSS_RANK": "0", "HOROVOD_CROSS_SIZE": "1",
                "HOROVOD_GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
                "HOROVOD_GLOO_RENDEZVOUS_PORT": port,
                "HOROVOD_GLOO_IFACE": "lo",
                "HOROVOD_CONTROLLER": "gloo", "HOROVOD_CPU_OPERATIONS": "gloo",
            }  # fmt: skip
        assert capsys.readouterr().out == (
            f"ranks met at 127.0.0.1:{port}, network interface lo; "
            "HOROVOD_GLOO_IFACE=name takes another\n"
        )

    def test_a_missing_rank_is_named_by_all_that_came(self):
        port = str(free_port())
        _, errors = meet(
            self.launches(4, [0, 1, 3]), [{"MASTER_PORT": port} for _ in range(3)], "1"
        )
        assert sorted(errors) == [0, 1, 3]
        assert all(e.startswith("rank 2 of 4 did not come within 1 s: ") for e in errors.values())

    def test_without_rank_0_the_others_say_where_they_looked(self):
        port = str(free_port())
        _, errors = meet(self.launches(2, [1]), [{"MASTER_PORT": port}], "0.5")
        assert f"could not reach rank 0 at 127.0.0.1:{port} (Connection refused): " in errors[1]

    def test_a_port_in_use_is_told(self, monkeypatch):
        monkeypatch.setattr(rendezvous, "_PATIENCE", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            _, errors = meet(self.launches(2, [0]), [{"MASTER_PORT": port}])
        assert f"can't listen at 127.0.0.1:{port} (Address already in use): set TFS" in errors[0]

    def test_a_foreign_job_is_refused_and_does_no_harm(self, monkeypatch):
        monkeypatch.setattr(rendezvous, "_PATIENCE", 0.3)
        port = str(free_port())
        launches = [*self.launches(2), Launch("torchrun", 2, 3, 2, 3, 0, 1)]
        _, errors = meet(launches, [{"MASTER_PORT": port} for _ in range(3)], "3")
        assert sorted(errors) == [2]
        assert "another job's rank 0 (torchrun, 2 processes, user" in errors[2]
        assert "set TFSCI_COORDINATOR=host:port with a free port" in errors[2]

    def test_an_unknown_interface_is_refused_with_those_there_are(self):
        environ = {"HOROVOD_GLOO_IFACE": "ib7"}
        with pytest.raises(ValueError, match=r"^HOROVOD_GLOO_IFACE=ib7: .* only .*lo"):
            rendezvous.prepare(TORCHRUN, environ)

    def test_another_service_at_the_port_is_told_apart(self, monkeypatch):
        monkeypatch.setattr(rendezvous, "_PATIENCE", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as other:

            def serve():
                for _ in range(20):
                    try:
                        connection, _ = other.accept()
                    except OSError:
                        return
                    with connection:
                        connection.recv(1000)
                        connection.sendall(b"220 mail.example ESMTP\r\n")

            threading.Thread(target=serve, daemon=True).start()
            port = str(other.getsockname()[1])
            _, errors = meet(self.launches(2, [1]), [{"MASTER_PORT": port}], "3")
        assert "what answers is no rank 0" in errors[1]


LOOP = """
for rank in $RANKS; do RANK=$rank "$@" & ids="$ids $!"; done
for id in $ids; do wait $id || code=$?; done
exit $code
"""


def start_loop(size, ranks, *arguments, **environ):
    """Starts ranks.py once a rank from a shell loop, in a session of its own."""
    environ = {**os.environ, **environ, "RANKS": ranks, "WORLD_SIZE": str(size)}
    return subprocess.Popen(
        ["bash", "-c", LOOP, "-", sys.executable, RANKS, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=environ,
    )  # fmt: skip


@pytest.mark.horovod
class TestRealRanks:
    @pytest.mark.slow
    def test_two_jobs_at_once_meet_and_not_each_other(self, tmp_path):
        sizes = {3: tmp_path / "three", 2: tmp_path / "two"}
        loops = []
        for size, folder in sizes.items():
            folder.mkdir()
            ranks = " ".join(map(str, range(size)))
            loops.append(start_loop(size, ranks, "masks", str(folder)))
        for loop, (size, folder) in zip(loops, sizes.items(), strict=True):
            output, _ = loop.communicate(timeout=240)
            assert loop.returncode == 0, output
            assert output.count("ranks met at 127.0.0.1:") == 1
            written = sorted(path.name for path in folder.iterdir())
            assert written == [f"{size}-{rank}.json" for rank in range(size)]

    @pytest.mark.slow
    def test_a_missing_rank_ends_all_with_a_line_each(self):
        loop = start_loop(3, "0 2", "masks", "nowhere", TFSCI_START_TIMEOUT="15")
        output, _ = loop.communicate(timeout=120)
        assert loop.returncode == 2
        assert output.count("rank 1 of 3 did not come within 15 s") == 2, output
        assert "Traceback" not in output and "gloo::" not in output
