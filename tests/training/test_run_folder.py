import json
import math
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.training.run import _finite
from tfsci.training.run_folder import HISTORY_COLUMNS, RunFolder, read_history, replacing

SETTINGS = {
    "options": {"data": "digits", "epochs": 3, "seed": 0, "quiet": False, "model": {"name": "cnn"}},
    "world_size": 1,
}


def having(**options):
    return {**SETTINGS, "options": {**SETTINGS["options"], **options}}


def leave_run(path: Path, finished: bool = True) -> RunFolder:
    """A run as it is left behind, finished or cut short after its first checkpoint."""
    folder = RunFolder(path, SETTINGS)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "step-000000026.npz").touch()
    folder.write_history([{"epoch": 1, "loss": 0.5}])
    if finished:
        for name in ("model.keras", "curves.png"):
            (path / name).touch()
        folder.write_json("metrics.json", {"test_accuracy": 0.75})
    return folder


class TestReplacing:
    def test_the_file_takes_its_place_on_leaving(self, tmp_path):
        path = tmp_path / "model.keras"
        with replacing(path) as temporary:
            temporary.write_text("new")
            assert (temporary.parent, temporary.suffix) == (tmp_path, ".keras")
            assert not path.exists()
        assert path.read_text() == "new"
        assert os.listdir(tmp_path) == ["model.keras"]

    @pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path, error):
        path = tmp_path / "history.csv"
        path.write_text("old")
        with pytest.raises(error), replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise error
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["history.csv"]

    def test_an_error_before_anything_was_written_leaves_nothing(self, tmp_path):
        with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.json"):
            1 / 0  # noqa: B018
        assert os.listdir(tmp_path) == []


class TestFiles:
    def test_config_is_what_was_given(self, tmp_path):
        folder = RunFolder(tmp_path / "a" / "b", SETTINGS)
        assert json.loads((tmp_path / "a/b/config.json").read_text()) == SETTINGS
        assert folder.read_json("config.json") == SETTINGS
        assert os.listdir(folder.path) == ["config.json"]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_json_never_holds_what_is_no_number(self, tmp_path, value):
        folder = RunFolder(tmp_path, SETTINGS)
        folder.write_json("metrics.json", {"loss": 1.0})
        with pytest.raises(ValueError, match="not JSON compliant"):
            folder.write_json("metrics.json", {"loss": value})
        assert folder.read_json("metrics.json") == {"loss": 1.0}
        folder.write_json("metrics.json", {"loss": _finite(value)})
        assert (tmp_path / "metrics.json").read_text() == '{\n  "loss": null\n}\n'

    def test_finite_values_stay_what_they_are(self):
        for value in (0.1, -0.0, 3, None, "single", True, np.float64(0.25)):
            assert _finite(value) is value

    def test_the_model_comes_back(self, tmp_path):
        folder = RunFolder(tmp_path, SETTINGS)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        folder.write_model(model)
        assert sorted(os.listdir(tmp_path)) == ["config.json", "model.keras"]
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


class TestHistory:
    def test_by_hand(self, tmp_path):
        folder = RunFolder(tmp_path, SETTINGS)
        assert folder.read_history() == []
        rows = [{"epoch": 1, "loss": 0.1 + 0.2, "learning_rate": 1e-5}, {"epoch": 2, "loss": 0.0}]
        folder.write_history(rows)
        assert (tmp_path / "history.csv").read_text() == (
            "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,examples_per_second\n"
            "1,0.30000000000000004,,,,1e-05,\n"
            "2,0.0,,,,,\n"
        )
        assert folder.read_history() == rows
        assert isinstance(folder.read_history()[0]["epoch"], int)

    @settings(max_examples=50)
    @given(st.lists(st.dictionaries(st.sampled_from(HISTORY_COLUMNS[1:]), st.floats()), max_size=4))
    def test_every_number_comes_back_to_the_last_bit(self, tmp_path_factory, values):
        folder = RunFolder(tmp_path_factory.mktemp("run"), SETTINGS)
        rows = [{"epoch": epoch, **row} for epoch, row in enumerate(values, 1)]
        folder.write_history(rows)
        got = read_history((folder.path / "history.csv").read_text())

        def bits(rows):
            return [{name: float(value).hex() for name, value in row.items()} for row in rows]

        assert bits(got) == bits(rows)


class TestAnotherRun:
    def test_with_other_settings_is_refused_and_the_key_named(self, tmp_path):
        leave_run(tmp_path)
        for options, text in (
            ({"seed": 1}, "seed was 0, is 1"),
            ({"data": "npz:x"}, "data was 'digits', is 'npz:x'"),
            (
                {"model": {"name": "cnn", "dropout": 0}},
                "model was {'name': 'cnn'}, is {'name': 'cnn', 'dropout': 0}",
            ),
            ({"limit": 100}, "limit was None, is 100"),
        ):
            for resume in (False, True):
                with pytest.raises(ValueError) as error:
                    RunFolder(tmp_path, having(**options), resume)
                assert str(error.value) == (
                    f"--output {tmp_path}: holds a run with other settings ({text}); "
                    "name another folder or delete it"
                )
        assert RunFolder(tmp_path, SETTINGS, resume=True).read_json("config.json") == SETTINGS

    def test_with_the_same_settings_starts_from_nothing(self, tmp_path):
        leave_run(tmp_path)
        RunFolder(tmp_path, SETTINGS)
        assert os.listdir(tmp_path) == ["config.json"]

    @pytest.mark.parametrize("free", ["output", "resume", "quiet", "profile", "strategy"])
    def test_may_differ_in_where_and_how_it_runs(self, tmp_path, free):
        leave_run(tmp_path)
        folder = RunFolder(tmp_path, having(**{free: "another"}))
        assert folder.read_json("config.json")["options"][free] == "another"

    def test_never_loses_one_that_was_cut_short(self, tmp_path):
        leave_run(tmp_path, finished=False)
        with pytest.raises(ValueError) as error:
            RunFolder(tmp_path, SETTINGS)
        assert str(error.value) == (
            f"--output {tmp_path}: holds a run that was cut short; go on with --resume, "
            "name another folder, or delete it"
        )
        folder = RunFolder(tmp_path, SETTINGS, resume=True)
        assert folder.read_history() == [{"epoch": 1, "loss": 0.5}]
        assert os.listdir(folder.checkpoints) == ["step-000000026.npz"]

    def test_before_its_first_epoch_was_done_has_left_nothing_to_keep(self, tmp_path):
        RunFolder(tmp_path, SETTINGS)
        folder = RunFolder(tmp_path, having(seed=1))
        assert folder.read_json("config.json") == having(seed=1)

    def test_before_its_first_checkpoint_may_be_resumed(self, tmp_path):
        RunFolder(tmp_path, SETTINGS)
        folder = RunFolder(tmp_path, SETTINGS, resume=True)
        assert folder.read_json("config.json") == SETTINGS
        with pytest.raises(ValueError, match="seed was 0, is 1"):
            RunFolder(tmp_path, having(seed=1), resume=True)

    def test_with_a_checkpoint_within_its_first_epoch_is_not_lost(self, tmp_path):
        leave_run(tmp_path, finished=False)
        (tmp_path / "history.csv").unlink()
        with pytest.raises(ValueError, match="was cut short; go on with --resume"):
            RunFolder(tmp_path, SETTINGS)

    @pytest.mark.parametrize("resume", [False, True])
    def test_what_a_killed_process_left_half_written_is_swept(self, tmp_path, resume):
        leave_run(tmp_path)
        before = sorted(path.name for path in tmp_path.rglob("*"))
        for name in (".history.123.csv", "checkpoints/.step-000000052.7.npz", ".mine.csv"):
            (tmp_path / name).write_bytes(b"half")
        RunFolder(tmp_path, SETTINGS, resume)
        after = sorted(path.name for path in tmp_path.rglob("*"))
        assert after == sorted([*(before if resume else ["config.json"]), ".mine.csv"])

    def test_resumed_keeps_a_finished_one(self, tmp_path):
        leave_run(tmp_path)
        before = sorted(os.listdir(tmp_path))
        RunFolder(tmp_path, SETTINGS, resume=True)
        assert sorted(os.listdir(tmp_path)) == before


class TestFolder:
    def test_there_is_nothing_to_resume(self, tmp_path):
        with pytest.raises(ValueError) as error:
            RunFolder(tmp_path, SETTINGS, resume=True)
        assert str(error.value) == f"--resume: {tmp_path} holds no run; leave --resume out"

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ValueError) as error:
            RunFolder(tmp_path / "file", SETTINGS)
        assert str(error.value) == f"--output {tmp_path / 'file'}: is a file; name a folder"
        with pytest.raises(OSError) as error:
            RunFolder(tmp_path / "file" / "below", SETTINGS)
        assert str(error.value) == (
            f"--output {tmp_path / 'file' / 'below'}: can't write there (Not a directory); "
            "name another folder"
        )
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "{}",
            '{"other": 1}',
            "3",
            "\N{BOM}{}",
            '{"options": null}',
            '{"options": ["a"]}',
            '{"options": {"model": "cnn"}}',
        ],
    )
    @pytest.mark.parametrize("resume", [False, True])
    def test_a_foreign_config_is_refused_and_kept(self, tmp_path, text, resume):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError) as error:
            RunFolder(tmp_path, SETTINGS, resume)
        assert str(error.value) == (
            f"--output {tmp_path}: its config.json is no run's; name another folder"
        )
        assert (tmp_path / "config.json").read_text() == text

    @pytest.mark.parametrize(
        "name", ["checkpoints/mine.npz", "model.keras", "metrics.json", "history.csv"]
    )
    def test_files_that_no_run_of_ours_left_are_kept(self, tmp_path, name):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        with pytest.raises(ValueError) as error:
            RunFolder(tmp_path, SETTINGS)
        assert str(error.value) == (
            f"--output {tmp_path}: its {name.partition('/')[0]} is no run's; name another folder"
        )
        assert path.read_text() == "mine"

    def test_files_of_other_names_do_not_matter(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        for _ in range(2):
            RunFolder(tmp_path, SETTINGS)
        assert sorted(os.listdir(tmp_path)) == ["config.json", "notes.txt"]

    def test_a_path_where_nobody_can_write_is_refused(self):
        path = Path("/proc/tfsci/run")
        if not Path("/proc/self").exists():
            pytest.skip("no /proc")
        with pytest.raises(OSError) as error:
            RunFolder(path, SETTINGS)
        assert str(error.value).startswith(f"--output {path}: can't write there (")
        assert str(error.value).endswith("); name another folder")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_of_others_is_refused(self, tmp_path):
        tmp_path.chmod(0o555)
        with pytest.raises(PermissionError) as error:
            RunFolder(tmp_path, SETTINGS)
        assert str(error.value) == (
            f"--output {tmp_path}: can't write there (Permission denied); name another folder"
        )
