import numpy as np
import pytest
from synthetic import Space, steps

from tfsci.profile import breakdown
from tfsci.profile.steps import find


def parts_of(space):
    planes = space.planes()
    devices = tuple(p for p in planes if p.name.startswith("/device"))
    found = breakdown.measure(planes[0], devices, find(planes[0]).windows)
    return {name: seconds * 1e6 for name, seconds in found.parts.items() if seconds > 1e-12}, found


def test_each_instant_of_a_step_is_counted_once():
    space = Space()
    plane = steps(space.plane(), 10, 1000, wait=300, compute=400)
    for i in range(10):
        plane.add("tf_Compute/2", "model/other:Conv2D", i * 1000 + 500, 250)  # 200 beside MatMul
        plane.add("python", "EagerExecute", i * 1000, 800)
    parts, found = parts_of(space)
    assert parts == pytest.approx({"input": 300, "compute": 450, "dispatch": 50, "python": 200})
    assert found.started == 1
    assert list(found.operations) == ["MatMul", "Conv2D"]
    assert found.operations["MatMul"] == pytest.approx(400e-6)
    assert sum(parts.values()) == pytest.approx(1000)


def test_input_behind_compute_is_no_wait():
    space = Space()
    plane = steps(space.plane(), 10, 1000, compute=600)
    for i in range(10):
        plane.add("other", "IteratorGetNextOp::DoCompute", i * 1000 + 500, 300)
    assert parts_of(space)[0] == pytest.approx({"compute": 600, "input": 200, "python": 200})


def test_a_fetch_counts_from_when_it_was_asked_for():
    space = Space()
    plane = steps(space.plane(), 10, 1000)
    for i in range(10):
        stats = {"name": "fetch", "kernel_type": "IteratorGetNextAsOptional", "step_id": i}
        plane.add("tf_Compute/1", "ExecutorState::ProcessAsync::Start", i * 1000 + 100, 5, **stats)
        plane.add("get", "IteratorGetNextAsOptionalOp::DoCompute", i * 1000 + 200, 300)
        plane.add("get", "ExecutorState::ProcessAsync::Done", i * 1000 + 500, 20, **stats)
    assert parts_of(space)[0] == pytest.approx({"input": 420, "python": 580})


def test_operations_of_the_pipeline_are_no_compute():
    space = Space()
    plane = steps(space.plane(), 10, 1000)
    for i in range(10):
        start = i * 1000
        plane.add("tf_data_private_threadpool/3", "DecodeJpeg:DecodeJpeg", start, 900)
        # A pipeline without a pool of its own runs among the model's threads.
        plane.add("reader", "InstantiatedCapturedFunction::RunAsync", start, 1, id=i)
        plane.add("tf_Compute/1", "ExecutorState::Process", start + 100, 200, id=i)
        plane.add("tf_Compute/1", "Cast:Cast", start + 150, 100)
        plane.add("tf_Compute/1", "ExecutorState::Process", start + 400, 200, id=1000 + i)
        plane.add("tf_Compute/1", "MatMul:MatMul", start + 450, 100)
    assert parts_of(space)[0] == pytest.approx({"compute": 100, "python": 900})


def test_an_all_reduce_counts_where_compute_does_not_hide_it():
    space = Space()
    plane = steps(space.plane(), 10, 1000, compute=300)
    for i in range(10):
        stats = {"name": "HorovodAllreduce_1", "kernel_type": "HorovodAllreduce", "step_id": i}
        plane.add("tf_Compute/1", "ExecutorState::ProcessAsync::Start", i * 1000 + 200, 5, **stats)
        plane.add("hvd", "ExecutorState::ProcessAsync::Done", i * 1000 + 690, 10, **stats)
        plane.add("tf_Compute/2", "c:CollectiveReduceV2", i * 1000 + 700, 50)
    parts, found = parts_of(space)
    assert parts == pytest.approx({"compute": 300, "communication": 450, "python": 250})
    assert found.communication_total == pytest.approx(550e-6)


def test_what_gathers_is_told_from_what_adds_up_by_when_it_travels():
    space = Space()
    plane = steps(space.plane(), 10, 1000, compute=100)
    for i in range(10):
        # All are ready at 200; one travels after the other, for 100, 300 and 200.
        ends = {"HorovodAllgather": 300, "HorovodGroupedAllreduce": 600, "HorovodAllreduce": 800}
        for kind, end in ends.items():
            stats = {"name": kind, "kernel_type": kind, "step_id": i}
            at = i * 1000
            plane.add("tf_Compute/1", "ExecutorState::ProcessAsync::Start", at + 200, 5, **stats)
            plane.add("hvd", "ExecutorState::ProcessAsync::Done", at + end - 10, 10, **stats)
    parts, found = parts_of(space)
    assert parts["communication"] == pytest.approx(600)
    assert found.gathered == pytest.approx(100 / 600)
    gpu = space.plane("/device:GPU:0")
    for i in range(10):
        gpu.add("Stream #15", "ncclDevKernel_AllReduce_Sum_f32", i * 1000 + 200, 300)
        gpu.add("Stream #15", "ncclDevKernel_AllGather_RING_LL", i * 1000 + 500, 100)
    assert parts_of(space)[1].gathered == pytest.approx(100 / 400)


def test_on_a_gpu_the_streams_count_and_not_what_the_host_starts():
    space = Space()
    plane = steps(space.plane(), 10, 1000, wait=250, compute=700)
    gpu = space.plane("/device:GPU:0")
    for i in range(10):
        start = i * 1000
        gpu.add("Stream #13(MemcpyH2D)", "MemcpyH2D", start + 200, 150)
        gpu.add("Stream #14(Compute)", "ampere_sgemm_128x64", start + 300, 400)
        gpu.add("Stream #15(Compute)", "ncclDevKernel_AllReduce_Sum_f32", start + 600, 200)
        gpu.add("XLA Ops", "fusion.1", start, 1000)  # the same again, another view
    assert plane
    parts, found = parts_of(space)
    assert parts == pytest.approx(
        {"compute": 400, "communication": 100, "copy": 100, "input": 200, "python": 200}
    )
    assert next(iter(found.operations)) == "ampere_sgemm_128x64"


def test_a_retrace_is_time_of_its_own():
    space = Space()
    plane = steps(space.plane(), 10, 1000, compute=600)
    call = {"tf_function_call": "traced-xla", "tracing_count": "2"}
    plane.add("python", "step", 7000, 800, **call)
    parts, _ = parts_of(space)
    assert parts["compile"] == pytest.approx(800 / 8)
    assert sum(parts.values()) == pytest.approx(1000)


def test_the_parts_add_up_on_random_events():
    random = np.random.default_rng(5)
    space = Space()
    plane = steps(space.plane(), 12, 1000)
    names = ("a:MatMul", "b:HorovodAllreduce", "IteratorGetNextOp::DoCompute", "EagerExecute", "x")
    for _ in range(400):
        start, length = random.integers(0, 12_000), random.integers(0, 400)
        plane.add(f"line{random.integers(4)}", str(random.choice(names)), start, length)
    parts, found = parts_of(space)
    assert sum(parts.values()) == pytest.approx(1000, rel=1e-9)
    assert min(parts.values()) >= 0
    ends = [0.0, *(end for _, _, end in found.timeline)]
    assert all(
        start >= end - 1e-9 for (_, start, _), end in zip(found.timeline, ends, strict=False)
    )
    assert ends[-1] <= 5e-3


def test_the_timeline_is_of_steps_and_not_of_pauses():
    space = Space()
    plane = space.plane()
    plane.add("worker", "a:MatMul", 500, 4700)  # over a pause from 1000 to 5000
    plane.add("python", "IteratorGetNextOp::DoCompute", 2000, 100)
    plane.add("python", "IteratorGetNextOp::DoCompute", 5400, 300)
    windows = np.array([[0, 1000], [5000, 6000]]) * 1_000_000  # in ps
    (part, *pieces), *more = breakdown.measure(space.planes()[0], (), windows).timeline
    assert part == "compute" and pieces == pytest.approx([500e-6, 1000e-6])
    assert [name for name, _, _ in more] == ["compute", "input"]
    assert [piece[1:] for piece in more] == [
        pytest.approx((1000e-6, 1200e-6)),
        pytest.approx((1400e-6, 1700e-6)),
    ]
