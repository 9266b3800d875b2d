"""Horovod's timeline, autotune, compression and process sets, as docs/horovod.md shows them."""

import json
import os
import re
import subprocess
import sys

import pytest
from digits import BIN, ROOT, SCRIPT

pytestmark = pytest.mark.horovod


def horovodrun(ranks: int, *command: object, **variables: str) -> str:
    """Returns what the ranks print."""
    result = subprocess.run(
        [BIN / "horovodrun", "-np", str(ranks), sys.executable, *map(str, command)],
        env=os.environ | variables, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.mark.slow
def test_timeline_and_autotune_of_a_compressed_training(tmp_path):
    folder, log = tmp_path / "run", tmp_path / "autotune.csv"
    options = ("--epochs", 20, "--quiet", "--horovod-timeline", "--compression", "fp16")
    horovodrun(
        2, SCRIPT, *options, "--output", folder,
        HOROVOD_AUTOTUNE="1", HOROVOD_AUTOTUNE_LOG=str(log),
    )  # fmt: skip
    events = {event.get("name") for event in json.loads((folder / "timeline.json").read_text())}
    assert {"NEGOTIATE_ALLREDUCE", "GLOO_ALLREDUCE", "CYCLE_START"} <= events
    header, *trials = log.read_text().splitlines()
    assert header.endswith("cycle_time_ms,tensor_fusion_threshold,score")
    assert len({trial.split(",")[4] for trial in trials}) > 1  # cycle times were tried


@pytest.mark.slow
def test_the_process_set_of_the_documentation(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/horovod.md").read_text(), re.S)
    (tmp_path / "sets.py").write_text(code)
    printed = horovodrun(3, tmp_path / "sets.py", HOROVOD_DYNAMIC_PROCESS_SETS="1")
    lines = sorted(line.partition(">:")[2] for line in printed.splitlines())
    assert lines == ["rank 0: 2", "rank 2: 2"]  # 0 + 2


def test_a_rank_that_is_about_to_start_when_another_fails_does_not_run(tmp_path):
    (tmp_path / "late.py").write_text(
        "import threading\n"
        "from horovod.runner.common.util.safe_shell_exec import execute\n"
        "if __name__ == '__main__':\n"
        "    failed = threading.Event()\n"
        "    failed.set()\n"
        "    for _ in range(12):\n"
        "        execute('exec 2>/dev/null; (sleep 0.5; echo ran)', index=1, events=[failed])\n"
    )
    result = subprocess.run(
        [sys.executable, tmp_path / "late.py"], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
