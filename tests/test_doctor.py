import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import wait_until_ended

from tfsci import doctor, machine
from tfsci.distributed.launch import Launch
from tfsci.doctor import command, examination, findings
from tfsci.doctor.findings import Finding
from tfsci.machine import Outcome

BIN = Path(sys.executable).parent
ALONE = Launch()
REPORT = '[0]<stdout>:report: {"sum": %s, "transport": "Gloo"}\n'

# What the probe asks of TensorFlow, Keras and Horovod.
TENSORFLOW = """
__version__ = "2.99"
class config:
    class experimental:
        get_device_details = staticmethod(lambda gpu: {})
    list_physical_devices = staticmethod(lambda kind: [])
"""
KERAS = "__version__ = '3.99'"
HOROVOD = """
mpi_built = nccl_built = lambda: False
gloo_built = lambda: True
"""


def ranks(*sums, code=0, log=""):
    return Outcome(code, 6.25, "".join(REPORT % each for each in sums), log)


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Plants packages, a Horovod that pip knows and its horovodrun; returns the environment."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def plant(tensorflow=TENSORFLOW, keras=KERAS, horovod=HOROVOD, horovodrun=None):
        write("tensorflow.py", tensorflow)
        write("keras.py", keras)
        write("horovod/__init__.py", "")
        write("horovod/tensorflow.py", horovod)
        write(
            "horovod-9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: horovod\nVersion: 9.9\n"
        )
        write("horovod-9.9.dist-info/RECORD", "bin/horovodrun,,\n")
        reports = "\n".join(f"print({(REPORT % 3).strip()!r})" for _ in range(2))
        program = f"#!{sys.executable}\n{horovodrun or reports}\n"
        write("bin/horovodrun", program).chmod(0o755)
        monkeypatch.syspath_prepend(tmp_path)
        # This machine's own shortcomings are no matter of these tests.
        monkeypatch.setattr(examination, "machine_gpus", lambda environ: [])
        monkeypatch.setattr(examination, "cpu_quota", lambda: None)
        monkeypatch.setattr(examination, "memory", lambda: (8.0, 16.0))
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": path}

    return plant


def examine(environ, launch=ALONE, **options):
    found = [f for f in examination.examine(environ, launch, **options) if f.status != "running"]
    return {finding.name: finding for finding in found}, findings.conclude(found)


class TestExamine:
    def test_all_is_well(self, plant, tmp_path):
        found, (text, code) = examine(plant())
        assert {each.status for each in found.values()} == {"ok"}
        assert [found[name].text for name in ("TensorFlow", "Keras")] == ["2.99", "3.99"]
        assert found["Horovod"].text == "9.9 with Gloo"
        assert found["horovodrun"].text == str(tmp_path / "bin/horovodrun")
        assert found["all-reduce"].text.startswith("Gloo: 2 ranks ran and agreed on a sum, in ")
        assert text == "This machine can train in one process and with Horovod (Gloo)."
        assert code == 0

    def test_no_horovod(self, plant, monkeypatch):
        environ = plant()
        monkeypatch.setattr(examination.importlib.metadata, "distributions", lambda name: iter(()))
        found, conclusion = examine(environ)
        step = "tfsci install-horovod"
        assert found["Horovod"] == Finding("missing", "Horovod", "not in this environment", step)
        assert "all-reduce" not in found
        words = "This machine can train in one process; for many: tfsci install-horovod"
        assert conclusion == (words, 0)

    def test_a_horovod_that_does_not_load(self, plant):
        why = "mpi_lib.so: undefined symbol: _ZN10tensorflow8OpKernelE"
        found, conclusion = examine(plant(horovod=f"raise ImportError({why!r})"))
        assert found["Horovod"].status == "problem"
        assert found["Horovod"].text == f"9.9 does not load: ImportError: {why}"
        assert found["Horovod"].next_step == "tfsci install-horovod --rebuild"
        words = "This machine can train in one process, but not with Horovod. To mend: Horovod."
        assert conclusion == (words, 1)

    def test_a_horovod_that_crashes(self, plant):
        found, _ = examine(plant(horovod="import os; os.abort()"))
        assert found["Horovod"].text == "9.9 does not load: ended by SIGABRT"

    def test_a_tensorflow_that_crashes(self, plant):
        found, conclusion = examine(plant("import os; os.kill(os.getpid(), 4)"))
        assert found["TensorFlow"].status == "problem"
        words = "This machine can't train: TensorFlow: does not load: ended by SIGILL"
        assert conclusion == (words, 1)
        assert "AVX" in found["TensorFlow"].next_step
        assert "Keras" not in found

    def test_no_keras(self, plant):
        why = "raise ModuleNotFoundError(\"No module named 'keras'\", name='keras')"
        found, conclusion = examine(plant(keras=why))
        assert found["TensorFlow"].status == "ok"
        assert found["Keras"].status == "missing"
        assert found["Keras"].next_step == f"{sys.executable} -m pip install keras"
        assert conclusion == ("This machine can't train: Keras: not in this environment", 1)

    def test_another_backend(self, plant):
        found, conclusion = examine({**plant(), "KERAS_BACKEND": "jax"})
        assert found["backend"].next_step == "unset KERAS_BACKEND"
        assert found["all-reduce"].status == "ok"
        why = "backend: KERAS_BACKEND=jax, but training needs tensorflow"
        assert conclusion == (f"This machine can't train: {why}", 1)

    def test_another_environments_horovodrun(self, plant, tmp_path):
        environ, other = plant(), tmp_path / "other/horovodrun"
        other.parent.mkdir()
        other.touch(0o755)
        environ["PATH"] = f"{other.parent}:{environ['PATH']}"
        found, (text, code) = examine(environ)
        assert found["horovodrun"].status == "problem"
        assert found["horovodrun"].text == f"{other} is another environment's"
        assert found["horovodrun"].next_step == f'export PATH="{tmp_path / "bin"}:$PATH"'
        assert text.endswith("with Horovod (Gloo). To mend: horovodrun.")
        assert code == 1

    def test_horovodrun_off_the_path_is_found_all_the_same(self, plant, tmp_path):
        found, (_, code) = examine({**plant(), "PATH": "/nowhere"})
        step = f'export PATH="{tmp_path / "bin"}:$PATH"'
        assert found["horovodrun"] == Finding("missing", "horovodrun", "not on the PATH", step)
        assert found["all-reduce"].status == "ok"
        assert code == 0

    def test_a_link_to_our_horovodrun_is_ours(self, plant, tmp_path):
        environ, link = plant(), tmp_path / "links/horovodrun"
        link.parent.mkdir()
        link.symlink_to(tmp_path / "bin/horovodrun")
        found, _ = examine({**environ, "PATH": str(link.parent)})
        assert found["horovodrun"] == Finding("ok", "horovodrun", str(link))

    def test_ranks_that_do_not_answer_are_ended(self, plant, tmp_path):
        child = "import time; time.sleep(100)"
        environ = plant(
            horovodrun="import subprocess, sys, pathlib\n"
            f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
            f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
            "child.wait()"
        )
        start = time.monotonic()
        found, conclusion = examine(environ, timeout=1)
        assert time.monotonic() - start < 30
        assert re.search(r"no answer within \d+ s", found["all-reduce"].text)
        assert "--network-interfaces lo" in found["all-reduce"].next_step
        words = "This machine can train in one process, but not with Horovod. To mend: all-reduce."
        assert conclusion == (words, 1)
        wait_until_ended((tmp_path / "pid").read_text())

    def test_a_horovodrun_that_does_not_start(self, plant, tmp_path):
        environ = plant()
        (tmp_path / "bin/horovodrun").write_text("#!/nowhere/python\n")
        found, _ = examine(environ)
        assert found["all-reduce"].text.startswith("2 ranks failed: OSError: ")

    def test_one_of_several_that_each_believe_they_are_alone(self, plant, monkeypatch):
        message = "2 processes: each would train alone; start them with horovodrun"

        def check(environ, patience):
            raise ValueError(message)

        monkeypatch.setattr(examination.alone, "check", check)
        found, (text, code) = examine(plant())
        assert found["launcher"].text == "2 processes"
        assert found["launcher"].next_step == "start them with horovodrun"
        assert text.endswith("To mend: launcher.")
        assert code == 1

    def test_a_shell_that_srun_gave_is_no_job_of_several_ranks(self, plant):
        found, (_, code) = examine(plant(), Launch("srun"))
        assert found["Horovod"].status == found["all-reduce"].status == "ok"
        assert code == 0


class TestCheckAllReduce:
    def test_right(self):
        text = "Gloo: 2 ranks ran and agreed on a sum, in 6.2 s"
        assert findings.check_all_reduce(ranks(3.0, 3.0)) == Finding("ok", "all-reduce", text)

    @pytest.mark.parametrize("sums", [(3.0, 2.0), (1.0, 2.0), (3.0,), ()])
    def test_a_wrong_sum_or_a_silent_rank(self, sums):
        found = findings.check_all_reduce(ranks(*sums))
        assert found.status == "problem"
        assert found.text == f"2 ranks added 1 and 2 and got {list(sums)}"
        assert found.next_step == "tfsci install-horovod --rebuild"

    def test_the_first_error_is_told(self):
        log = (
            "[1]<stderr>:Traceback (most recent call last):\n"
            '[1]<stderr>:  File "<string>", line 1, in <module>\n'
            "[1]<stderr>:ValueError: 2 ranks but 1 GPU\n"
            "[0]<stderr>:horovod.common.exceptions.HorovodInternalError: rank 1 has gone\n"
        )
        found = findings.check_all_reduce(ranks(code=1, log=log))
        assert found.text == "2 ranks failed: ValueError: 2 ranks but 1 GPU"

    def test_a_killed_rank(self):
        log = "horovodrun: rank 0 was killed by signal 9 (SIGKILL)\n"
        assert findings.check_all_reduce(ranks(code=137, log=log)).text.endswith(log.strip())

    def test_no_word(self):
        assert findings.check_all_reduce(ranks(code=3)).text == "2 ranks failed: exit code 3"


class TestCheckHorovod:
    @pytest.mark.parametrize(
        ("error", "step"),
        [
            ("ImportError: undefined symbol: _ZN", "tfsci install-horovod --rebuild"),
            (
                "ImportError: libmpi.so.40: cannot open shared object file",
                "load the MPI it was built with (module load ...), or "
                "tfsci install-horovod --rebuild",
            ),
            (
                "ModuleNotFoundError: No module named 'yaml'",
                f"{sys.executable} -m pip install pyyaml",
            ),
            (
                "ModuleNotFoundError: No module named 'horovod.tensorflow'",
                "tfsci install-horovod --rebuild",
            ),
        ],
    )
    def test_the_next_step_fits_the_error(self, error, step):
        text = f"0.28.1 does not load: {error}"
        expected = Finding("problem", "Horovod", text, step)
        assert findings.check_horovod("0.28.1", [], error) == expected

    def test_several_gpus_want_nccl(self):
        assert findings.check_horovod("0.28.1", ["Gloo"], num_gpus=2).status == "slow"
        assert findings.check_horovod("0.28.1", ["Gloo"], num_gpus=1).status == "ok"
        assert findings.check_horovod("0.28.1", ["Gloo", "NCCL"], num_gpus=2).status == "ok"


class TestCheckGpus:
    def test_none(self):
        text = "none; TensorFlow computes on the CPU"
        assert findings.check_gpus([], [], {}) == Finding("ok", "GPU", text)

    def test_all_are_seen(self):
        found = findings.check_gpus(["A"] * 3, ["NVIDIA H200", "NVIDIA H200", "NVIDIA T4"], {})
        assert found == Finding("ok", "GPU", "2 x NVIDIA H200, 1 x NVIDIA T4")

    def test_not_seen_by_tensorflow(self):
        log = "E0000 00:00:1 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_NO_DEVICE\n"
        found = findings.check_gpus(["NVIDIA H200"], [], {}, log)
        why = "failed call to cuInit: CUDA_ERROR_NO_DEVICE"
        assert found.status == "problem"
        assert found.text == f"TensorFlow sees 0 of 1 x NVIDIA H200 ({why})"
        assert found.next_step.startswith(f"{sys.executable} -m pip install 'tensorflow[and-cuda]'")

    def test_without_nvidia_smi(self):
        found = findings.check_gpus(["/dev/nvidia0"], [], {})
        assert found.status == "problem"
        assert "apptainer --nv" in found.next_step

    def test_hidden_on_purpose(self):
        found = findings.check_gpus(["NVIDIA H200"], [], {"CUDA_VISIBLE_DEVICES": "-1"})
        text = "TensorFlow sees 0 of 1 x NVIDIA H200, with CUDA_VISIBLE_DEVICES=-1"
        assert found == Finding("ok", "GPU", text)

    @pytest.mark.parametrize(
        ("visible", "seen", "status"),
        [
            ("2", 1, "ok"),
            ("2", 0, "problem"),
            ("0,1", 2, "ok"),
            ("0,1", 1, "problem"),
            ("", 0, "ok"),
        ],
    )
    def test_as_many_as_the_batch_system_gave(self, visible, seen, status):
        found = findings.check_gpus(["A"] * 4, ["A"] * seen, {"CUDA_VISIBLE_DEVICES": visible})
        assert found.status == status


class TestMachineGpus:
    @pytest.mark.parametrize(
        ("says", "expected"),
        [
            ("echo NVIDIA H200; echo NVIDIA T4", ["NVIDIA H200", "NVIDIA T4"]),
            ("echo No devices were found; exit 6", []),
            ("echo no driver; exit 9", ["dev/nvidia0", "dev/nvidia1"]),
            (None, ["dev/nvidia0", "dev/nvidia1"]),
        ],
    )
    def test_asks_nvidia_smi_then_looks_under_dev(self, tmp_path, says, expected):
        (tmp_path / "dev").mkdir()
        for name in ("nvidia1", "nvidia0", "nvidiactl"):
            (tmp_path / "dev" / name).touch()
        if says:
            smi = tmp_path / "nvidia-smi"
            smi.write_text(f"#!/bin/sh\n{says}\n")
            smi.chmod(0o755)
        found = machine.machine_gpus({"PATH": str(tmp_path)}, tmp_path)
        assert [name.removeprefix(f"{tmp_path}/") for name in found] == expected


class TestCheckCores:
    def test_threads_of_ranks(self):
        found = findings.check_cores(range(6), 8, None)
        text = "6 of 8 may be used, threads: 6 for 1 rank, 3 each for 2 ranks"
        assert found == Finding("ok", "cores", text)

    def test_one_core(self):
        found = findings.check_cores([3], 8, None)
        assert found.text == "1 of 8 may be used, threads: 1 for 1 rank, 1 each for 2 ranks"

    def test_a_quota_below_the_cores(self):
        found = findings.check_cores(range(4, 12), 64, 2.5)
        assert found.status == "slow"
        assert found.next_step == "put 'taskset -c 4,5' before each command"
        assert "the time of 2.5" in found.text

    def test_a_quota_below_one_core(self):
        found = findings.check_cores(range(2), 2, 0.5)
        assert found.next_step == "put 'taskset -c 0' before each command"

    def test_a_quota_of_all_cores_is_none(self):
        assert findings.check_cores(range(4), 4, 4.0).status == "ok"


class TestCgroup:
    @pytest.fixture
    def root(self, tmp_path):
        def build(groups, files):
            sizes = "MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable:  4194304 kB\n"
            for name, text in {
                "proc/self/cgroup": groups,
                "proc/meminfo": sizes,
                **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
            }.items():
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return tmp_path

        return build

    def test_version_2_takes_the_lowest_on_the_way_up(self, root):
        files = {
            "job/cpu.max": "200000 100000\n",
            "job/step/cpu.max": "max 100000\n",
            "other/cpu.max": "1000 100000\n",
            "job/memory.max": f"{2**30}\n",
            "job/step/memory.max": "max\n",
        }
        root = root("0::/job/step\n", files)
        assert machine.cpu_quota(root) == 2.0
        assert machine.memory(root) == (1.0, 1.0)

    def test_version_1(self, root):
        files = {
            "cpu,cpuacct/docker/cpu.cfs_quota_us": "150000\n",
            "cpu,cpuacct/docker/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        }
        root = root("4:memory:/docker\n2:cpu,cpuacct:/docker\n1:name=systemd:/\n", files)
        assert machine.cpu_quota(root) == 1.5
        assert machine.memory(root) == (4.0, 8.0)

    def test_no_limit(self, root):
        assert machine.cpu_quota(root("0::/\n", {})) is None

    def test_of_this_machine(self):
        free, total = machine.memory()
        assert 0 < free <= total


def test_little_memory():
    found = findings.check_memory(0.5, 8.0)
    assert found.status == "problem"
    assert found.text == "0.5 of 8.0 GiB free, but a rank needs about 1 GiB"
    assert "--mem=8G" in found.next_step


class TestMain:
    @pytest.fixture(autouse=True)
    def keep_pytests_signals(self, monkeypatch):
        monkeypatch.setattr(command.signal, "signal", lambda *_: None)

    def test_lines_are_aligned_and_the_next_step_follows(self, monkeypatch, capsys):
        found = [
            Finding("ok", "TensorFlow", "2.21.0"),
            Finding("running", "Horovod", "is loading"),
            Finding("missing", "Horovod", "not in this environment", "tfsci install-horovod"),
        ]
        monkeypatch.setattr(command, "examine", lambda *_: found)
        assert doctor.main([]) == 0
        assert capsys.readouterr().out == (
            "ok       TensorFlow  2.21.0\n"
            "missing  Horovod     not in this environment\n"
            "         next step   tfsci install-horovod\n"
            "\n"
            "This machine can train in one process; for many: tfsci install-horovod\n"
        )

    def test_help_loads_no_tensorflow(self, python):
        code = (
            "import atexit, sys\n"
            "atexit.register(lambda: print('tensorflow' in sys.modules))\n"
            "from tfsci import cli; cli.main(['doctor', '--help'])"
        )
        result = python(code)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("usage: tfsci doctor")
        assert result.stdout.endswith("\nFalse\n")

    @pytest.mark.horovod
    def test_this_machine(self):
        ours = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")  # set by this process
        environ = {name: value for name, value in os.environ.items() if name not in ours}
        # Whether TensorFlow finds the CUDA that a GPU needs is no matter of these tests.
        environ |= {"PATH": f"{BIN}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "-1"}
        result = subprocess.run(
            [sys.executable, "-m", "tfsci", "doctor"],
            env=environ, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stderr == ""
        *lines, blank, last = result.stdout.splitlines()
        found = {line[9:21].rstrip(): (line[:9].rstrip(), line[21:]) for line in lines}
        names = "Python tfsci launcher cores NUMA memory backend TensorFlow Keras NumPy GPU Horovod"
        names = [*names.split(), "horovodrun", "all-reduce"]
        assert [name for name in found if name != "next step"] == names
        assert {status for status, _ in found.values()} <= {"ok", "slow", ""}
        ran = r"(NCCL|MPI|Gloo): 2 ranks ran and agreed on a sum, in [\d.]+ s"
        transport = re.fullmatch(ran, found["all-reduce"][1])[1]
        assert blank == ""
        assert last == f"This machine can train in one process and with Horovod ({transport})."
