"""Each lesson is run once, quickly, for all the tests of it."""

import json
import re
import subprocess
import sys

import pytest

from tfsci.lessons import course


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """Runs a lesson with ``--quick`` and returns what it left in ``results.json``."""
    ran = {}

    def run(number):
        if number not in ran:
            output = tmp_path_factory.mktemp("lesson") / number
            command = [sys.executable, course.find(number).path, "--quick", "--output", output]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
            # On a busy machine long work shows how far it is.
            said = re.sub(r"(?m)^.*\[#* *\] +\d+%.*\n", "", ended.stderr)
            assert (ended.returncode, said) == (0, ""), ended.stdout + ended.stderr
            ran[number] = json.loads((output / "results.json").read_text())
            report = (output / "report.md").read_text()
            for figure in ran[number]["figures"]:
                assert (output / figure).stat().st_size > 10_000
                assert f"({figure})" in report
        return ran[number]

    return run


@pytest.fixture
def known(quick):
    """Returns what a lesson found and held to be known of a quantity, by a part of its name."""

    def look(number, what):
        rows = [c for c in quick(number)["claims"] if what in c.get("what", "")]
        assert rows, f"lesson {number} compares no {what!r}"
        return [(row["found"], row["known"]) for row in rows]

    return look
