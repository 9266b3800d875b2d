import json

import pytest

from tfsci.baselines import trained
from tfsci.data import catalog

DIGITS = catalog.load("digits")


@pytest.fixture
def run(tmp_path):
    """Makes the run folder of a training."""

    def make(folder="run", data="digits", limit=None, metrics=None, **model):
        folder = tmp_path / folder
        folder.mkdir()
        model = {"name": "cnn", "variant": "small", "dropout": None, **model}
        config = {"options": {"data": data, "limit": limit, "model": model}}
        (folder / "config.json").write_text(json.dumps(config))
        metrics = {"test_accuracy": 0.9, "known_answer": None} if metrics is None else metrics
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return make


def refused(folder, source=DIGITS, limit=None):
    with pytest.raises(ValueError) as error:
        trained.read_all([folder], source, limit)
    told = str(error.value)
    assert told.startswith(f"--compare {folder}: ") and "\n" not in told
    return told.removeprefix(f"--compare {folder}: ")


def test_its_test_score_and_sampling_error(run):
    (found,) = trained.read_all([run()], DIGITS)
    assert (found.title, found.measure, found.test) == ("cnn small", "accuracy", 0.9)
    assert found.test_standard_error == pytest.approx((0.9 * 0.1 / 179) ** 0.5)


def test_two_of_one_name_are_told_apart_by_their_folders(run):
    folders = [run("a"), run("b"), run("c", name="resnet", variant="18")]
    found = trained.read_all(folders, DIGITS)
    assert [each.title for each in found] == ["cnn small (a)", "cnn small (b)", "resnet 18"]


def test_a_spec_may_be_written_in_several_ways(run):
    source = catalog.load("damage:2,size=16", limit=20)
    folder = run(data="damage:size=16,classes=2", limit=20)
    assert trained.read_all([folder], source, 20)[0].test == 0.9


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": "ising"}, "--data ising); expected --data digits, as here"),
        ({"data": "synthetic"}, "--data synthetic); expected --data digits, as here"),
        ({"limit": 500}, "--data digits --limit 500); expected --data digits, as here"),
    ],
)
def test_other_data_are_refused(run, given, words):
    assert refused(run(**given)) == f"trained on other data ({words}"


def test_other_options_of_the_same_set_are_other_data(run):
    source = catalog.load("ising:size=8,sweeps=2", limit=20)
    assert refused(run(data="ising:size=8", limit=20), source, 20).startswith("trained on other")


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"test_loss": 2.0}, "its metrics.json has no test_accuracy"),
        ({"test_accuracy": None}, "its metrics.json has no test_accuracy"),
        ({"test_accuracy": "0.9"}, "its metrics.json has no test_accuracy"),
        ({"test_accuracy": float("nan")}, "its metrics.json has no test_accuracy"),
        ([1], "its metrics.json has no test_accuracy"),
        ({"test_accuracy": 90}, "test_accuracy 90: expected 0 to 1"),
    ],
)
def test_metrics_that_say_nothing(run, metrics, words):
    assert refused(run(metrics=metrics)) == words


def test_folders_that_hold_no_finished_training(run, tmp_path):
    assert refused(tmp_path / "none").startswith("no config.json (No such file or directory); ")
    folder = run()
    (folder / "metrics.json").unlink()
    assert refused(folder).startswith("no metrics.json (")
    (folder / "metrics.json").write_text("{")
    assert refused(folder) == "its metrics.json is no JSON"


@pytest.mark.parametrize("config", ["[]", "{}", '{"options": 3}', '{"options": {"data": "no"}}'])
def test_a_config_that_is_none(run, config):
    folder = run()
    (folder / "config.json").write_text(config)
    assert refused(folder) == "its config.json is no training's"
