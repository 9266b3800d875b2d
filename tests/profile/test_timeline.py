import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.profile import timeline
from tfsci.profile.timeline.events import read

BIN = Path(sys.executable).parent
PERIOD = 100_000  # µs of a step
TENSORS = {1: ("a", "[250000]"), 2: ("b", "[500, 500]"), 3: ("c", "[128]")}


def b(name, lane, ts):
    return {"ph": "B", "name": name, "ts": ts, "pid": lane}


def e(lane, ts, shape=None):
    args = {"args": {"dtype": "float32", "shape": shape}} if shape else {}
    return {"ph": "E", "ts": ts, "pid": lane, **args}


def ready(rank, lane, ts):
    return {"ph": "X", "name": str(rank), "ts": ts, "pid": lane, "dur": 0}


def header(tensors=TENSORS):
    start = {"start_time_since_epoch_in_micros": 1}
    yield {"name": "process_name", "ph": "M", "pid": 0, "args": start}
    for lane, (name, _) in tensors.items():
        yield {"name": "process_name", "ph": "M", "pid": lane, "args": {"name": name}}


def step(t, late=20_000, ranks=(0, 1), told=True):
    """a and b in one message of 2 MB, c in one of 512 bytes; `ranks` in the order they come."""
    for lane in (1, 2):
        yield b("NEGOTIATE_ALLREDUCE", lane, t)
        if told:
            yield ready(ranks[0], lane, t)
    for lane in (1, 2):
        if told:
            yield ready(ranks[1], lane, t + late)
        yield e(lane, t + late)
    t += late
    yield {"ph": "i", "name": "CYCLE_START", "ts": t, "s": "g"}
    yield from (b("ALLREDUCE", lane, t + 1_000) for lane in (1, 2))
    for name, start, end in (
        ("MEMCPY_IN_FUSION_BUFFER", 1_000, 2_000),
        ("GLOO_ALLREDUCE", 2_000, 12_000),
        ("MEMCPY_OUT_FUSION_BUFFER", 12_000, 13_000),
    ):
        yield from (b(name, lane, t + start) for lane in (1, 2))
        yield from (e(lane, t + end) for lane in (1, 2))
    yield from (e(lane, t + 13_000, TENSORS[lane][1]) for lane in (1, 2))
    t += 20_000  # nothing for 7 ms
    yield b("NEGOTIATE_ALLREDUCE", 3, t)
    if told:
        yield from (ready(rank, 3, t + i * 5_000) for i, rank in enumerate(ranks))
    yield e(3, t + 5_000)
    yield b("ALLREDUCE", 3, t + 5_000)
    yield b("GLOO_ALLREDUCE", 3, t + 5_000)
    yield e(3, t + 9_000)
    yield e(3, t + 10_000, TENSORS[3][1])


def text(steps):
    """As Horovod writes it."""
    events = [*header(), *(event for one in steps for event in one)]
    return "[\n" + ",".join(map(json.dumps, events)) + "]"


@pytest.fixture
def written(tmp_path):
    def write(steps):
        (tmp_path / "timeline.json").write_text(text(steps))
        return tmp_path / "timeline.json"

    return write


def steps(number=6, **options):
    """The first one is longer, as it compiles."""
    first = step(0, late=500_000, ranks=(1, 0))
    return [first, *(step(10**6 + i * PERIOD, **options) for i in range(number - 1))]


class TestByHand:
    @pytest.fixture
    def digest(self, written):
        return timeline.digest(written(steps()))

    def test_the_parts_of_a_step(self, digest):
        assert (digest.steps, digest.step_seconds) == (5, pytest.approx(0.1))
        assert digest.exchange_seconds == pytest.approx(0.050)
        assert digest.parts == pytest.approx(
            {
                "exchange": 0.014,  # 10 ms of a and b, 4 of c
                "copy in": 0.001,
                "copy out": 0.001,
                "queue": 0.002,  # 1 ms before a and b begin, the last of c's 5 after its exchange
                "negotiation": 0.025,  # 20 and 5
                "nothing": 0.007,
            }
        )

    def test_the_messages(self, digest):
        assert (digest.messages, digest.tensors) == (2, 1.5)
        assert digest.message_bytes == (2_000_000 + 512) / 2
        small, large = digest.classes
        assert (small.least, small.most, small.messages) == (512, 512, 1)
        assert small.seconds == pytest.approx(0.004)
        assert (large.least, large.seconds) == (2_000_000, pytest.approx(0.010))
        assert large.bytes_per_second == pytest.approx(200e6)
        # A line through (512 bytes, 5 ms) and (2 MB, 12 ms).
        assert digest.message_seconds == pytest.approx(0.005 - 0.007 * 512 / (2_000_000 - 512))

    def test_the_straggler(self, digest):
        assert digest.waiting == timeline.Waiting(
            pytest.approx(0.020), 5, {1: 1.0}, {1: pytest.approx(0.020)}, unseen=0.0
        )
        assert digest.suggestion.verdict == "straggler"
        assert "rank 1 is last in 100 % of the steps" in digest.suggestion.answer
        assert "20 ms of 100 ms" in digest.suggestion.answer
        assert "input of rank 1" in digest.suggestion.what


class TestSuggestions:
    def test_a_rank_that_is_last_by_turns_is_no_straggler(self, written):
        turns = [step(i * PERIOD, late=40_000, ranks=((0, 1), (1, 0))[i % 2]) for i in range(9)]
        found = timeline.digest(written(turns))
        assert found.waiting.last == {0: 0.5, 1: 0.5}
        assert found.suggestion.verdict == "uneven"
        assert "equal work" in found.suggestion.what

    def test_where_the_file_does_not_tell_who_is_last_it_says_how_to_learn_it(self, written):
        found = timeline.digest(written(steps(late=40_000, told=False)))
        assert (found.waiting.told, found.waiting.last) == (0, {})
        assert found.suggestion.environ["HOROVOD_CACHE_CAPACITY"] == "0"

    def test_what_rank_0_did_not_look_at_is_said(self, written):
        def looking(t):
            yield {"ph": "i", "name": "CYCLE_START", "ts": t - 20_000, "s": "g"}
            yield {"ph": "i", "name": "CYCLE_START", "ts": t - 10, "s": "g"}
            yield from step(t, late=0)

        found = timeline.digest(written(looking(10**6 + i * PERIOD) for i in range(6)))
        assert found.waiting.unseen == pytest.approx(0.01999)
        assert "rank 0 may be late by 20 ms unseen" in found.text

    def test_ranks_heard_in_one_round_are_not_late(self, written):
        found = timeline.digest(written(steps(late=400)))
        assert found.waiting.behind == {1: pytest.approx(0.005)}  # by c, not by a and b
        found = timeline.digest(written(steps(late=900, told=False)))
        assert found.suggestion.verdict == "fine"

    def test_each_tensor_alone(self, written):
        def alone(t):
            for lane in range(1, 31):
                yield b("NEGOTIATE_ALLREDUCE", lane, t)
                yield e(lane, t)
            for lane in range(1, 31):
                yield b("ALLREDUCE", lane, t + lane * 2_000)
                yield b("GLOO_ALLREDUCE", lane, t + lane * 2_000)
                yield e(lane, t + lane * 2_000 + 2_000)
                yield e(lane, t + lane * 2_000 + 2_000, "[256]")

        found = timeline.digest(written(alone(i * PERIOD) for i in range(5)))
        assert (found.messages, found.tensors) == (30, 1)
        assert found.message_seconds == pytest.approx(0.002)
        assert found.suggestion.verdict == "small-messages"
        assert found.suggestion.environ == {"HOROVOD_FUSION_THRESHOLD": str(4 << 20)}
        assert "save up to 58 ms" in found.suggestion.why  # 29 of 30 messages

    def test_tensors_that_share_a_message_may_wait_for_more_to_share_it(self, written):
        def pairs(t):
            for lane in (1, 2, 3):
                yield b("NEGOTIATE_ALLREDUCE", lane, t)
                yield e(lane, t)
            for start, lanes in ((0, (1, 2)), (30_000, (3,))):
                yield from (b("ALLREDUCE", lane, t + start) for lane in lanes)
                yield from (b("GLOO_ALLREDUCE", lane, t + start) for lane in lanes)
                yield from (e(lane, t + start + 20_000) for lane in lanes)
                yield from (e(lane, t + start + 20_000, "[128]") for lane in lanes)

        found = timeline.digest(written(pairs(i * PERIOD) for i in range(6)))
        assert found.suggestion.environ == {"HOROVOD_FUSION_THRESHOLD": str(4 << 20)}
        assert "1.5 tensors share a message" in found.suggestion.why
        assert "try HOROVOD_CYCLE_TIME=10" in found.suggestion.why

    @pytest.mark.parametrize(("seconds", "where"), [(0.050, "time; "), (0.005, "time; on GPUs ")])
    def test_16_bits_are_for_links_slower_than_adding_up(self, written, seconds, where):
        def large(t):
            yield b("NEGOTIATE_ALLREDUCE", 1, t)
            yield e(1, t)
            yield b("ALLREDUCE", 1, t)
            yield b("GLOO_ALLREDUCE", 1, t)
            yield e(1, t + int(1e6 * seconds))
            yield e(1, t + int(1e6 * seconds), TENSORS[1][1])

        found = timeline.digest(written(large(int(i * 1e6 * 2 * seconds)) for i in range(6)))
        assert found.suggestion.verdict == "slow-exchange"
        assert f"{where}--compression fp16" in found.suggestion.why

    def test_what_it_says_has_at_most_three_lines(self, written):
        for kind in (steps(), steps(late=40_000, told=False), steps(late=900, told=False)):
            advice = timeline.digest(written(kind)).text.rpartition("\n\n")[2]
            assert advice.startswith("What to change: ")
            assert len(advice.splitlines()) <= 3


def test_messages_that_are_begun_before_the_last_one_ends(written):
    # NCCL's: the second message's tensors begin while the first one is still under way.
    def step(t):
        for lane in (1, 2, 3):
            yield b("NEGOTIATE_ALLREDUCE", lane, t)
            yield e(lane, t + 10)
        yield from (b("ALLREDUCE", lane, t + 20) for lane in (1, 2, 3))
        for lanes, start in (((1, 2), 30), ((3,), 60)):
            yield from (b("NCCL_ALLREDUCE", lane, t + start) for lane in lanes)
            yield from (e(lane, t + start + 20) for lane in lanes)
            yield from (e(lane, t + start + 20, TENSORS[lane][1]) for lane in lanes)

    found = timeline.digest(written(step(i * 1000) for i in range(6)))
    assert (found.messages, found.tensors) == (2, 1.5)
    assert found.parts["exchange"] == pytest.approx(40e-6)


class TestFiles:
    WHOLE = text(steps())

    @given(st.integers(1, len(WHOLE) // 7))  # not more than two of six steps
    def test_a_killed_job_s_file_is_read_as_far_as_it_goes(self, tmp_path_factory, cut):
        file = tmp_path_factory.mktemp("killed") / "timeline.json"
        file.write_text(self.WHOLE[:-cut])
        found, whole = read(file), len(TENSORS) * 6
        assert len(TENSORS) * 4 <= len(found) <= whole
        assert timeline.digest(file).exchange_seconds == pytest.approx(0.050)

    def test_a_file_without_its_last_bracket_has_all_steps(self, tmp_path):
        (tmp_path / "timeline.json").write_text(self.WHOLE[:-1] + ",\n")
        assert timeline.digest(tmp_path).steps == 5  # the run folder is enough

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[]",
            "{}",
            "[1]",
            "[[]]",
            "[null]",
            '{"traceEvents": []}',
            '[{"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "x"}}]',
            '[{"args": {"start_time_since_epoch_in_micros": 1}, "ph": "B"}]',
            "[" * 100_000,
            "\x00\xff",
        ],
    )
    def test_a_foreign_file_is_refused(self, tmp_path, content):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(ValueError, match="no timeline of Horovod's; expected"):
            read(tmp_path / "x.json")

    def test_a_timeline_without_steps(self, written):
        with pytest.raises(ValueError, match="no tensor was exchanged"):
            read(written([]))
        with pytest.raises(ValueError, match="holds 1 whole steps after the first, 3 are needed"):
            timeline.digest(written(steps(2)))

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="--horovod-timeline writes one"):
            read(tmp_path)


@pytest.fixture(scope="module")
def average(tmp_path_factory):
    """Runs two ranks that average gradients; returns what their timeline says."""

    def run(slow=-1, seconds=0.0, **environ):
        file = tmp_path_factory.mktemp("ranks") / "timeline.json"
        script = Path(__file__).with_name("averaging_ranks.py")
        command = [BIN / "horovodrun", "-np", "2", sys.executable, script, file]
        result = subprocess.run(
            [*map(str, command), str(slow), str(seconds)], env=os.environ | environ,
            capture_output=True, text=True, timeout=110,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        return timeline.digest(file)

    return run


@pytest.mark.slow
@pytest.mark.horovod
class TestRealRanks:
    def test_what_is_suggested_helps(self, average):
        alone = average(HOROVOD_FUSION_THRESHOLD="0")
        assert alone.suggestion.verdict == "small-messages"
        fused = average(**alone.suggestion.environ)
        assert alone.messages == alone.tensors * 46
        assert fused.messages <= 5
        assert alone.exchange_seconds / fused.exchange_seconds >= 1.3

    def test_what_is_suggested_where_the_threshold_is_large_helps(self, average):
        alone = average(ALONE="1")  # under `choose`, which fuses within buckets only
        assert alone.messages == alone.tensors * 46
        assert "Then HOROVOD_DISABLE_GROUP_FUSION=0" in alone.suggestion.why
        fused = average(ALONE="1", HOROVOD_DISABLE_GROUP_FUSION="0")
        assert fused.messages <= 23
        assert alone.exchange_seconds / fused.exchange_seconds >= 1.3

    @pytest.mark.parametrize("slow", [0, 1])
    def test_a_rank_that_sleeps_is_named(self, average, slow):
        found = average(slow, 0.2, HOROVOD_CACHE_CAPACITY="0", HOROVOD_CYCLE_TIME="0.02")
        assert found.suggestion.verdict == "straggler"
        assert found.waiting.last[slow] > 0.9
        assert found.waiting.behind[slow] == pytest.approx(0.2, abs=0.1)
        assert f"rank {slow}" in found.suggestion.answer
