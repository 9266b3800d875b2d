import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given as examples
from hypothesis import strategies as st
from synthetic import Space, steps

from tfsci import profile_cli
from tfsci.data.pipeline import without_autotune
from tfsci.profile import feeding
from tfsci.profile.feeding import Feeding, Stage, given
from tfsci.profile.feeding import costs as stage_costs
from tfsci.profile.feeding import text as feeding_text
from tfsci.profile.feeding.costs import Run
from tfsci.profile.feeding.links import Link, links

Dataset = tf.data.Dataset
# A sleep of some milliseconds ends up to 1.5 ms late beside other work, or TensorFlow's threads.
LATE = 0.5


def sleeping(seconds):
    """A stage's function whose time is known."""

    def work(x):
        time.sleep(seconds)
        return x

    def sleeps(x):
        return tf.ensure_shape(tf.numpy_function(work, [x], tf.int64), ())

    return sleeps


def measure(dataset, **options):
    """Without the autotuner, for which an iterator's end waits."""
    return feeding.measure(without_autotune(dataset), **options)


def by_name(found):
    return {stage.name: stage for stage in found.stages}


class TestPlanted:
    def test_what_each_stage_costs(self):
        dataset = Dataset.range(10**6)
        for seconds in (0.006, 0.024, 0.012):
            dataset = dataset.map(sleeping(seconds))
        found = measure(dataset.batch(2).prefetch(1), needs=1000, seconds=0.2)
        source, *maps, batch, prefetch = found.stages
        for stage, seconds in zip(maps, (0.006, 0.024, 0.012), strict=True):
            assert stage.cost == pytest.approx(2 * seconds, rel=LATE)
        assert max(source.cost, batch.cost, prefetch.cost) < 0.5 * maps[0].cost
        assert found.slowest is maps[1]
        assert found.examples_per_second == pytest.approx(1 / 0.042, rel=LATE)
        assert found.margin == found.examples_per_second / 1000
        assert "Too slow: " in feeding_text.write(found)

    def test_a_generator_is_the_source(self):
        def generate():
            while True:
                time.sleep(0.005)
                yield 1

        dataset = Dataset.from_generator(generate, output_signature=tf.TensorSpec((), tf.int64))
        found = measure(dataset.map(lambda x: x + 1).batch(4), seconds=0.1)
        assert found.slowest.name == "from_generator"
        assert found.slowest.cost == pytest.approx(4 * 0.005, rel=LATE)
        assert "TFRecord" in feeding_text.next_step(found)

    def test_a_shuffle_fills_before_the_first_element_and_costs_nothing_after(self):
        dataset = Dataset.range(10**6).map(sleeping(0.004)).shuffle(50).batch(2)
        found = by_name(measure(dataset, seconds=0.2))
        assert 0.8 * 50 * 0.004 < found["shuffle"].fills < 2 * 50 * 0.004
        assert found["shuffle"].seconds == pytest.approx(2 * 0.004, rel=LATE)
        assert found["map(sleeps)"].cost > 10 * found["shuffle"].cost

    def test_a_cache_is_measured_once_it_is_full(self):
        dataset = Dataset.range(40).map(sleeping(0.005)).cache().map(sleeping(0.002)).batch(4)
        found = measure(dataset, seconds=0.1)
        before, cache, after = found.stages[1:4]
        assert 40 * 0.005 < cache.fills < 2.5 * 40 * 0.005  # and starting
        assert (before.cost, before.seconds > 4 * 0.005) == (0, True)
        assert after.cost == pytest.approx(4 * 0.002, rel=LATE)
        assert found.slowest is after

    def test_a_cache_that_never_fills_is_said(self):
        found = measure(Dataset.range(9).repeat().cache().batch(4), seconds=0.01)
        assert "is not full: measured as in the first pass" in feeding_text.write(found)

    def test_a_few_elements_without_end_and_with(self):
        few = Dataset.range(3).map(sleeping(0.004))
        for dataset in (few, few.repeat()):
            found = measure(dataset, seconds=0.05)
            assert found.examples_per_second == pytest.approx(1 / 0.004, rel=LATE)
            assert "an example at a time:" in feeding_text.write(found)


class TestCosts:
    @examples(st.lists(st.tuples(st.floats(1e-6, 1e3), st.booleans(), st.booleans()), min_size=1))
    def test_are_not_negative_and_add_up(self, stages):
        seconds, apart, full = zip(*stages, strict=True)
        found = stage_costs.costs(seconds, apart, full)
        assert len(found) == len(seconds)
        assert min(found) >= 0
        assert sum(found) == pytest.approx(seconds[-1])

    @pytest.mark.parametrize(
        ("seconds", "apart", "full", "costs"),
        [
            ([1, 3, 7], [False] * 3, [False] * 3, [1, 2, 4]),
            # Fused, or the clock flickered: the second was no slower than the third.
            ([1, 5, 4], [False] * 3, [False] * 3, [1, 3, 0]),
            # 4 s of work beside 6: the first is hidden. Beside 2: the second is.
            ([4, 4, 6], [False, True, False], [False] * 3, [0, 0, 6]),
            ([4, 4, 4], [False, True, False], [False] * 3, [4, 0, 0]),
            # From a full cache on.
            ([9, 1, 3], [False] * 3, [False, True, False], [0, 1, 2]),
        ],
    )
    def test_by_hand(self, seconds, apart, full, costs):
        assert stage_costs.costs(seconds, apart, full) == costs

    def test_stages_that_compete_are_not_beside_each_other(self):
        def link(works_ahead=False, function=""):
            return Link("", "", None, 1.0, works_ahead, function, 0, "")

        parallel, plain, prefetch = link(True, "graph"), link(function="graph"), link(True)
        assert stage_costs.apart([plain, prefetch, plain], 0.1) == [False, True, False]
        assert stage_costs.apart([plain, prefetch, plain], 0.9) == [False] * 3
        assert stage_costs.apart([parallel, link(), link()], 0.1) == [True, False, False]
        assert stage_costs.apart([parallel, prefetch, plain], 0.1) == [False] * 3


@pytest.mark.parametrize(
    ("elements", "batches", "seconds"),
    [
        (100, 10, 0.5),  # half of an epoch: what it gives out, and what filling it costs
        (100, 30, 0.1),  # more than one, and so the filling, too
        (101, 10, 0.1),  # more than the buffer holds: it is filled while it is emptied
    ],
)
def test_a_shuffle_that_holds_all_is_filled_in_every_epoch(elements, batches, seconds):
    chain = links(Dataset.range(elements).take(elements).shuffle(100).batch(5))
    assert [link.buffer for link in chain] == [0, 0, 100, 0]
    runs = [Run(0.4, 0.0, 99, 0), Run(0.4, 0.0, 99, 0), *[Run(0.1, 8.0, batches, 0)] * 2]
    assert stage_costs.with_refills(chain, runs)[2:] == pytest.approx([seconds] * 2)


class TestLinks:
    def test_names_and_examples(self):
        def double(x):
            return 2 * x

        dataset = Dataset.from_tensor_slices(np.arange(80)).map(double, num_parallel_calls=2)
        dataset = dataset.filter(lambda x: x > 3).padded_batch(4, ()).enumerate().batch(2)
        found = links(dataset.prefetch(1).with_options(tf.data.Options()))
        assert [(link.name, link.examples) for link in found] == [
            ("from_tensor_slices", 1), ("map(double)", 1), ("filter(lambda)", 1),
            ("padded_batch", 4), ("enumerate", 4), ("batch", 8), ("prefetch", 8),
        ]  # fmt: skip
        assert [link.works_ahead for link in found] == [False, True, *[False] * 4, True]
        assert found[1].where.startswith("test_feeding.py:")

    def test_what_has_several_inputs_is_one_stage(self):
        mixed = Dataset.zip((Dataset.range(8), Dataset.range(8))).batch(3, drop_remainder=True)
        assert [(link.name, link.examples) for link in links(mixed)] == [("zip", 1), ("batch", 4)]
        files = Dataset.from_tensor_slices(["a"]).interleave(tf.data.TextLineDataset)
        assert [link.name for link in links(files)] == ["interleave"]

    def test_partial_batches_count_as_what_they_hold(self):
        assert links(Dataset.range(10).batch(4))[-1].examples == pytest.approx(10 / 3)

    def test_a_batch_size_that_is_given(self):
        rows = Dataset.from_tensors(tf.zeros((32, 2))).repeat().map(lambda x: x)
        assert [link.examples for link in links(rows, 32)] == [32] * 3


def test_what_a_model_needs_is_its_step_without_the_wait(tmp_path):
    space = Space()
    steps(space.plane(), 12, 1000, wait=600, compute=300)  # microseconds
    (tmp_path / "a.xplane.pb").write_bytes(space.bytes())
    assert feeding.needed(tmp_path) == pytest.approx(1 / 400e-6, rel=1e-3)


class TestWords:
    def found(self, rate, needs, works_ahead=True, busy=1.0, function="graph"):
        stage = Stage(1, "map(f)", "a.py:1", rate, 8 / rate, 8 / rate, 0, 0, False, function)
        return Feeding((stage,), 8, needs, works_ahead, busy)

    @pytest.mark.parametrize(
        ("rate", "needs", "words"),
        [
            (400, None, "400 examples/s; map(f), stage 1 of 1, costs most: 20 ms of the 20 ms"),
            (400, 200, "Fast enough: 400 examples/s, 2 times the 200 that the model needs"),
            (400, 380, "Just fast enough: 400 examples/s, 1.05 times"),
            (400, 800, "Too slow: 400 examples/s, 0.50 times the 800 that the model needs, so a "
             "step would wait for input for 50 % of its time"),
        ],
    )  # fmt: skip
    def test_of_the_verdict(self, rate, needs, words):
        assert feeding_text.verdict(self.found(rate, needs)).startswith(words)

    def test_of_the_next_step(self):
        next_step = feeding_text.next_step(self.found(400, 800))
        assert next_step == ".map(f, num_parallel_calls=tf.data.AUTOTUNE)"
        python = feeding_text.next_step(self.found(400, 800, function="python"))
        assert python.startswith("write f in TensorFlow's operations")
        assert "private_threadpool_size" in feeding_text.next_step(self.found(400, 800, busy=0.01))
        assert "leave the pipeline" in feeding_text.next_step(self.found(400, 200))
        assert ".prefetch(2)" in feeding_text.next_step(self.found(400, 200, works_ahead=False))


def test_ctrl_c_is_heard_while_an_element_is_waited_for():
    waits, done = threading.Event(), threading.Event()

    def stuck(x):
        waits.set()
        done.wait(30)
        return x

    def interrupt():
        waits.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    dataset = Dataset.range(9).map(lambda x: tf.numpy_function(stuck, [x], tf.int64))
    try:
        with pytest.raises(KeyboardInterrupt):
            measure(dataset, seconds=0.01)
        assert not done.is_set()
    finally:
        done.set()


SCRIPT = """
import tensorflow as tf
import beside_it
dataset = tf.data.Dataset.range(5)
number = 5
def batches():
    return dataset.batch(2) if __name__ != "__main__" else None
def needs(one): ...
def fails():
    raise KeyError("planted")
"""


class TestGiven:
    @pytest.fixture
    def script(self, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
        (tmp_path / "beside_it.py").touch()
        (tmp_path / "script.py").write_text(SCRIPT)
        return f"{tmp_path}/script.py"

    def test_a_dataset_or_a_function_that_returns_one(self, script):
        assert list(given.scripted(f"{script}:dataset").as_numpy_iterator()) == [0, 1, 2, 3, 4]
        assert int(given.scripted(f"{script}:batches").cardinality()) == 3

    def test_the_batches_of_a_data_spec(self):
        x, y = next(given.built_in("digits", 32).as_numpy_iterator())
        assert (x.shape, y.shape) == ((32, 8, 8, 1), (32,))

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            (":absent", "nothing of that name in it; it has dataset, batches, fails"),
            (":number", "or a function without arguments that returns one; got int"),
            (":needs", "script.py: TypeError: needs() missing 1 required"),
            (":fails", "script.py, line 10: KeyError: 'planted'"),
            ("", "expected FILE.py:NAME"),
        ],
    )
    def test_anything_else_is_named(self, script, name, text):
        with pytest.raises(ValueError) as error:
            given.scripted(script + name)
        assert text in str(error.value)

    def test_a_script_that_is_not_there_or_fails(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file; expected FILE"):
            given.scripted("absent.py:dataset")
        (tmp_path / "a.py").write_text("\n1 +")
        with pytest.raises(ValueError, match="SyntaxError: invalid syntax"):
            given.scripted(f"{tmp_path}/a.py:dataset")


def once():
    """A generator that is used up, as no epoch after the first could use it."""
    elements = iter(range(5))
    return Dataset.from_generator(lambda: elements, output_signature=tf.TensorSpec((), tf.int64))


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        (
            lambda: Dataset.range(0).batch(2),
            "stage 1, range: the pipeline up to here holds",
        ),
        (lambda: Dataset.range(9).filter(lambda x: x > 9), r"stage 2, filter\(lambda\): the pipe"),
        (once, "stage 1, from_generator: the pipeline up to here ends, and gives nothing when it"),
        (
            lambda: Dataset.range(9).map(lambda x: tf.io.read_file(tf.strings.as_string(x))),
            r"^stage 2, map\(lambda\): 0; No such file or directory$",
        ),
    ],
)
def test_a_pipeline_that_gives_nothing_names_the_stage(dataset, text):
    with pytest.raises(ValueError, match=text):
        measure(dataset(), seconds=0.01)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "expected FILE.py:NAME or --data SPEC (see tfsci profile input --help)"),
        (["a.py:b", "--data", "digits"], "expected FILE.py:NAME or --data SPEC"),
        (["a.py:b", "--needs", "3", "--trace", "x"], "--needs, --trace: both say what the model"),
        (["a.py:b", "--augment", "flip"], "--augment flip: is for --data; leave it out"),
        (["a.py:b", "--needs", "0"], "argument --needs: expected a number above 0, got '0'"),
        (["a.py:b", "--trace", "absent"], "absent: no such folder"),
        (["--data", "foo"], "--data foo: unknown data set"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, text, capsys):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        profile_cli.main(["input", *arguments])
    assert str(error.value).startswith(text)
    assert capsys.readouterr().out == ""


def test_the_command(capsys):
    profile_cli.main(["input", "--data", "digits", "--seconds", "0.01", "--needs", "10"])
    printed = capsys.readouterr().out
    assert "map(lambda) source.py" in printed
    assert "\nFast enough: " in printed
    assert printed.splitlines()[-1].startswith("Next: ")
