import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tfsci import cli
from tfsci.job import examples
from tfsci.training import options

ROOT = Path(__file__).parents[2]
ASK = ["--scheduler", "slurm", "--nodes", "1", "--gpus-per-node", "0", "--time", "01:00"]
ASK += ["--script", "scripts/train_cnn.py"]


@pytest.fixture
def tfsci(capsys, monkeypatch, tmp_path):
    """Runs `tfsci job …` in an empty folder; gives its exit code, output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tfsci"])

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["job", *arguments])
        return end.value.code, *capsys.readouterr()

    return run


class TestCommand:
    def test_help(self, tfsci):
        code, out, err = tfsci("--help")
        assert (code, err) == (0, "")
        assert "--gpus-per-node" in out and max(map(len, out.splitlines())) <= 100

    def test_prints_or_writes(self, tfsci, tmp_path):
        code, printed, err = tfsci(*ASK)
        assert (code, err) == (0, "")
        assert printed.startswith("#!/bin/bash\n#SBATCH -J train_cnn-1x1\n")
        assert tfsci(*ASK, "--output", "my job.sh")[:2] == (
            0, "my job.sh: made; its head says how to submit it\n"
        )  # fmt: skip
        written = (tmp_path / "my job.sh").read_text()
        assert written == printed.replace("sbatch job.sh", "sbatch 'my job.sh'")

    def test_what_was_filled_in_by_hand_stays(self, tfsci, tmp_path):
        for _ in range(2):
            assert tfsci(*ASK, "--output", "a.sh")[0] == 0
        (tmp_path / "a.sh").write_text("mine")
        code, _, err = tfsci(*ASK, "--output", "a.sh")
        assert code == 2
        assert err == (
            "tfsci: error: --output a.sh: is there already; name another file or delete it\n"
        )
        assert (tmp_path / "a.sh").read_text() == "mine"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: --nodes"),
            ([*ASK, "--nodes", "0"], "argument --nodes: expected a whole number above 0, got '0'"),
            ([*ASK, "--gpus-per-node", "-1"], "argument --gpus-per-node: expected a whole number"),
            ([*ASK, "--site", "titan"], "argument --site: invalid choice: 'titan'"),
            ([*ASK, "--output", "no/a.sh"], "no/a.sh: No such file or directory"),
        ],
    )
    def test_an_error_is_one_line(self, tfsci, arguments, message):
        code, out, err = tfsci(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


class TestExamples:
    """The scripts in `scripts/jobs/`; `tfsci.job.examples` says how to make them anew."""

    def test_are_all_of_the_folder(self):
        assert {path.name for path in (ROOT / "scripts" / "jobs").iterdir()} == {*examples.EXAMPLES}

    @pytest.mark.parametrize("name", examples.EXAMPLES)
    def test_are_what_the_command_makes(self, name):
        made = examples.make(name)
        assert (ROOT / "scripts" / "jobs" / name).read_bytes() == made.encode()
        assert subprocess.run(["bash", "-n"], input=made, text=True).returncode == 0
        assert "PROJECT" in made and "/home/" not in made

    @pytest.mark.parametrize("name", examples.EXAMPLES)
    def test_name_options_that_the_script_has(self, name):
        path, *words = shlex.split(examples.EXAMPLES[name][1])
        parser = options.parser("")
        parser.add_argument("--variant")
        assert '"--variant"' in (ROOT / path).read_text()
        parsed = parser.parse_args(words)
        ranks = {"1cpu": 1, "1gpu": 1, "6gpu": 6, "2x4": 8, "2x8": 16}[
            Path(name).stem.rpartition("-")[2]
        ]
        assert parsed.batch_size % ranks == 0
        assert (parsed.strategy == "horovod") == (ranks > 1)
