import pytest
from synthetic import Space, steps

from tfsci.profile.steps import find


def plane_of(space):
    return space.planes()[0]


def test_a_step_reaches_from_marker_to_marker_and_the_first_is_left_out():
    space = Space()
    steps(space.plane(), 10, 1000)
    found = find(plane_of(space))
    assert (found.marker, found.seen, len(found.windows)) == ("train", 10, 8)
    assert found.windows[0].tolist() == [10**9, 2 * 10**9]


def test_what_the_buffers_served_is_left_out_if_a_majority_remains():
    space = Space()
    steps(space.plane(), 13, 1000)
    assert len(find(plane_of(space), buffered=2).windows) == 12 - 3
    assert len(find(plane_of(space), buffered=99).windows) == 12 - 4


def test_the_outermost_function_marks_where_nothing_else_does():
    space = Space()
    plane = space.plane()
    for i in range(5):
        stats = {"tf_function_call": "notTraced-nonXla", "tracing_count": "1"}
        plane.add("python", "multi_step_on_iterator", i * 100, 80, **stats)
        plane.add("python", "inner", i * 100 + 1, 70, **stats)
        plane.add("python", "metric", i * 100 + 90, 5, **stats)
    assert find(plane_of(space)).marker == "multi_step_on_iterator"


def test_one_long_call_after_a_short_training_marks_no_steps():
    space = Space()
    plane = space.plane()
    call = {"tf_function_call": "notTraced-nonXla", "tracing_count": "1"}
    for i in range(8):
        plane.add("python", "one_step", i * 100, 90, **call)
    plane.add("python", "sample", 800, 5000, **call)
    found = find(plane_of(space))
    assert (found.marker, found.seen) == ("one_step", 8)


def test_the_fetch_marks_in_a_loop_without_functions():
    space = Space()
    plane = space.plane()
    for i in range(5):
        plane.add("python", "IteratorGetNextOp::DoCompute", i * 100, 10)
    found = find(plane_of(space))
    assert (found.marker, found.seen) == ("IteratorGetNextOp::DoCompute", 5)


def test_the_fetch_marks_in_a_function_that_holds_the_loop():
    space = Space()
    plane = space.plane()
    plane.add("python", "epoch", 0, 800, tf_function_call="notTraced-nonXla", tracing_count="1")
    for i in range(8):
        plane.add("get", "IteratorGetNextAsOptionalOp::DoCompute", i * 100, 10)
    assert find(plane_of(space)).seen == 8


def test_a_pause_between_two_steps_is_part_of_neither():
    space = Space()
    plane = space.plane()
    for i in range(10):
        plane.add("python", "train", i * 100 + (5000 if i > 6 else 0), 90, step_num=i)
    lengths = {int(end - start) for start, end in find(plane_of(space)).windows}
    assert lengths == {100 * 10**6}


def test_the_first_tracing_is_warm_up_and_a_later_one_is_not():
    for count, left in (("1", 9 - 4), ("2", 9 - 1)):
        space = Space()
        plane = steps(space.plane(), 10, 1000)
        plane.add(
            "python", "step", 2100, 500, tf_function_call="traced-nonXla", tracing_count=count
        )
        assert len(find(plane_of(space)).windows) == left


def test_a_validation_under_the_same_name_is_told_by_its_graph():
    space = Space()
    plane = space.plane()
    call = {"tf_function_call": "notTraced-nonXla", "tracing_count": "1"}
    for epoch in range(2):
        for i in range(12):
            graph, length = ("graph_1", 100) if i < 8 else ("graph_2", 20)
            start = epoch * 1000 + (i * 100 if i < 8 else 800 + 20 * (i - 8))
            plane.add("python", "one_step", start, 0.9 * length, **call)
            plane.add("python", f"EagerLocalExecute: __inference_{graph}", start, 0.5 * length)
    windows = find(plane_of(space)).windows
    assert {int(end - start) for start, end in windows} == {100 * 10**6}
    assert len(windows) == 8 + 7 - 1 - 1  # no end of the first epoch, none of the second


@pytest.mark.parametrize("told", [True, False])
def test_a_validation_that_waits_longer_than_the_training_works_is_none(told):
    space = Space()
    plane = space.plane()
    call = {"tf_function_call": "notTraced-nonXla", "tracing_count": "1"}
    for epoch in range(6):
        for i, graph in enumerate(("train", "train", "test")):
            start = 1000 * epoch + 100 * i
            plane.add("python", "one_step", start, 700 if graph == "test" else 90, **call)
            plane.add("python", f"EagerLocalExecute: __inference_{graph}", start, 50)
            wait = 600 if graph == "test" else 1
            plane.add("get", "IteratorGetNextOp::DoCompute", start, wait)
            if told:  # and computes longer, too
                work, length = ("gradient_tape/", 60) if graph == "train" else ("", 640)
                plane.add("worker", f"{work}cnn/dense/MatMul:MatMul", start + 10, length)
    windows = find(plane_of(space)).windows
    assert {int(end - start) for start, end in windows} == {100 * 10**6}


@pytest.mark.parametrize("waits", [60, 5])
def test_a_validation_is_no_part_of_a_step_whether_it_waits_for_its_input_or_not(waits):
    space = Space()
    plane = space.plane()
    for i in range(15):
        start = i * 100 + i // 3 * (waits + 20)
        plane.add("python", "train", start, 90, step_num=i)
        plane.add("get", "IteratorGetNextOp::DoCompute", start + 1, 5)
        if i % 3 == 2:  # the end of an epoch
            plane.add("get", "IteratorGetNextOp::DoCompute", start + 95, waits)
    windows = find(plane_of(space)).windows
    assert {int(end - start) for start, end in windows} == {100 * 10**6}


def test_a_wait_between_the_steps_is_no_pause_where_each_fetches_there():
    space = Space()
    plane = space.plane()
    for i in range(10):
        start = i * 100 + (300 if i > 6 else 0)
        plane.add("python", "train", start, 40, step_num=i)
        plane.add("get", "IteratorGetNextOp::DoCompute", start + 42, 350 if i == 6 else 50)
    assert len(find(plane_of(space)).windows) == 8
