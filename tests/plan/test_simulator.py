import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.plan import presets
from tfsci.plan.layout import Layout
from tfsci.plan.machine_table import MACHINES
from tfsci.plan.machines import Link
from tfsci.plan.published import TABLE_1, table_1
from tfsci.plan.schedule import Slot, order
from tfsci.plan.simulator import Links, play, simulate
from tfsci.plan.step import slots, step

SELENE = MACHINES["selene"]


def makespan(p, m, v, f, b):
    """(m v + p - 1)(f + b): Narayanan 2021, section 2.2."""
    return (m * v + p - 1) * (f + b)


def run(schedule, stages, micro_batches, chunks, forward, backward):
    orders = [order(schedule, i, stages, micro_batches, chunks) for i in range(stages)]
    seconds = {False: forward, True: backward}
    return play(
        orders, lambda _, slot: seconds[slot.backward], lambda *_: (0, 0.0), {0: 1.0}, chunks
    )


class TestClosedForms:
    @given(
        st.sampled_from(["gpipe", "1f1b"]), st.integers(1, 8), st.integers(1, 20),
        st.floats(0.1, 2), st.floats(0.1, 4),
    )  # fmt: skip
    def test_gpipe_and_1f1b(self, schedule, p, m, f, b):
        played = run(schedule, p, m, 1, f, b)
        assert played.seconds == pytest.approx(makespan(p, m, 1, f, b), rel=1e-9)
        assert played.bubble == pytest.approx((p - 1) / (m + p - 1), abs=1e-9)

    @given(
        st.integers(2, 6),
        st.integers(1, 4),
        st.integers(2, 4),
        st.floats(0.1, 2),
        st.floats(0.1, 4),
    )
    def test_interleaved(self, p, groups, v, f, b):
        m = groups * p
        played = run("1f1b", p, m, v, f, b)
        assert played.seconds == pytest.approx(makespan(p, m, v, f, b), rel=1e-9)
        assert played.bubble == pytest.approx((p - 1) / v / (m + (p - 1) / v), abs=1e-9)

    @pytest.mark.parametrize("row", TABLE_1[:4])
    @pytest.mark.parametrize("schedule", ["1f1b", "gpipe"])
    def test_of_published_models(self, row, schedule):
        model, layout = table_1(row)
        if layout.chunks == 1:
            layout = dataclasses.replace(layout, schedule=schedule)
        played = simulate(model, SELENE, layout)
        assert played.seconds == pytest.approx(float(step(model, SELENE, layout).seconds), rel=1e-9)

    def test_16384_devices_are_one_pipeline(self):
        model, layout = presets.find("gpt-1t"), Layout(8, 64, 32, 1, 8192)
        assert layout.devices == 16384
        played = simulate(model, SELENE, layout)
        assert played.seconds == pytest.approx(float(step(model, SELENE, layout).seconds), rel=1e-9)
        assert sum(1 for span in played.spans if span.slot) == 2 * 64 * 256


def test_what_stages_spend_their_time_on():
    """Two stages, two micro-batches, 1F1B: f = b = 1 s, six seconds."""
    played = run("1f1b", 2, 2, 1, 1.0, 1.0)
    forward, backward = played.occupied(6)[0]
    assert forward.tolist() == pytest.approx([1, 1, 0, 0, 0, 0])
    assert backward.tolist() == pytest.approx([0, 0, 0, 1, 0, 1])
    assert played.occupied(3).sum((1, 2)).tolist() == pytest.approx([2, 2])


class TestOrder:
    def test_1f1b_by_hand(self):
        text = "".join(
            "FB"[slot.backward] + str(slot.micro_batch) for slot in order("1f1b", 0, 3, 4, 1)
        )
        assert text == "F0F1F2B0F3B1B2B3"

    def test_interleaved_by_hand(self):
        """Narayanan 2021, figure 4: two stages, two chunks, four micro-batches, the last stage."""
        slots = order("1f1b", 1, 2, 4, 2)
        text = " ".join(f"{'FB'[s.backward]}{s.micro_batch}{'ab'[s.chunk]}" for s in slots)
        assert text == ("F0a F1a F0b B0b F1b B1b F2a B0a F3a B1a F2b B2b F3b B3b B2a B3a")

    @given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
    def test_everything_once(self, p, groups, v):
        for stage in range(p):
            slots = order("1f1b", stage, p, groups * p, v)
            assert len(set(slots)) == len(slots) == 2 * groups * p * v

    def test_one_that_waits_for_itself_is_refused(self):
        wrong = [[Slot(True, 0, 0), Slot(False, 0, 0)]]
        with pytest.raises(ValueError, match="the stages wait for each other"):
            play(wrong, lambda *_: 1.0, lambda *_: (0, 0.0), {})


class TestSharedLinks:
    def test_by_hand(self):
        """Two stages that send at once over one link take twice as long each.

        Two micro-batches, GPipe; a pass computes for 1 s, then sends 1 s worth over the one link.
        Stage 0: F0 0-1, sends to 2; F1 computes 2-3, sends. Stage 1: F0 computes 2-3, sends. From 3
        both share the link: both arrive at 5. Stage 1: F1 5-6, sends to 7; B0 7-8, to 9; then stage
        0's B0 and stage 1's B1 compute 9-10, share the link 10-12; stage 0's B1 12-13, sends to 14.
        """
        orders = [order("gpipe", stage, 2, 2, 1) for stage in range(2)]
        played = play(orders, lambda *_: 1.0, lambda *_: ("one", 1.0), {"one": 1.0})
        ends = {(span.stage, *span.slot[:2]): span.end for span in played.spans}
        assert ends[0, False, 1] == ends[1, False, 0] == pytest.approx(5)
        assert ends[1, True, 0] == pytest.approx(9)
        assert ends[0, True, 0] == ends[1, True, 1] == pytest.approx(12)
        assert played.seconds == pytest.approx(14)

    def test_of_a_step_by_hand(self):
        """Eight stages of one device on nodes of four: only the fourth's and fifth's results leave.

        With one micro-batch nothing overlaps: eight forward and eight backward passes, the logits
        twice, 2 × 6 messages within a node, and 2 with all four ports of one.
        """
        machine = dataclasses.replace(SELENE, links=(Link(4, 300, 3.4), Link(None, 25, 14.0)))
        model, layout = presets.find("gpt-1.7b"), Layout(1, 8, 1, 4, 4)
        slot, message = slots(model, machine, layout), 2 * 4 * 2048 * 2304
        passes = 8 * (slot.forward + slot.backward) + slot.output
        within = 3.4e-6 + message / (0.8 * 300e9)
        beyond = 14e-6 + message / (4 * 0.8 * 25e9)
        played = simulate(model, machine, layout, shared=True)
        assert played.pipeline_seconds == pytest.approx(float(passes) + 12 * within + 2 * beyond)

    @pytest.mark.parametrize("row", TABLE_1[2:4])
    def test_where_stages_fill_nodes_little_changes(self, row):
        model, layout = table_1(row)
        alone, shared = (
            simulate(model, SELENE, layout, shared).seconds for shared in (False, True)
        )
        assert shared == pytest.approx(alone, rel=0.01) and shared <= alone

    def test_links_of_their_own_are_not_shared(self):
        orders = [order("gpipe", stage, 2, 2, 1) for stage in range(2)]
        played = play(orders, lambda *_: 1.0, lambda stage, _: (stage, 1.0), {0: 1.0, 1: 1.0})
        assert played.seconds == pytest.approx(makespan(2, 2, 1, 2, 2))

    def test_one_that_comes_later_slows_what_is_under_way(self):
        links = Links({"a": 2.0})
        links.start("a", 1, 4.0, now=0.0)
        assert links.next("a") == (2.0, 1)
        links.start("a", 2, 4.0, now=1.0)  # 2 are left of the first; from now 1 a second each
        assert links.next("a") == (3.0, 1)
        links.end("a", 1, now=3.0)
        assert links.next("a") == (4.0, 2)


@settings(max_examples=20)
@given(st.integers(2, 5), st.integers(1, 3), st.floats(0, 3))
def test_a_longer_last_stage_is_waited_for(p, groups, more):
    """m v + p - 1 slots, and what the last chunk of the last stage has more, m times."""
    m, v = groups * p, 2
    orders = [order("1f1b", i, p, m, v) for i in range(p)]

    def seconds(stage, slot):
        return 1.0 + slot.backward + more * (stage == p - 1 and slot.chunk == v - 1)

    played = play(orders, seconds, lambda *_: (0, 0.0), {}, v)
    assert played.seconds == pytest.approx((m * v + p - 1) * 3 + m * 2 * more, rel=1e-9)
