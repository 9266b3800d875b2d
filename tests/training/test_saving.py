"""A training that is cut at any step and goes on is the training that was never cut."""

import os
import signal
import threading

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.data import pipeline
from tfsci.data.source import Split
from tfsci.distributed.strategy import Strategy
from tfsci.training import checkpoint, fit
from tfsci.training.callbacks import History
from tfsci.training.checkpoint import Position, Writer
from tfsci.training.interrupts import Interrupted, Interrupts
from tfsci.training.run_folder import RunFolder
from tfsci.training.saving import Checkpoints
from tfsci.training.schedules import schedule

BATCH, STEPS, EPOCHS = 8, 5, 3  # 40 samples
SETTINGS = {"options": {"model": {"name": "cnn"}}}


def network(accumulate: int | None = None) -> keras.Model:
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dropout(0.4), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(
        keras.optimizers.AdamW(0.01, gradient_accumulation_steps=accumulate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)
    return model


def split() -> Split:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(BATCH * STEPS, 4)).astype("float32")
    return Split(x, generator.integers(3, size=len(x)).astype("int32"))


class HorovodInternalError(Exception):
    __module__ = "horovod.common.exceptions"


class AskAt(keras.callbacks.Callback):
    """Asks all processes for something before a step, counted from 1 over all epochs."""

    def __init__(self, strategy, step, request):
        super().__init__()
        self._strategy, self._step, self._request = strategy, step, request

    def on_train_batch_begin(self, batch, logs=None):
        self._step -= 1
        if self._step == 0:
            self._strategy.ask(self._request)


def train(path, resume=False, accumulate=None, ask=None):
    """Trains in a run folder; returns the history and all variables."""
    model, strategy = network(accumulate), Strategy()
    folder = RunFolder(path, SETTINGS, resume)
    position = checkpoint.restore_latest(folder.checkpoints, model) if resume else None
    position = position or Position()
    batches = pipeline.training(split(), BATCH, seed=1, first_step=position.step)
    history = History(folder, position.history)
    saving = Checkpoints(
        batches.steps, EPOCHS, position.step, strategy, Interrupts(strategy), history,
        Writer(folder.checkpoints),
    )  # fmt: skip
    asking = [AskAt(strategy, *ask)] if ask else []
    validation = pipeline.evaluation(split(), BATCH)
    rate = schedule(0.01, EPOCHS * STEPS, decay="cosine")
    fit(model, batches, EPOCHS, validation, strategy, rate, position.step, position.metrics,
        [*asking, history, saving])  # fmt: skip
    rows = [[row[k] for k in ("loss", "accuracy", "val_loss")] for row in history.rows]
    return np.array(rows), [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return {n: train(path / str(n), accumulate=n) for n in (None, 2)}


def assert_same(run, whole):
    np.testing.assert_allclose(run[0], whole[0], rtol=1e-6)
    for mine, known in zip(run[1], whole[1], strict=True):
        np.testing.assert_array_equal(mine, known)


class TestCut:
    @settings(max_examples=8)
    @given(step=st.integers(1, EPOCHS * STEPS - 1), accumulate=st.sampled_from([None, 2]))
    def test_at_any_step_goes_on_to_the_same_bits(self, whole, tmp_path_factory, step, accumulate):
        path = tmp_path_factory.mktemp("cut") / "run"
        stop = step + step % (accumulate or 1)  # no gradients are left over there
        if stop < EPOCHS * STEPS:
            with pytest.raises(Interrupted, match=f"stopped by SIGTERM after step {stop} of 15 "):
                train(path, accumulate=accumulate, ask=(step, "SIGTERM"))
            assert f"step-{stop:09d}.npz" in os.listdir(path / "checkpoints")
            assert_same(train(path, resume=True, accumulate=accumulate), whole[accumulate])

    def test_at_the_end_just_ends(self, whole, tmp_path):
        assert_same(train(tmp_path, ask=(EPOCHS * STEPS, "SIGTERM")), whole[None])

    def test_twice(self, whole, tmp_path):
        for step in (3, 4):
            with pytest.raises(Interrupted, match=r"\(epoch [12]\)"):
                train(tmp_path, resume=step > 3, ask=(step, "time limit"))
        assert_same(train(tmp_path, resume=True), whole[None])


class TestSave:
    def test_asked_for_within_an_epoch_goes_on(self, whole, tmp_path):
        """The newest checkpoint gone, the one within the last epoch serves."""
        assert_same(train(tmp_path, ask=(13, "save")), whole[None])
        names = sorted(os.listdir(tmp_path / "checkpoints"))
        assert names == ["step-000000013.npz", "step-000000015.npz"]
        (tmp_path / "checkpoints" / names[1]).unlink()
        assert_same(train(tmp_path, resume=True), whole[None])


class TestInterrupts:
    """The clock is a list of times."""

    @staticmethod
    def asked(interrupts, strategy):
        interrupts.ask()
        asked = strategy.asked()
        strategy.answered()
        return asked

    def test_by_the_clock(self):
        now, strategy = [0.0], Strategy()
        interrupts = Interrupts(strategy, 25, 10, start=-5.0, clock=lambda: now[0])
        heard = []
        for now[0] in (0, 9, 10, 11, 19, 20, 21):
            heard.append(self.asked(interrupts, strategy))
        assert heard == [set(), set(), {"save"}, set(), set(), {"save", "time limit"}, set()]

    def test_another_checkpoint_starts_the_time_anew(self):
        now, strategy = [0.0], Strategy()
        interrupts = Interrupts(strategy, None, 10, clock=lambda: now[0])
        now[0] = 9
        interrupts.saved()
        now[0] = 18
        assert self.asked(interrupts, strategy) == set()

    def test_only_the_chiefs_clock_counts(self):
        strategy = Strategy()
        strategy.rank = 1
        assert self.asked(Interrupts(strategy, 1, 1, start=-9, clock=lambda: 9), strategy) == set()

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
    def test_a_signal_asks_once(self, name):
        strategy, before = Strategy(), signal.getsignal(getattr(signal, name))
        with Interrupts(strategy) as interrupts:
            signal.raise_signal(getattr(signal, name))
            assert [self.asked(interrupts, strategy) for _ in "ab"] == [{name}, set()]
        assert signal.getsignal(getattr(signal, name)) is before

    @pytest.fixture
    def heard(self):
        """Has SIGINT heard, which what a shell starts in the background ignores."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_the_second_one_stops_at_once(self, heard):
        with Interrupts(Strategy()), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    def test_a_repeated_warning_does_not(self):
        strategy = Strategy()
        with Interrupts(strategy) as interrupts:
            for _ in range(3):
                signal.raise_signal(signal.SIGUSR1)
            assert self.asked(interrupts, strategy) == {"SIGUSR1"}

    @pytest.mark.parametrize(
        ("error", "acts"),
        [(HorovodInternalError("shut down"), True), (OSError("disk full"), False)],
    )
    def test_a_signal_acts_where_there_is_nobody_left_to_save_with(self, error, acts):
        """The launcher's signal comes just before the error by which a rank learns of the end."""
        came = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
        try:
            with pytest.raises(type(error)), Interrupts(Strategy()):
                signal.raise_signal(signal.SIGTERM)
                raise error
        finally:
            signal.signal(signal.SIGTERM, before)
        assert came == [signal.SIGTERM] * acts

    def test_outside_the_main_thread_there_are_no_signals(self):
        entered = []

        def enter():
            with Interrupts(Strategy()):
                entered.append(True)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert entered
