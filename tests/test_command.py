import os
import subprocess
import sys

import pytest

from tfsci import cli

RAISE = "from tfsci import command\ndef main(): {}\ncommand.run(main)"


def run(code: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environ
    )


class TestHowACommandEnds:
    @pytest.mark.parametrize(
        ("statement", "code", "line"),
        [
            ("raise ValueError('batch\\n  of 3')", 2, "-c: error: batch of 3"),
            ("open('/nowhere/x')", 2, "-c: error: /nowhere/x: No such file or directory"),
            ("import nothing", 2, "-c: error: No module named 'nothing'"),
            ("raise FloatingPointError('loss')", 2, "-c: error: loss"),
            ("raise KeyboardInterrupt", 130, "interrupted"),
            ("raise SystemExit(7)", 7, ""),
            ("pass", 0, ""),
        ],
    )
    def test_one_line_and_an_exit_code(self, statement, code, line):
        result = run(RAISE.format(statement))
        assert (result.returncode, result.stderr.strip()) == (code, line)

    def test_a_fault_of_ours_keeps_its_traceback(self):
        result = run(RAISE.format("1 / 0"))
        assert result.returncode == 1
        assert result.stderr.startswith("Traceback")
        assert result.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"

    def test_the_traceback_of_every_error_can_be_had(self):
        result = run(RAISE.format("raise ValueError('x')"), TFSCI_DEBUG="1")
        assert "Traceback" in result.stderr

    def test_another_rank_names_itself_and_does_not_wait_for_the_others(self):
        stuck = "import threading; threading.Thread(target=threading.Event().wait).start()\n"
        launched = {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "2"}
        result = run(stuck + RAISE.format("raise ValueError('x')"), **launched)
        assert (result.returncode, result.stderr) == (2, "-c: error: x (rank 1 of 2)\n")

    def test_a_reader_that_leaves_is_no_error(self):
        code = RAISE.format("[print(i) for i in range(100_000)]")
        result = subprocess.run(
            f"{sys.executable} -c '{code}' | head -1", shell=True, capture_output=True, text=True
        )
        assert (result.stdout, result.stderr) == ("0\n", "")


class TestCli:
    def test_help_and_version(self, capsys):
        cli.main(["--help"])
        cli.main(["--version"])
        out = capsys.readouterr().out
        assert "doctor" in out and "install-horovod" in out and "tfsci 0." in out

    def test_an_unknown_command_is_named(self, capsys):
        with pytest.raises(SystemExit) as end:
            cli.main(["train"])
        assert end.value.code == 2
        assert (
            "unknown command 'train'; expected data, doctor, job, lessons, models, plan"
            in capsys.readouterr().err
        )
