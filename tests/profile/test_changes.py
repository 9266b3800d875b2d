"""Pipelines with round numbers: the rates are worked out by hand."""

import dataclasses

import pytest

from tfsci.profile.capacity import Model
from tfsci.profile.changes import changes
from tfsci.profile.pipeline import Stage
from tfsci.profile.sharing import Shared


def chain(*stages):
    """Stages from the source on: (kind, self milliseconds, elements per step, further values)."""
    made = []
    for index, (kind, ms, per_step, *more) in enumerate(stages, 1):
        values = more[0] if more else {}
        own = kind.startswith(("Parallel", "Prefetch", "MapAndBatch"))
        made.append(
            Stage(
                index=index, kind=kind, name=kind, path=kind, parent=index + 1, elements=100,
                self_seconds=ms / 1e3, elements_per_step=per_step, own_thread=own,
            )
        )  # fmt: skip
        made[-1] = dataclasses.replace(made[-1], **values)
    made[-1] = dataclasses.replace(made[-1], parent=0)
    return tuple(made)


def model(*stages, consumer=10, **more):
    return Model(chain(*stages), consumer / 1e3, **more)


def test_stages_in_one_thread_add_up_and_threads_overlap():
    pipeline = model(
        ("TFRecord", 1, 8), ("Map", 2, 8), ("Batch", 4, 1), ("Prefetch", 0, 1), consumer=10
    )
    assert pipeline.input_seconds() == pytest.approx((8 + 16 + 4) / 1e3)
    assert pipeline.step_seconds() == pytest.approx(28e-3)
    assert pipeline.slowest().kind == "Map"


def test_without_a_prefetch_the_model_waits_for_the_last_section():
    pipeline = model(("Range", 0, 8), ("ParallelMapV2", 3, 8, {"parallelism": 2}), ("Batch", 4, 1))
    assert pipeline.step_seconds() == pytest.approx(max(8 * 3 / 2, 4 + 10) / 1e3)
    change = changes(pipeline)[0]
    assert "prefetch" in change.where
    assert change.predicted_speedup == pytest.approx(14 / 12)


def test_workers_are_no_more_than_the_threads_of_the_pool():
    stages = ("Range", 0, 8), ("ParallelMapV2", 3, 8, {"parallelism": 8}), ("Prefetch", 0, 1)
    assert model(*stages, pool_threads=4).input_seconds() == pytest.approx(6e-3)
    assert model(*stages).input_seconds() == pytest.approx(3e-3)


def test_the_inputs_of_an_interleave_are_read_side_by_side():
    stages = ("TFRecord", 3, 8), ("ParallelInterleaveV4", 0, 8, {"parallelism": 4})
    assert model(*stages).input_seconds() == pytest.approx(6e-3)


def test_a_sequential_map_is_made_parallel_until_the_model_is_the_limit():
    pipeline = model(
        ("Range", 0, 8), ("Map", 5, 8), ("Batch", 1, 1), ("Prefetch", 0, 1), pool_threads=8
    )
    assert pipeline.step_seconds() == pytest.approx(41e-3)
    (change,) = changes(pipeline)
    assert change.where == ".map(function, num_parallel_calls=5)"
    assert change.predicted_speedup == pytest.approx(41 / 10)
    assert change.next_bottleneck == "the model's step"


def test_the_cores_limit_what_parallel_calls_gain():
    pipeline = model(
        ("Range", 0, 8), ("Map", 5, 8), ("Prefetch", 0, 1), pool_threads=2, cores=2,
        shared=Shared(cores=2, model_seconds=0.005, pipeline_seconds=0.040, lost_seconds=0.0),
    )  # fmt: skip
    first = changes(pipeline)[0]
    assert first.where == ".map(function, num_parallel_calls=2)"
    assert first.predicted_speedup == pytest.approx(40 / 22.5)


def test_a_model_gets_the_cores_that_a_pipeline_no_longer_takes():
    # 36 of 80 ms of CPU are decoding; without, operations of 40 ms take the 22 that are left.
    pipeline = model(
        ("Range", 0, 1), ("ParallelMapV2", 36, 1, {"parallelism": 2}), ("Prefetch", 0, 1),
        consumer=41, pool_threads=2, cores=2,
        shared=Shared(cores=2, model_seconds=0.044, pipeline_seconds=0.036, lost_seconds=0.018),
    )  # fmt: skip
    assert pipeline.out_of_cores
    assert pipeline.cpu_share(pipeline.stages[1]) == pytest.approx(0.45)
    (change,) = changes(pipeline)
    assert change.where.startswith(".cache()") and change.qualifier == "about"
    assert change.predicted_speedup == pytest.approx(41 / 23)


def test_more_threads_than_cores_only_where_the_function_waits():
    stages = ("Range", 0, 8), ("Map", 5, 8, {"runs_python": True}), ("Prefetch", 0, 1)
    waiting = model(*stages, pool_threads=2, lock_share=0.1, python_cpu_share=0.02)
    (change,) = changes(waiting)
    assert "num_parallel_calls=5" in change.where and "threadpool_size = 5" in change.where
    assert change.predicted_speedup == pytest.approx(4)
    native = changes(model(*stages, pool_threads=2, lock_share=0.1, python_cpu_share=0.97))
    assert native[0].where == ".map(function, num_parallel_calls=2)"
    assert native[0].predicted_speedup == pytest.approx(2)
    for unknown in ({}, {"lock_share": 0.9, "python_cpu_share": 0.95}):
        (locked, *_) = changes(model(*stages, pool_threads=2, **unknown))
        assert "num_parallel_calls" not in locked.where
        assert "TensorFlow operations" in locked.what and locked.qualifier == "at most"


def test_two_slow_stages_are_named_in_order():
    pipeline = model(
        ("Range", 0, 1), ("Map", 20, 1, {"name": "A"}), ("Map", 40, 1, {"name": "B"}),
        ("Prefetch", 0, 1), consumer=5, pool_threads=16,
    )  # fmt: skip
    first, second = changes(pipeline)
    assert ("B" in first.what, "A" in second.what) == (True, True)
    assert first.next_bottleneck == "A"
    # 60 ms; then B, nine at once, beside A's 20; then A too, and the model's 5 are the limit.
    assert first.predicted_speedup == pytest.approx(3)
    assert second.predicted_speedup == pytest.approx(12)


def test_all_functions_share_the_threads_of_the_pool():
    stages = [("ParallelMapV2", 10, 1, {"parallelism": 4}) for _ in range(3)]
    assert model(*stages, consumer=1, pool_threads=2).step_seconds() == pytest.approx(15e-3)


def test_what_gains_next_to_nothing_is_not_advised():
    assert changes(model(("Map", 1, 8), ("Prefetch", 0, 1), pool_threads=4)) == ()
    assert changes(model(("Range", 0.01, 8))) == ()
    assert changes(Model((), 0.01)) == ()


def test_a_function_that_says_what_keeps_its_results_is_not_to_be_rewritten():
    decode = {"runs_python": True, "kept_by": "make cache", "name": "Map(decode)"}
    stages = ("Range", 0, 8), ("Map", 5, 8, decode), ("Prefetch", 0, 1)
    (change,) = changes(model(*stages, pool_threads=2))
    assert (change.where, change.qualifier) == ("make cache", "at most")
    assert change.predicted_speedup == pytest.approx(40 / 10)
