import ast
import signal
import subprocess
import sys
import threading
import time

import pytest

from tfsci.distributed.horovod_source import MENDS, Mend, apply_mends

GLOO_RUN = """\
def slot_info_to_command(slot_info):
    if slot_info:
        return '{shell} {horovod_env} {env} {run_command}' .format(
            shell='env', horovod_env='', env='', run_command='')

def _exec_command(command, slot_info, events):
        try:
            exit_code = 0
            if exit_code != 0:
                print('Process {idx} exit with status code {ec}.'.format(idx=index, ec=exit_code))
        except Exception as e:
            exit_code = 1
        if exit_code != 0 and terminate_all_event:
            if not any(ev.is_set() for ev in all_events):
                print('Terminating remaining workers after failure of Process {idx}.'.format(idx=index))
            terminate_all_event.set()
        return exit_code, time.time()
"""  # noqa: E501
LAUNCH = """\
import sys

def run_commandline():
    args = parse_args()

    _run(args)


if __name__ == '__main__':
    run_commandline()
"""
SOURCE = {
    "CMakeLists.txt": r"""file(APPEND "${ROOT}/metadata.json" "\"dummy\": \"none\"\n}")
""",
    "horovod/tensorflow/mpi_ops.cc": """\
    auto device = GetDeviceID(context);
    auto tensor = context->input(0);
    horovod::common::ReduceOp reduce_op = static_cast<horovod::common::ReduceOp>(reduce_op_);
    Tensor* output;
    OP_REQUIRES_OK_ASYNC(
        context, context->allocate_output(0, tensor.shape(), &output), done);
    // ReadyEvent makes sure input tensor is ready, and output is allocated.
""",
    "horovod/common/tensor_queue.h": """\
#include <mutex>

  void FinalizeTensorQueue(const Status& status);
""",
    "horovod/common/tensor_queue.cc": """\
#include <assert.h>

// Add a TensorTableEntry as well as its message to the queue.
  message_queue_.push(std::move(message));
  return Status::OK();

    message_queue_.push(std::move(messages[i]));
  }
  return Status::OK();
""",
    "horovod/common/operations.cc": """\
  if (sleep_duration > std::chrono::steady_clock::duration::zero()) {
    std::this_thread::sleep_for(sleep_duration);
  }
    LOG(ERROR, horovod_global.global_controller->GetRank())
        << "Horovod background loop uncaught exception: " << ex.what();
""",
    "horovod/common/ops/gloo_operations.cc": """\
    std::memcpy(buffer_data, first_entry.tensor->data(),
                (size_t)first_entry.tensor->size());
    fused_input_data = buffer_data;
""",
    "horovod/tensorflow/CMakeLists.txt": """\
list(APPEND TF_SOURCES "${PROJECT_SOURCE_DIR}/horovod/tensorflow/mpi_ops.cc")
list(APPEND TF_SOURCES "${PROJECT_SOURCE_DIR}/horovod/tensorflow/xla_mpi_ops.cc")
""",
    "cmake/Modules/FindNCCL.cmake": """\
if (lowercase_HOROVOD_NCCL_LINK STREQUAL "shared")
    set(NCCL_LIBNAME "nccl")
""",
    "horovod/runner/js_run.py": "from distutils.spawn import find_executable\n",
    "horovod/common/util.py": """\
@_cache
def mpi_built(verbose=False):
    return None


@_cache
def gloo_built(verbose=False):
    return None


def _target_fn(verbose):
        if not verbose:
            sys.stdout = open(os.devnull, 'w')
            sys.stderr = open(os.devnull, 'w')
""",
    "horovod/runner/common/util/safe_shell_exec.py": """\
def terminate_executor_shell_and_children(pid):
    p = psutil.Process(pid)

    # Terminate children gracefully.
    for child in p.children():
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            pass

    # Wait for graceful termination.
    gone, alive = psutil.wait_procs(p.children(), timeout=GRACEFUL_TERMINATION_TIME_S)
""",
    "horovod/runner/gloo_run.py": GLOO_RUN,
    "horovod/runner/launch.py": LAUNCH,
}


@pytest.fixture
def source(tmp_path):
    for name, text in SOURCE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


class TestMends:
    def test_leave_valid_python_and_no_trace_of_the_old(self, source):
        apply_mends(source)
        for name in SOURCE:
            text = (source / name).read_text()
            if name.endswith(".py"):
                ast.parse(text)
        read = {name: (source / name).read_text() for name in SOURCE}
        assert "xla_mpi_ops" not in read["horovod/tensorflow/CMakeLists.txt"]
        assert "/mpi_ops.cc" in read["horovod/tensorflow/CMakeLists.txt"]
        assert "exit with status" not in read["horovod/runner/gloo_run.py"]
        assert "Terminating" not in read["horovod/runner/gloo_run.py"]

    @pytest.mark.parametrize("count", [0, 2])
    def test_are_refused_unless_the_text_is_there_once(self, source, count):
        cmake = source / "horovod/tensorflow/CMakeLists.txt"
        cmake.write_text(MENDS[0].old * count)
        with pytest.raises(ValueError, match=rf"expected once, found {count} times: 'list\(APPEND"):
            apply_mends(source)

    @pytest.mark.parametrize(
        ("message", "code", "said"),
        [
            ("Process name: 1\nExit code: 2\n", 2, ""),
            ("Process name: 1\nExit code: -9\n", 137, ""),
            ("no common\n interface", 1, "horovodrun: no common interface\n"),
        ],
    )
    def test_horovodrun_exits_as_the_rank_did(self, source, capsys, message, code, said):
        def fail(args):
            raise RuntimeError(message)

        apply_mends(source)
        names = {"_run": fail, "parse_args": lambda: None}
        exec((source / "horovod/runner/launch.py").read_text(), names)
        with pytest.raises(SystemExit) as exit_of:
            names["run_commandline"]()
        assert exit_of.value.code == code
        assert capsys.readouterr().err == said

    @pytest.mark.parametrize(
        ("exit_code", "ended_already", "said"),
        [
            (137, False, "horovodrun: rank 1 was killed by signal 9 (SIGKILL)\n"),
            (-11, False, "horovodrun: rank 1 was killed by signal 11 (SIGSEGV)\n"),
            (143, True, ""),
            (2, False, ""),
            (255, False, ""),
        ],
    )
    def test_only_the_first_killed_rank_is_spoken_for(
        self, source, capsys, exit_code, ended_already, said
    ):
        apply_mends(source)
        event = threading.Event()
        if ended_already:
            event.set()
        names = {"signal": signal, "sys": sys, "time": time, "index": 1}
        names |= {"terminate_all_event": event, "all_events": [event]}
        text = (source / "horovod/runner/gloo_run.py").read_text()
        exec(text.replace("exit_code = 0", f"exit_code = {exit_code}"), names)
        assert names["_exec_command"](None, None, None)[0] == exit_code
        assert event.is_set()
        assert capsys.readouterr().err == said

    def test_a_ranks_shell_is_silent_and_passes_its_end_on(self, source):
        apply_mends(source)
        names = {}
        exec((source / "horovod/runner/gloo_run.py").read_text(), names)
        rank = "sh -c 'echo last >&2; kill -9 $$'"
        command = names["slot_info_to_command"](1).replace("env", rank)
        run = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert (run.returncode, run.stdout, run.stderr) == (137, "", "last\n")

    def test_names_its_reason(self):
        assert all(isinstance(mend, Mend) and mend.why for mend in MENDS)
