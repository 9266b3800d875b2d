"""Prediction beside publication: the table in the documentation is what is computed today."""

from pathlib import Path

from tfsci import plan_cli
from tfsci.plan import published

ROOT = Path(__file__).parents[2]


def documented(name):
    """Returns the lines of the table in a file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    (start,) = (i for i, line in enumerate(lines) if line.startswith("| what | published |"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    return lines[start:end]


def test_the_documentation_has_what_the_command_prints(capsys):
    plan_cli.main(["published"])
    assert documented("docs/plan.md") == capsys.readouterr().out.splitlines()


def test_the_readme_has_some_of_its_rows_and_the_worst():
    whole, some = documented("docs/plan.md"), documented("README.md")
    assert [line for line in whole if line in some] == some
    assert len(some) == 2 + 4
    worst = max(published.rows(), key=lambda row: abs(row.error))
    assert some[-1].startswith(f"| {worst.what}, ")
    assert f"[{len(published.rows())} rows]" in (ROOT / "README.md").read_text(encoding="utf-8")
