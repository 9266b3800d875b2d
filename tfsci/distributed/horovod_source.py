"""Horovod's released source, and what must change in it for today's TensorFlow and Python."""

from pathlib import Path
from typing import NamedTuple

VERSION = "0.28.1"
SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"


class Mend(NamedTuple):
    """A change to Horovod's source: `old`, which `file` holds exactly once, becomes `new`."""

    file: str
    why: str
    old: str
    new: str


MENDS = (
    Mend(
        "horovod/tensorflow/CMakeLists.txt",
        "needs headers that TensorFlow's wheel lacks; only lowers operations into XLA (PR 4302)",
        'list(APPEND TF_SOURCES "${PROJECT_SOURCE_DIR}/horovod/tensorflow/xla_mpi_ops.cc")\n',
        "",
    ),
    Mend(
        "cmake/Modules/FindNCCL.cmake",
        "pip's NCCL has no libnccl.so",
        '    set(NCCL_LIBNAME "nccl")\n',
        '    set(NCCL_LIBNAME "nccl" "libnccl.so.2")\n',
    ),
    Mend(
        "horovod/tensorflow/mpi_ops.cc",
        "an all-reduce may write into its input where nobody else reads it: a copy and an "
        "allocation less, a sixth of the step of a CNN with 23 MB of gradients on 2 cores",
        """\
    auto tensor = context->input(0);
    horovod::common::ReduceOp reduce_op = static_cast<horovod::common::ReduceOp>(reduce_op_);
    Tensor* output;
    OP_REQUIRES_OK_ASYNC(
        context, context->allocate_output(0, tensor.shape(), &output), done);
    // ReadyEvent makes sure input tensor is ready, and output is allocated.
""",
        """\
    const TensorShape shape = context->input(0).shape();
    horovod::common::ReduceOp reduce_op = static_cast<horovod::common::ReduceOp>(reduce_op_);
    Tensor* output;
    OP_REQUIRES_OK_ASYNC(
        context, context->forward_input_or_allocate_output({0}, 0, shape, &output), done);
    auto tensor = context->input(0);
    // ReadyEvent makes sure input tensor is ready, and output is allocated.
""",
    ),
    Mend(
        "horovod/common/ops/gloo_operations.cc",
        "input and output may be the same memory, see mpi_ops.cc",
        """\
    std::memcpy(buffer_data, first_entry.tensor->data(),
                (size_t)first_entry.tensor->size());
    fused_input_data = buffer_data;
""",
        """\
    if (buffer_data != first_entry.tensor->data()) {
      std::memcpy(buffer_data, first_entry.tensor->data(),
                  (size_t)first_entry.tensor->size());
    }
    fused_input_data = buffer_data;
""",
    ),
    Mend(
        "horovod/common/operations.cc",
        "that another rank has gone is no error of this one; its last words must stay the last",
        """\
    LOG(ERROR, horovod_global.global_controller->GetRank())
        << "Horovod background loop uncaught exception: " << ex.what();
""",
        """\
    LOG(INFO, horovod_global.global_controller->GetRank())
        << "Horovod background loop uncaught exception: " << ex.what();
""",
    ),
    Mend(
        "horovod/common/tensor_queue.h",
        "see RunLoopOnce in operations.cc",
        """\
  void FinalizeTensorQueue(const Status& status);
""",
        """\
  bool Empty() const;

  // Returns as soon as a tensor comes to any queue, and at `until` at the latest.
  static void AwaitTensor(std::chrono::steady_clock::time_point until,
                          uint64_t arrivals_seen);

  // How many came so far.
  static uint64_t Arrivals();

  void FinalizeTensorQueue(const Status& status);
""",
    ),
    Mend(
        "horovod/common/tensor_queue.h",
        "see RunLoopOnce in operations.cc",
        "#include <mutex>\n",
        "#include <chrono>\n#include <cstdint>\n#include <mutex>\n",
    ),
    Mend(
        "horovod/common/tensor_queue.cc",
        "see RunLoopOnce in operations.cc",
        "// Add a TensorTableEntry as well as its message to the queue.\n",
        """\
namespace {
std::mutex arrivals_mutex;
std::condition_variable arrived;
uint64_t arrivals = 0;

void TellArrival() {
  {
    std::lock_guard<std::mutex> guard(arrivals_mutex);
    ++arrivals;
  }
  arrived.notify_all();
}
} // namespace

uint64_t TensorQueue::Arrivals() {
  std::lock_guard<std::mutex> guard(arrivals_mutex);
  return arrivals;
}

void TensorQueue::AwaitTensor(std::chrono::steady_clock::time_point until,
                              uint64_t arrivals_seen) {
  std::unique_lock<std::mutex> lock(arrivals_mutex);
  arrived.wait_until(lock, until, [=] { return arrivals != arrivals_seen; });
}

bool TensorQueue::Empty() const {
  std::lock_guard<std::mutex> guard(mutex_);
  return tensor_table_.empty();
}

// Add a TensorTableEntry as well as its message to the queue.
""",
    ),
    Mend(
        "horovod/common/tensor_queue.cc",
        "see RunLoopOnce in operations.cc",
        "#include <assert.h>\n",
        "#include <assert.h>\n#include <condition_variable>\n",
    ),
    Mend(
        "horovod/common/tensor_queue.cc",
        "see RunLoopOnce in operations.cc",
        """\
  message_queue_.push(std::move(message));
  return Status::OK();
""",
        """\
  message_queue_.push(std::move(message));
  TellArrival();
  return Status::OK();
""",
    ),
    Mend(
        "horovod/common/tensor_queue.cc",
        "see RunLoopOnce in operations.cc",
        """\
    message_queue_.push(std::move(messages[i]));
  }
  return Status::OK();
""",
        """\
    message_queue_.push(std::move(messages[i]));
  }
  TellArrival();
  return Status::OK();
""",
    ),
    Mend(
        "horovod/common/operations.cc",
        "ranks with nothing to exchange asked each other every millisecond: 8 % of a core; now "
        "every 100 (10 with process sets), and at once when there is something",
        """\
  if (sleep_duration > std::chrono::steady_clock::duration::zero()) {
    std::this_thread::sleep_for(sleep_duration);
  }
""",
        """\
  const uint64_t arrivals = TensorQueue::Arrivals();
  bool idle = !state.shut_down && !state.parameter_manager.IsAutoTuning();
  for (auto id : state.process_set_table.Ids()) {
    idle = idle && state.process_set_table.Get(id).tensor_queue.Empty();
  }
  if (idle) {
    // All ranks take part when some of them exchange in a process set.
    bool sets = state.dynamic_process_sets || state.process_set_table.Ids().size() > 1;
    double patience = (sets ? 10 : 100) * state.parameter_manager.CycleTimeMs();
    TensorQueue::AwaitTensor(
        start_time + std::chrono::microseconds(long(patience * 1000.)), arrivals);
  } else if (sleep_duration > std::chrono::steady_clock::duration::zero()) {
    std::this_thread::sleep_for(sleep_duration);
  }
""",
    ),
    Mend(
        "CMakeLists.txt",
        "horovodrun can then read what was built, see util.py",
        '"\\"dummy\\": \\"none\\"\\n}"',
        '"\\"mpi\\": \\"${HAVE_MPI}\\",\\n\\"gloo\\": \\"${HAVE_GLOO}\\"\\n}"',
    ),
    Mend(
        "horovod/common/util.py",
        "horovodrun imported TensorFlow twice, for seconds, to learn what was built",
        """\
@_cache
def mpi_built(verbose=False):
""",
        """\
def _built(name):
    with open(os.path.join(os.path.dirname(__file__), '..', 'metadata.json')) as file:
        return json.load(file)[name] == 'TRUE'


@_cache
def mpi_built(verbose=False):
    return _built('mpi')

""",
    ),
    Mend(
        "horovod/common/util.py",
        "see mpi_built",
        """\
@_cache
def gloo_built(verbose=False):
""",
        """\
@_cache
def gloo_built(verbose=False):
    return _built('gloo')

""",
    ),
    Mend(
        "horovod/runner/js_run.py",
        "Python 3.12 has no distutils",
        "from distutils.spawn import find_executable\n",
        "from shutil import which as find_executable\n",
    ),
    Mend(
        "horovod/common/util.py",
        "TensorFlow's C++ says on stderr that it was loaded, each time horovodrun looks",
        "            sys.stderr = open(os.devnull, 'w')\n",
        """\
            sys.stderr = open(os.devnull, 'w')
            os.dup2(sys.stderr.fileno(), 2)
""",
    ),
    Mend(
        "horovod/runner/gloo_run.py",
        "a rank's shell must not say 'Terminated' after another rank's last words, nor be "
        "replaced by the rank (horovodrun ends the shell's children)",
        "        return '{shell} {horovod_env} {env} {run_command}' .format(\n",
        """\
        return ('exec 3>&2 2>/dev/null; (exec 2>&3 3>&-; '
                'exec {shell} {horovod_env} {env} {run_command}); exit $?').format(
""",
    ),
    Mend(
        "horovod/runner/gloo_run.py",
        "a rank that failed has said why itself",
        """\
            if exit_code != 0:
                print('Process {idx} exit with status code {ec}.'.format(idx=index, ec=exit_code))
""",
        "",
    ),
    Mend(
        "horovod/runner/gloo_run.py",
        "only for a rank that was killed must another speak",
        """\
        if exit_code != 0 and terminate_all_event:
            if not any(ev.is_set() for ev in all_events):
                print('Terminating remaining workers after failure of Process {idx}.'"""
        """.format(idx=index))
            terminate_all_event.set()
""",
        """\
        if exit_code != 0:
            first = not any(ev.is_set() for ev in all_events)
            if terminate_all_event:
                terminate_all_event.set()
            number = -exit_code if exit_code < 0 else exit_code - 128
            if first and number in list(signal.Signals):
                print('horovodrun: rank {} was killed by signal {} ({})'.format(
                    index, number, signal.Signals(number).name), file=sys.stderr)
""",
    ),
    Mend(
        "horovod/runner/common/util/safe_shell_exec.py",
        "a rank that was about to start when another failed was missed by the look for children, "
        "and ran on for 5 seconds",
        """\
    # Terminate children gracefully.
    for child in p.children():
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            pass

    # Wait for graceful termination.
    gone, alive = psutil.wait_procs(p.children(), timeout=GRACEFUL_TERMINATION_TIME_S)
""",
        """\
    # Frozen, so that the shell starts nothing after the look for its children.
    children = []
    try:
        p.suspend()
        children = p.children()
        for child in children:
            try:
                child.terminate()
            except psutil.NoSuchProcess:
                pass
        if children:
            p.resume()
        else:
            p.kill()
    except psutil.NoSuchProcess:
        pass

    # Wait for graceful termination.
    gone, alive = psutil.wait_procs(children, timeout=GRACEFUL_TERMINATION_TIME_S)
""",
    ),
    Mend(
        "horovod/runner/launch.py",
        "horovodrun exits as the first rank that failed did, without a traceback of its own",
        "\n    _run(args)\n",
        """
    try:
        _run(args)
    except RuntimeError as error:
        exit_code = str(error).partition('Exit code: ')[2]
        if not exit_code:
            print('horovodrun:', ' '.join(str(error).split()), file=sys.stderr)
        exit_code = int(exit_code or 1)
        sys.exit(exit_code if exit_code > 0 else 128 - exit_code)
""",
    ),
)


def apply_mends(source: Path, mends: tuple[Mend, ...] = MENDS) -> None:
    """Changes the unpacked `source`; raises ValueError where it is not the text expected."""
    for mend in mends:
        text = (source / mend.file).read_text(encoding="utf-8")
        if (count := text.count(mend.old)) != 1:
            raise ValueError(
                f"cannot mend {mend.file} of Horovod {VERSION} ({mend.why}): expected once, "
                f"found {count} times: {mend.old.strip().splitlines()[0]!r}"
            )
        (source / mend.file).write_text(text.replace(mend.old, mend.new), encoding="utf-8")
