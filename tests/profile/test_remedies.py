"""What to change where the pipeline is not the limit, by hand-made breakdowns."""

from types import SimpleNamespace

import pytest

from tfsci.profile.ranks import compare, own_seconds
from tfsci.profile.remedies import remedies


def host(
    name="rank0", marker="train", compiled=None, started=1.0, hidden=0, gathered=0.0, devices=0,
    **parts,
):  # fmt: skip
    kinds = ("compile", "compute", "communication", "copy", "input", "dispatch", "python")
    times = {kind: parts.get(kind, 0) * 1e-3 for kind in kinds}
    return SimpleNamespace(
        name=name, marker=marker, steps=9, step_seconds=sum(times.values()),
        compiled=compiled or {}, devices=devices, breakdown=SimpleNamespace(
            parts=times, started=started, gathered=gathered,
            communication_total=times["communication"] + hidden * 1e-3,
        ),
    )  # fmt: skip


def test_an_exchange_is_halved_by_twice_the_batch():
    first, second = remedies("communication-bound", host(compute=4, communication=6))
    assert first.predicted_speedup == pytest.approx(10 / 7)
    assert not first.qualifier
    assert "accumulate" in first.where
    assert "compression" in second.where and second.qualifier == "at most"
    assert second.predicted_speedup == pytest.approx(10 / 7)
    assert "100 MB/s" in second.what
    assert not any("MB/s" in c.what for c in remedies("communication-bound", host(
        compute=4, communication=6, devices=1)))  # fmt: skip


def test_what_hides_behind_back_propagation_is_halved_too_and_accumulated_does_not_hide():
    # 10 ms of exchange, 4 of them hidden: in 16 bits 5, of which 4 may be hidden.
    found = remedies("communication-bound", host(compute=4, communication=6, hidden=4))
    compressed, larger = found
    assert compressed.predicted_speedup == pytest.approx(10 / 5)
    assert larger.predicted_speedup == pytest.approx(10 / 7)
    assert "accumulate" not in larger.where  # 4 + 10 / 2


def test_what_is_gathered_is_not_halved():
    (found,) = remedies("communication-bound", host(compute=4, communication=6, gathered=0.5))
    assert found.where == ".batch(2 * batch_size)"
    assert found.predicted_speedup == pytest.approx(10 / 8.5)
    assert remedies("communication-bound", host(compute=4, communication=6, gathered=0.95)) == ()


def test_python_between_steps_is_told_from_starting_operations():
    (first, *_) = remedies("dispatch-bound", host(compute=1, python=20, dispatch=1))
    assert "Python" in first.what
    assert first.predicted_speedup == pytest.approx(22 / 2)
    (first, *_) = remedies("dispatch-bound", host(compute=0.1, python=0.4, dispatch=0.6))
    assert "in a call" in first.what and "tf.function" in first.where
    keras = host(marker="multi_step_on_iterator", compute=0.1, python=0.4, dispatch=0.6)
    assert "steps_per_execution" in remedies("dispatch-bound", keras)[0].where


def test_operations_started_one_by_one_belong_in_a_function():
    (first, *rest) = remedies("dispatch-bound", host(started=100, compute=2, python=3, dispatch=5))
    assert "one function" in first.what and "100 operations" in first.what
    assert "@tf.function" in first.where and first.qualifier == "at most"
    assert first.predicted_speedup == pytest.approx(10 / (2 + 8 / 100))
    assert not any("in a call" in change.what for change in rest)


def test_what_a_function_was_traced_for_is_said():
    compiled = {"train_step": ("float32 (31, 8)", "float32 (30, 8)")}
    (change,) = remedies("compile-bound", host(compile=9, compute=1, compiled=compiled))
    assert "train_step was traced for float32 (31, 8) · float32 (30, 8)" in change.what
    assert change.predicted_speedup == pytest.approx(10)


def test_a_compute_bound_training_needs_no_remedy_of_these():
    assert remedies("compute-bound", host(compute=9)) == ()


def test_the_rank_that_others_wait_for_and_why():
    slow = host("rank1", compute=4, input=6)
    fast = [host(f"rank{i}", compute=4, communication=6) for i in (0, 2)]
    assert own_seconds(slow) == pytest.approx(10e-3)
    found = {rank.name: rank for rank in compare([slow, *fast])}
    assert found["rank1"].slow_part == "input"
    assert found["rank0"].slow_part == found["rank2"].slow_part == ""
    assert [rank.slow_part for rank in compare(fast)] == ["", ""]
