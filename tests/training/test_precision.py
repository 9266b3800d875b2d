"""Each precision trains; a strategy changes nothing but the order of sums."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import replicas

from tfsci.distributed.strategy import Strategy

SCRIPT = Path(__file__).parent / "replicas.py"
# How far a loss near 0.7 or 1.6 may be from float32's after three steps: float16 has 11 bits and
# may skip the first steps, bfloat16 has 8.
APART = {"float32": 1e-5, "mixed_float16": 0.1, "mixed_bfloat16": 0.1}
CASES = ["gpt/float32", "accumulated", "overflow", "cnn/mixed_float16"]
MATRIX = [f"{model}/{precision}" for model in replicas.MODELS for precision in APART]
STRATEGIES = ["mirrored", "multiworker", pytest.param("horovod", marks=pytest.mark.horovod)]


@pytest.fixture(autouse=True)
def _float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def float32():
    """Losses of one process, by model."""
    known = {}

    def losses(model):
        if model not in known:
            known[model] = replicas.train(Strategy(), model)
        return known[model]

    return losses


def under(strategy: str, cases: list[str]) -> dict[str, object]:
    """Runs cases on two replicas; returns what the chief prints."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    ranks = [{}]
    if strategy not in ("single", "mirrored"):
        ranks = [{"RANK": r, "WORLD_SIZE": "2", "TFSCI_PORT": port} for r in "01"]
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, strategy, *cases], env=os.environ | environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for environ in ranks
    ]  # fmt: skip
    try:
        printed = [process.communicate(timeout=900) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(ranks), printed
    return json.loads(printed[0][0].splitlines()[-1])


@pytest.mark.parametrize(
    "precision", [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"]
)
@pytest.mark.parametrize("model", ["cnn", "gpt"])
def test_half_precision_is_near_float32(model, precision, float32):
    losses = replicas.train(Strategy(), model, precision=precision)
    assert losses == pytest.approx(float32(model), abs=APART[precision])


@pytest.fixture(scope="module")
def one_process():
    """What one process gives, of every model in every precision."""
    return under("single", MATRIX)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_model_in_every_precision(strategy, one_process):
    results = under(strategy, MATRIX)
    for case in MATRIX:
        model, _, precision = case.partition("/")
        exact = 2e-5 if precision == "float32" else 0.1
        if model == "vae":  # each replica draws noise of its own
            exact = 0.1
        assert results[case] == pytest.approx(one_process[case], abs=exact), case
        assert results[case] == pytest.approx(one_process[f"{model}/float32"], abs=0.2), case


def check_overflow(result: dict) -> None:
    """The first step is skipped by all and halves 2¹⁵; the second is a step like any other."""
    first, second = [0.0, 2.0**14, 0.0], [pytest.approx(0.1 * 0.1 / 2, rel=1e-3), 2.0**14, 1.0]
    assert all(steps == [first, second] for steps in result["of_every_rank"])


def test_a_step_with_an_infinite_gradient_is_skipped():
    check_overflow(replicas.overflow(Strategy()))


@pytest.mark.parametrize(
    "strategy",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mirrored", "multiworker")),
        pytest.param("horovod", marks=[pytest.mark.slow, pytest.mark.horovod]),
    ],
)
def test_two_replicas_are_one_process(strategy, float32):
    results = under(strategy, CASES)
    assert results["gpt/float32"] == pytest.approx(float32("gpt"), abs=1e-6)
    assert results["accumulated"] == pytest.approx(float32("gpt"), abs=1e-6)
    check_overflow(results["overflow"])
    assert results["cnn/mixed_float16"] == pytest.approx(float32("cnn"), abs=0.1)
