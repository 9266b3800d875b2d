import errno
import os
import threading

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.training import checkpoint
from tfsci.training.checkpoint import Position


def built(units: int = 3, optimizer: str = "adam", dropout: float = 0.5) -> keras.Model:
    layers = [keras.layers.Dropout(dropout), keras.layers.Dense(units)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(optimizer, keras.losses.MeanSquaredError())
    return model


def trained(steps: int = 3) -> keras.Model:
    """A model whose weights, seed and optimizer have moved."""
    model = built()
    for _ in range(steps):
        model.train_on_batch(np.ones((4, 2)), np.ones((4, 3)))
    return model


def state(model: keras.Model) -> list[np.ndarray]:
    model.optimizer.build(model.trainable_variables)
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


def save(folder, model, step: int) -> None:
    writer = checkpoint.Writer(folder)
    writer.save(model, Position(step, [{"epoch": 1, "loss": 0.1}], [[2.0, 3.0]]))
    writer.wait()


def same(left, right) -> bool:
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(left, right, strict=True)
    )


class TestRoundTrip:
    def test_every_variable_comes_back_exactly(self, tmp_path):
        model = trained()
        assert model.optimizer.iterations.numpy() == 3
        save(tmp_path / "checkpoints", model, 3)
        other = built()
        assert not same(state(other), state(model))
        assert checkpoint.restore_latest(tmp_path / "checkpoints", other).step == 3
        assert same(state(other), state(model))

    def test_the_training_goes_on_as_if_never_interrupted(self, tmp_path):
        model = trained()
        save(tmp_path, model, 3)
        other = built()
        checkpoint.restore_latest(tmp_path, other)
        for each in (model, other):
            each.train_on_batch(np.ones((4, 2)), np.ones((4, 3)))
        assert same(state(other), state(model))

    def test_there_is_none(self, tmp_path):
        model = built()
        before = state(model)
        assert checkpoint.restore_latest(tmp_path, model) is None
        assert checkpoint.restore_latest(tmp_path / "missing", model) is None
        assert same(state(model), before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("whole"), trained()
    save(folder, model, 7)
    path = folder / "step-000000007.npz"
    return path, path.read_bytes(), state(model), model


def set_to_zero(model: keras.Model) -> None:
    for variable in (*model.variables, *model.optimizer.variables):
        variable.assign(np.zeros(variable.shape))


class TestNewest:
    def test_two_are_kept_and_nothing_else_is_left(self, tmp_path):
        model = built()
        for step in (90, 100, 1000):
            save(tmp_path, model, step)
        assert sorted(os.listdir(tmp_path)) == ["step-000000100.npz", "step-000001000.npz"]
        assert checkpoint.restore_latest(tmp_path, model).step == 1000

    @pytest.mark.parametrize("keep", [0, 1, 100, -1])
    def test_a_truncated_one_is_passed_over(self, tmp_path, capsys, keep):
        old, new = trained(1), trained(2)
        save(tmp_path, old, 10)
        save(tmp_path, new, 20)
        path = tmp_path / "step-000000020.npz"
        path.write_bytes(path.read_bytes()[:keep])
        model = built()
        assert checkpoint.restore_latest(tmp_path, model).step == 10
        assert same(state(model), state(old))
        assert capsys.readouterr().out == (f"{path} is damaged and passed over\n")

    def test_what_a_killed_process_left_is_not_one(self, tmp_path):
        (tmp_path / ".step-000000030.123.npz").write_bytes(b"half")
        assert checkpoint.restore_latest(tmp_path, built()) is None

    @pytest.mark.parametrize(
        ("field", "place", "bit"),
        [("version", 6, 6), ("encrypted", 8, 0), ("patched", 8, 5), ("compression", 10, 1)],
    )
    def test_a_flipped_bit_in_the_zips_directory_is_found(self, whole, capsys, field, place, bit):
        path, content, _, model = whole
        flipped = bytearray(content)
        flipped[content.index(b"PK\1\2") + place] ^= 1 << bit
        path.write_bytes(flipped)
        assert checkpoint.restore_latest(path.parent, model) is None
        assert "is damaged" in capsys.readouterr().out

    @settings(max_examples=100)
    @given(st.data())
    def test_any_flipped_bit_is_found_or_harmless(self, whole, data):
        path, content, saved, model = whole
        flipped = bytearray(content)
        place = data.draw(st.integers(0, len(content) - 1), label="place")
        flipped[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
        path.write_bytes(flipped)
        set_to_zero(model)
        before = state(model)
        try:
            position = checkpoint.restore_latest(path.parent, model)
        except ValueError as error:  # the bit is in the name of an array
            assert "is of another model" in str(error)
            position = None
        assert position in (None, Position(7, [{"epoch": 1, "loss": 0.1}], [[2.0, 3.0]]))
        assert same(state(model), saved if position else before)


class TestWriter:
    def test_the_copy_is_taken_before_save_returns(self, tmp_path, monkeypatch):
        """What the next step does to the variables is not in the file."""
        model, go = trained(), threading.Event()
        before, write = state(model), checkpoint.write
        monkeypatch.setattr(checkpoint, "write", lambda *a: go.wait(30) and write(*a))
        writer = checkpoint.Writer(tmp_path / "checkpoints")
        writer.save(model, Position(3))
        set_to_zero(model)
        go.set()
        writer.wait()
        assert checkpoint.restore_latest(tmp_path / "checkpoints", model) == Position(3, [], [])
        assert same(state(model), before)

    def test_a_full_disk_is_told_and_the_one_before_is_whole(self, tmp_path, monkeypatch):
        folder, model = tmp_path / "checkpoints", trained()
        save(folder, model, 3)
        before = state(model)

        def full(file, **arrays):
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(np, "savez", full)
        writer = checkpoint.Writer(folder)
        writer.save(model, Position(4))
        with pytest.raises(OSError) as error:
            writer.save(model, Position(5))
        assert str(error.value) == (
            f"{folder}: the checkpoint of step 4 can't be written (No space left on device); make "
            "room and go on with --resume from the one before"
        )
        assert os.listdir(folder) == ["step-000000003.npz"]
        assert checkpoint.restore_latest(folder, model).step == 3
        assert same(state(model), before)


class TestAnotherModel:
    @pytest.mark.parametrize("options", [{"units": 4}, {"optimizer": "sgd"}, {"dropout": 0.0}])
    def test_is_refused_and_left_alone(self, tmp_path, options):
        save(tmp_path, trained(), 3)
        model = built(**{"units": 3, **options})
        before = state(model)
        with pytest.raises(ValueError) as error:
            checkpoint.restore_latest(tmp_path, model)
        assert str(error.value) == (
            f"{tmp_path / 'step-000000003.npz'} is of another model; name another --output"
        )
        assert same(state(model), before)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class TestPickle:
    @pytest.fixture
    def planted(self, tmp_path):
        model, path = trained(), tmp_path / "checkpoints" / "step-000000003.npz"
        save(path.parent, model, 3)
        with np.load(path) as file:
            arrays = dict(file)
        arrays["model00000"] = np.array([Trap(tmp_path / "sprung")], dtype=object)
        np.savez(path, **arrays)
        return path, tmp_path / "sprung"

    def test_is_never_unpickled(self, planted, capsys):
        path, sprung = planted
        model = built()
        before = state(model)
        assert checkpoint.restore_latest(path.parent, model) is None
        assert not sprung.exists()
        assert same(state(model), before)
        assert capsys.readouterr().out.startswith(f"{path} is damaged")

    @pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_the_trap_works(self, planted):
        path, sprung = planted
        with np.load(path, allow_pickle=True) as file:
            file["model00000"][0].close()
        assert sprung.exists()
