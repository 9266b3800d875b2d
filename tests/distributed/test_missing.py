"""Who is missing, judged with a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.distributed.missing import Roll, rank_timeout, set_bounds


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def told(roll, clock, seconds, ranks, doing="training step 8", step=1.0):
    """Lets time go by while ranks tell how many exchanges they have entered."""
    for _ in range(round(seconds / step)):
        clock.now += step
        for rank, exchanges in ranks.items():
            roll.note(rank, doing, exchanges)
        if found := roll.missing():
            return found
    return None


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def roll(clock):
    roll = Roll(20, clock)
    for rank, host in enumerate(("a", "a", "b", "b")):
        roll.join(rank, host)
    return roll


class TestRoll:
    def test_ranks_that_move_together_are_never_missing(self, roll, clock):
        for exchanges in range(50):
            assert told(roll, clock, 4, dict.fromkeys(range(4), exchanges)) is None

    def test_equal_waits_name_nobody(self, roll, clock):
        assert told(roll, clock, 10_000, dict.fromkeys(range(4), 7)) is None

    def test_the_one_that_the_others_wait_for_hangs(self, roll, clock):
        for exchanges in range(1, 8):
            told(roll, clock, 1, dict.fromkeys(range(4), exchanges))
        found = told(roll, clock, 60, {0: 8, 1: 8, 2: 7, 3: 8})
        assert found.ranks == (2,)
        assert found.message.startswith("rank 2 on host b hangs in training step 8: the others")
        assert found.message.endswith("for the gradients of training step 8")
        assert 20 < clock.now - 107 < 30

    def test_who_needs_as_long_as_the_others_did_is_waited_for(self, roll, clock):
        told(roll, clock, 1, dict.fromkeys(range(4), 1))
        told(roll, clock, 120, dict.fromkeys(range(4), 1))  # all compile
        assert told(roll, clock, 240, {0: 2, 1: 2, 2: 1, 3: 2}) is None
        assert told(roll, clock, 60, {0: 2, 1: 2, 2: 1, 3: 2}).ranks == (2,)

    def test_a_chief_that_writes_is_waited_for_longer(self, roll, clock):
        told(roll, clock, 1, dict.fromkeys(range(4), 1))
        late = {0: 1, 1: 2, 2: 2, 3: 2}
        assert told(roll, clock, 180, late, "saving after epoch 1") is None
        assert told(roll, clock, 60, late, "saving after epoch 1").ranks == (0,)

    def test_silent_ranks_are_named_together(self, roll, clock):
        found = told(roll, clock, 60, {0: 1, 1: 1})
        assert found.ranks == (2, 3)
        assert found.message.startswith("ranks 2-3 on host b went silent in start-up: no sign")

    def test_a_node_that_is_gone_takes_its_ranks_along(self, roll, clock):
        roll.end(3, "gone")
        assert roll.missing() is None
        roll.end(2, "gone")
        found = told(roll, clock, 3, {0: 1, 1: 1})
        assert found.message == "ranks 2-3 on host b ended without a word in start-up"

    def test_who_fails_has_time_to_tell_why(self, roll, clock):
        roll.end(1, "ValueError: planted")
        assert told(roll, clock, 4, dict.fromkeys((0, 2, 3), 1)) is None
        found = told(roll, clock, 4, dict.fromkeys((0, 2, 3), 1))
        assert found.message == "rank 1 on host a failed in start-up: ValueError: planted"

    def test_who_left_is_not_missed(self, roll, clock):
        for rank in (1, 2, 3):
            roll.end(rank, "left")
        assert told(roll, clock, 1000, {0: 1}) is None

    def test_a_pause_of_the_judge_is_no_silence_of_the_others(self, roll, clock):
        clock.now += 3600
        assert roll.missing() is None
        assert told(roll, clock, 15, {}) is None

    @given(
        entered=st.lists(st.integers(0, 3), min_size=4, max_size=4),
        seconds=st.integers(100, 400),
    )
    def test_only_ranks_that_have_entered_fewest_hang(self, entered, seconds):
        clock = Clock()
        roll = Roll(20, clock)
        for rank in range(4):
            roll.join(rank, "a")
        found = told(roll, clock, seconds, dict(enumerate(entered)))
        late = tuple(r for r in range(4) if entered[r] == min(entered))
        assert found is None if len(late) == 4 else found.ranks == late


class TestBounds:
    def test_horovod_waits_longer_than_the_watch(self):
        environ = {"TFSCI_RANK_TIMEOUT": "90"}
        set_bounds(environ)
        assert float(environ["HOROVOD_GLOO_TIMEOUT_SECONDS"]) >= 90
        assert float(environ["HOROVOD_STALL_CHECK_TIME_SECONDS"]) >= 90

    def test_what_the_user_sets_stays(self):
        environ = {"HOROVOD_GLOO_TIMEOUT_SECONDS": "7"}
        set_bounds(environ)
        assert environ["HOROVOD_GLOO_TIMEOUT_SECONDS"] == "7"
        assert rank_timeout(environ) == 30

    @pytest.mark.parametrize("text", ["", "soon", "0", "nan", "-5", "inf"])
    def test_nonsense_is_refused(self, text):
        with pytest.raises(ValueError, match="expected a number of seconds from 3 up"):
            rank_timeout({"TFSCI_RANK_TIMEOUT": text})
