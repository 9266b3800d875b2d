"""A link between the ranks that is slow: what Gloo sends is held back on its way to the kernel."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import shims

pytestmark = [pytest.mark.slow, pytest.mark.horovod]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

# Gloo sends by writev alone (transport/tcp/pair.cc). A call of n bytes takes n / LINK_RATE seconds
# longer; the messages by which ranks agree are small, and pass at once.
SHIM = r"""
ssize_t writev(int file, const struct iovec *from, int count) {
    static ssize_t (*next)(int, const struct iovec *, int);
    if (!next) next = dlsym(RTLD_NEXT, "writev");
    ssize_t sent = next(file, from, count);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (sent < 4096 || getsockname(file, (struct sockaddr *)&address, &length)) return sent;
    if (address.ss_family != AF_INET) return sent;
    double seconds = sent / atof(getenv("LINK_RATE"));
    struct timespec rest = {seconds, (seconds - (long)seconds) * 1e9};
    nanosleep(&rest, 0);
    return sent;
}
"""

RATE = 5e6  # bytes a second
BATCH = 16
# All of this model's gradients are all-reduced, in one message.
MODEL = [ROOT / "scripts/train_gpt.py", "--num-layers", "2", "--context-length", "64"]
COMMON = ["--data", "sequences:length=64", "--epochs", "1", "--limit", "1000", "--output", "run"]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains on two ranks; returns what the profiler found, where it is asked, and the metrics."""
    shim = shims.build(tmp_path_factory.mktemp("shim"), SHIM)

    def run(*options, link=True, profile=False):
        folder = tmp_path_factory.mktemp("run")
        preload = ["env", f"LD_PRELOAD={shim}", f"LINK_RATE={RATE}"] if link else []
        under = ["-m", "tfsci.profile", "--json", "found.json"] if profile else []
        command = [BIN / "horovodrun", "-np", "2", *preload, sys.executable, *under, *MODEL]
        result = subprocess.run(
            [*map(str, command), *COMMON, *options], capture_output=True, text=True, timeout=200,
            cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        found = json.loads((folder / "found.json").read_text()) if profile else {}
        metrics = json.loads((folder / "run/metrics.json").read_text())
        return SimpleNamespace(**metrics, found=found)

    return run


@pytest.fixture(scope="module")
def slow(train):
    return train("--batch-size", str(BATCH), profile=True)


def test_the_all_reduce_is_named_and_takes_what_its_bytes_do(slow):
    found = slow.found
    assert found["verdict"] == "communication-bound"
    assert "waits for the all-reduce" in found["answer"]
    # A ring of two ranks: each sends half of the gradient to be added up, half of the sum.
    seconds = 4 * slow.parameters / RATE
    assert found["breakdown"]["communication"] == pytest.approx(seconds, rel=0.15)
    assert [rank["slow_part"] for rank in found["ranks"]] == ["", ""]


def test_on_a_fast_link_it_is_not(train):
    # For longer, so that the steps that are traced are the training's.
    options = ["--batch-size", str(BATCH), "--limit", "7000"]
    found = train(*options, link=False, profile=True).found
    assert found["verdict"] != "communication-bound"
    assert 0 < found["breakdown"]["communication"] < 0.5 * found["step_seconds"]


@pytest.mark.parametrize(
    ("advice", "options"),
    [
        (".batch(2 * batch_size)", ["--batch-size", str(2 * BATCH)]),
        ("--accumulate 2", ["--batch-size", str(BATCH), "--accumulate", "2"]),
        ("--compression fp16", ["--batch-size", str(BATCH), "--compression", "fp16"]),
    ],
)
def test_what_is_advised_gains_what_is_predicted(slow, train, advice, options):
    (change,) = (each for each in slow.found["changes"] if advice in each["where"])
    predicted = BATCH / slow.found["step_seconds"] * change["predicted_speedup"]
    gained = train(*options).examples_per_second / predicted
    assert 0.85 <= gained <= 1.15, (gained, change)
    assert gained <= 1.05 or change["qualifier"] != "at most"
