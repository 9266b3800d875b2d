import numpy as np
import pytest
from synthetic import Space

from tfsci.profile import pipeline

NO_STEPS = np.empty((0, 2), np.int64)
ROOT = "Iterator::Root"


def stages_of(space, per_step=1.0):
    return pipeline.Pipeline(space.planes()[0]).stages(NO_STEPS, per_step)


def test_stages_on_one_thread_pay_only_for_themselves():
    space = Space()
    plane = space.plane()
    for i in range(10):
        start = i * 1000
        plane.add("t", ROOT, start, 700, threadpool_size=4)
        plane.add("t", f"{ROOT}::BatchV2", start, 690, batch_size=2)
        for k in range(2):
            plane.add("t", f"{ROOT}::BatchV2::Map", start + 10 + 300 * k, 290)
            plane.add("t", f"{ROOT}::BatchV2::Map::TFRecord", start + 20 + 300 * k, 40)
    source, mapped, batch = stages_of(space)
    assert [s.kind for s in (source, mapped, batch)] == ["TFRecord", "Map", "BatchV2"]
    assert [s.index for s in (source, mapped, batch)] == [1, 2, 3]
    assert [s.parent for s in (source, mapped, batch)] == [2, 3, 0]
    assert [s.elements for s in (source, mapped, batch)] == [20, 20, 10]
    assert [s.elements_per_step for s in (source, mapped, batch)] == [2, 2, 1]
    seconds = [s.self_seconds * 1e6 for s in (source, mapped, batch)]
    assert seconds == pytest.approx([40, 250, 110])
    assert not any(s.own_thread for s in (source, mapped, batch))
    assert pipeline.threads(space.planes()[0]) == 4


def test_a_parallel_map_costs_what_its_function_takes_on_the_pool():
    path = f"{ROOT}::Prefetch::ParallelMapV2"
    space = Space()
    plane = space.plane()
    for i in range(9):
        start = i * 100
        plane.add("python", f"{ROOT}::Prefetch", start, 90, buffer_limit=2, buffered_elements=1)
        plane.add("a", "PrefetchProduce", start, 95)
        # The wait for the map's buffer is not the map's work.
        plane.add("a", path, start, 90, parallelism=2, autotune="false")
        plane.add("b", "ParallelMapProduce", start, 20)
        plane.add("b", f"{path}::Range", start + 1, 10)
        plane.add("b", "InstantiatedCapturedFunction::RunAsync", start + 12, 6, id=i + 1)
        plane.add("b", "FunctionRun", start + 13, 5, id=i + 1)
        worker = f"tf_data_private_threadpool/{i % 2}"
        plane.add(worker, "ExecutorState::Process", start + 20, 120, id=i + 1)
        plane.add(worker, "decode:DecodeJpeg", start + 30, 70)
        plane.add(worker, "cast:Cast", start + 110, 20)
        plane.add(worker, "ExecutorDoneCallback", start + 140, 30, id=i + 1)
    source, mapped, prefetch = stages_of(space)
    assert mapped.name == "ParallelMapV2(DecodeJpeg)"
    assert mapped.elements == 9
    assert mapped.self_seconds * 1e6 == pytest.approx(150 + 10)  # function, and to start it
    assert (mapped.own_thread, mapped.parallelism, mapped.at_once) == (True, 2, 2)
    assert not mapped.runs_python
    assert source.self_seconds * 1e6 == pytest.approx(10)
    assert prefetch.self_seconds * 1e6 == pytest.approx(5)
    assert (prefetch.buffer, prefetch.buffered) == (2, 1)


def test_map_and_batch_works_on_the_elements_of_a_batch():
    space = Space()
    plane = space.plane()
    for i in range(12):
        if i % 3 == 0:
            stats = {"batch_size": 3, "parallelism": "unavailable"}
            plane.add("python", f"{ROOT}::MapAndBatch", i * 100, 250, **stats)
        plane.add("b", "MapAndBatchProduce", i * 100, 20)
        plane.add("b", f"{ROOT}::MapAndBatch::Range", i * 100, 2)
        plane.add("b", "InstantiatedCapturedFunction::RunAsync", i * 100 + 5, 5, id=i + 1)
        plane.add("c", "ExecutorState::Process", i * 100 + 10, 80, id=i + 1)
        plane.add("c", "PyFunc:PyFunc", i * 100 + 11, 70)
    source, mapped = stages_of(space, per_step=2)
    assert (mapped.elements, mapped.elements_per_step, source.elements_per_step) == (12, 6, 6)
    assert mapped.self_seconds * 1e6 == pytest.approx(80 + 18)
    assert mapped.runs_python
    assert mapped.parallelism == 1  # not recorded: what was seen


def test_inputs_of_an_interleave_are_one_stage():
    space = Space()
    plane = space.plane()
    top = f"{ROOT}::ParallelInterleaveV4"
    for i in range(10):
        plane.add("python", top, i * 100, 3, parallelism=2)
        plane.add(f"w{i % 2}", f"{top}[{i % 2}]::TFRecord", i * 100, 30)
    plane.add("w2", f"{top}::TensorSlice", 5, 1)
    plane.add("w2", f"{top}::TensorSlice", 15, 1)
    stages = {stage.kind: stage for stage in stages_of(space)}
    assert set(stages) == {"ParallelInterleaveV4", "TFRecord", "TensorSlice"}
    assert stages["TFRecord"].elements == 10
    assert stages["TensorSlice"].elements_per_step == pytest.approx(0.2)
    assert stages["ParallelInterleaveV4"].index == 3


def test_a_cache_and_what_it_hides_are_one_stage():
    space = Space()
    plane = space.plane()
    for i in range(4):
        plane.add("t", f"{ROOT}::ForeverRepeat", i * 100, 50)
        plane.add("t", f"{ROOT}::ForeverRepeat[0]::MemoryCache", i * 100, 48)
        plane.add("t", f"{ROOT}::ForeverRepeat[0]::MemoryCacheImpl", i * 100 + 1, 44)
        plane.add("t", f"{ROOT}::ForeverRepeat[0]::MemoryCacheImpl::Range", i * 100 + 2, 40)
    source, cache, repeat = stages_of(space)
    assert [s.kind for s in (source, cache, repeat)] == ["Range", "MemoryCache", "ForeverRepeat"]
    assert cache.elements == 4
    assert cache.self_seconds * 1e6 == pytest.approx(48 - 40)


def test_no_pipeline_has_no_stages():
    space = Space()
    space.plane().add("t", ROOT, 0, 5)
    assert stages_of(space) == ()


def test_a_pipeline_that_feeds_a_validation_is_left_out():
    space = Space()
    plane = space.plane()
    for i in range(6):
        plane.add("t", f"{ROOT}::Prefetch", i * 100, 50)
        plane.add("t", f"{ROOT}::BatchV2", 5000 + i * 100, 50)
    recorded = pipeline.Pipeline(space.planes()[0])
    assert [s.kind for s in recorded.stages(np.array([(0, 600 * 10**6)]))] == ["Prefetch"]


def test_what_only_passes_on_to_replicas_is_no_stage():
    space = Space()
    plane = space.plane()
    for i in range(8):
        for replica in range(2):
            plane.add(f"r{replica}", f"{ROOT}::Prefetch", i * 100, 90)
            plane.add(f"q{replica}", "PrefetchProduce", i * 100, 92)
            plane.add(f"q{replica}", f"{ROOT}::Prefetch::Generator", i * 100, 90)
        for part in range(2):
            start = i * 100 + 50 * part
            plane.add("tf_data_multi_device_iterator_resource/1", f"{ROOT}::Prefetch", start, 45)
            plane.add("t", f"{ROOT}::Prefetch::Rebatch", start, 40, num_replicas=2)
        plane.add("t", f"{ROOT}::Prefetch::Rebatch::Map", i * 100 + 1, 30)
    mapped, rebatch, prefetch = stages_of(space, per_step=2)
    assert [s.kind for s in (mapped, rebatch, prefetch)] == ["Map", "Rebatch", "Prefetch"]
    assert [s.elements_per_step for s in (mapped, rebatch, prefetch)] == [1, 2, 2]


def test_what_is_done_in_the_pauses_between_steps_is_told_from_the_rest():
    path = f"{ROOT}::Prefetch"
    space = Space()
    plane = space.plane()
    for i in range(20):  # works all the time
        plane.add("python", path, i * 100, 1, buffer_limit=2)
        plane.add("a", "PrefetchProduce", i * 100, 100)
        plane.add("a", f"{path}::Map", i * 100, 98)
    # Four steps of 300 µs, and after each a validation of 200.
    windows = np.array([[500 * i, 500 * i + 300] for i in range(4)], np.int64) * 10**6
    found = pipeline.Pipeline(space.planes()[0]).stages(windows, 1.0)
    mapped = next(stage for stage in found if stage.kind == "Map")
    assert mapped.in_steps == pytest.approx(1200 / 1800, rel=0.01)  # the last pause does not count
    assert stages_of(space)[0].in_steps == 1
