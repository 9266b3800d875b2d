"""Prediction beside publication: the README's table is what is computed today."""

from pathlib import Path

from tfsci import plan_cli

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_has_what_the_command_prints(capsys):
    lines = README.read_text(encoding="utf-8").splitlines()
    (start,) = (i for i, line in enumerate(lines) if line.startswith("| what | published |"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    plan_cli.main(["published"])
    assert lines[start:end] == capsys.readouterr().out.splitlines()
