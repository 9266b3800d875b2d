"""Real ranks of real Horovod, against one process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.horovod

RANKS = Path(__file__).with_name("ranks.py")
HOROVODRUN = Path(sys.executable).with_name("horovodrun")


def ranks(number: int, *arguments: str, code: int = 0) -> subprocess.CompletedProcess:
    """Runs ranks.py on so many ranks, or without Horovod on 0."""
    launcher = [HOROVODRUN, "-np", str(number)] if number else []
    result = subprocess.run(
        [*launcher, sys.executable, RANKS, *arguments], capture_output=True, text=True, timeout=240
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights after 20 steps, by number of ranks and kind of training."""
    folder = tmp_path_factory.mktemp("weights")
    for number in (0, 2):
        ranks(number, "train", str(folder / f"{number}.npz"))
    return {number: np.load(folder / f"{number}.npz") for number in (0, 2)}


OPTIMIZERS = ["sgd", "adam", "adamw", "lion", "muon"]
MEANINGS = ["clipnorm", "global_clipnorm", "clipvalue", "accumulation", "accumulation_clipped"]
MEANINGS += ["ema", "embedding", "wide_dense", "regularised", "unused"]
MEANINGS += ["unused_accumulation"]
HALF_PRECISION = ["float16", "float16_overflow", "float16_accumulation"]


class TestOneCurve:
    """The weights after 20 steps on 2 ranks are those of one process."""

    @pytest.mark.parametrize("kind", OPTIMIZERS + MEANINGS)
    def test_weights_equal_those_of_one_process(self, weights, kind):
        assert np.abs(weights[0][kind]).max() > 0.01
        np.testing.assert_allclose(weights[2][kind], weights[0][kind], atol=1e-5)

    @pytest.mark.parametrize("kind", HALF_PRECISION)
    def test_in_half_precision_too_as_far_as_it_rounds(self, weights, kind):
        np.testing.assert_allclose(weights[2][kind], weights[0][kind], atol=2e-3)

    @pytest.mark.parametrize("kind", ["summed", "overlapping", "different_starts"])
    def test_a_broken_variant_is_told_apart(self, weights, kind):
        assert np.abs(weights[2][kind] - weights[0]["sgd"]).max() > 1e-3

    def test_the_right_one_passes_what_the_broken_ones_fail(self, weights):
        assert np.abs(weights[2]["broadcast"] - weights[0]["sgd"]).max() < 1e-5

    def test_losses_and_metrics_are_over_all_ranks(self, weights):
        np.testing.assert_allclose(weights[2]["history"], weights[0]["history"], atol=1e-6)

    def test_fp16_on_the_wire_is_close_and_not_equal(self, weights):
        difference = np.abs(weights[2]["compressed"] - weights[0]["sgd"]).max()
        assert 1e-7 < difference < 1e-2


def test_each_rank_has_dropout_masks_of_its_own_and_the_chief_those_of_one_process(tmp_path):
    for number in (0, 2):
        ranks(number, "masks", str(tmp_path))
    alone, *shared = (
        json.loads((tmp_path / f"{n}.json").read_text()) for n in ("0-0", "2-0", "2-1")
    )
    assert shared[0] == alone
    assert shared[1] != alone


def test_a_saved_model_is_plain_keras(tmp_path):
    ranks(2, "save", str(tmp_path / "model.keras"))
    code = (
        "import sys, keras; model = keras.models.load_model(sys.argv[1]); "
        "print(type(model.optimizer).__module__, 'horovod' in sys.modules, 'tfsci' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.keras"], capture_output=True, text=True
    )
    assert result.stdout.split() == ["keras.src.optimizers.sgd", "False", "False"]


class TestARankFails:
    def test_the_first_error_is_the_last_line_and_the_job_ends(self):
        result = ranks(2, "fail", "error", code=2)
        assert (
            result.stderr.splitlines()[-1] == "[1]<stderr>:ranks.py: error: planted (rank 1 of 2)"
        )
        assert "Traceback" not in result.stderr

    def test_a_fault_of_ours_keeps_its_traceback(self):
        result = ranks(2, "fail", "fault", code=1)
        assert "ZeroDivisionError" in result.stderr.splitlines()[-1]

    def test_a_killed_rank_is_named(self):
        result = ranks(2, "fail", "kill", code=137)
        assert (
            result.stderr.splitlines()[-1] == "horovodrun: rank 1 was killed by signal 9 (SIGKILL)"
        )
