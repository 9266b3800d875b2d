import json

import pytest

from tfsci.baselines import files

OPTIONS = {"data": "digits", "seed": 0, "jobs": 1, "only": [], "model": {"name": files.MODEL}}


@pytest.fixture
def earlier(tmp_path):
    """A folder with a comparison."""
    (tmp_path / "config.json").write_text(json.dumps({"options": OPTIONS}))
    for name in (*files.WRITTEN, ".baselines.77.png", "notes.txt"):
        (tmp_path / name).write_text("earlier")
    return tmp_path


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_one_with_the_same_settings_makes_room(earlier):
    files.clear(earlier, OPTIONS | {"jobs": 2})
    assert names(earlier) == {"config.json", "notes.txt"}


def test_one_with_other_settings_is_kept(earlier):
    before = names(earlier)
    with pytest.raises(ValueError) as error:
        files.clear(earlier, OPTIONS | {"seed": 1})
    assert str(error.value) == (
        f"--output {earlier}: holds a run with other settings (seed was 0, is 1); name another "
        "folder or delete it"
    )
    assert names(earlier) == before


def test_one_that_was_cut_short_makes_room_for_any(earlier):
    for name in files.WRITTEN:
        (earlier / name).unlink()
    files.clear(earlier, OPTIONS | {"seed": 1})
    assert names(earlier) == {"config.json", "notes.txt"}


def test_a_training_is_left_to_the_run_folder(earlier):
    (earlier / "config.json").write_text('{"options": {"model": {"name": "cnn"}}}')
    for name in ("baselines.csv", "baselines.png"):
        (earlier / name).unlink()
    files.clear(earlier, OPTIONS)
    assert (earlier / "metrics.json").exists()


@pytest.mark.parametrize("config", [None, "[]", "{"])
def test_files_that_are_no_runs_are_kept(earlier, config):
    (earlier / "config.json").unlink()
    if config is not None:
        (earlier / "config.json").write_text(config)
    with pytest.raises(ValueError, match=r"its baselines.png is no run's; name another folder$"):
        files.clear(earlier, OPTIONS)
    assert (earlier / "baselines.csv").read_text() == "earlier"


def test_a_folder_that_is_not_there_yet(tmp_path):
    files.clear(tmp_path / "new", OPTIONS)
    assert not (tmp_path / "new").exists()
