import json

import jupytext
import pytest

from tfsci import lessons_cli
from tfsci.lessons import course


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class TestList:
    @pytest.mark.parametrize("arguments", [[], ["list"]])
    def test_all_with_their_times(self, arguments, capsys):
        assert lessons_cli.main(arguments) == 0
        told = capsys.readouterr().out
        for entry in course.LESSONS:
            assert f"{entry.number}  {entry.title}" in told
        assert told.count("not run yet") == len(course.LESSONS)
        assert told.count("≤") == len(course.LESSONS)

    def test_what_has_been_run(self, capsys):
        folder = course.find("01").output
        folder.mkdir(parents=True)
        claims = [{"holds": True}, {"holds": False}]
        results = {"seconds": 62.4, "quick": True, "claims": claims, "finished": True}
        (folder / "results.json").write_text(json.dumps(results))
        lessons_cli.main([])
        assert "ran in 1:02, quick, 1 of 2 claims hold" in capsys.readouterr().out
        (folder / "results.json").write_text(json.dumps(results | {"finished": False}))
        lessons_cli.main([])
        assert capsys.readouterr().out.count("broken off") == 1
        (folder / "results.json").write_text("[]")
        lessons_cli.main([])
        assert "ran in" not in capsys.readouterr().out


class TestCheck:
    def test_right_and_wrong(self, capsys):
        assert lessons_cli.main(["check", "1", "--exercise", "3", "overfitting"]) == 0
        assert capsys.readouterr().out.startswith("right: ")
        assert lessons_cli.main(["check", "1", "--exercise", "3", "noise"]) == 1
        assert capsys.readouterr().out.startswith("not yet: ")

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["check", "1", "--exercise", "9", "1"], "--exercise 9: lesson 01 has 1 to 4"),
            (["check", "77", "--exercise", "1", "1"], "lesson '77': expected one of"),
            (["check", "1", "--exercise", "1", "x"], "exercise 1 of lesson 01: expected a number"),
            (["check", "1", "--exercise", "1"], "the following arguments are required: answer"),
            (["run"], "the following arguments are required: lesson"),
            (["fly"], "argument COMMAND: invalid choice: 'fly'"),
        ],
    )
    def test_what_can_not_be_is_one_line(self, arguments, text):
        with pytest.raises(ValueError) as error:
            lessons_cli.main(arguments)
        assert text in str(error.value)
        assert "\n" not in str(error.value)


class TestNotebook:
    def test_cells_are_the_files(self, tmp_path, capsys):
        assert lessons_cli.main(["notebook", "01"]) == 0
        notebook = jupytext.read(tmp_path / "01_machine_learning.ipynb")
        kinds = [cell.cell_type for cell in notebook.cells]
        assert kinds[:2] == ["markdown", "code"]
        assert notebook.cells[0].source.startswith("# 1 · Machine learning for science")
        assert notebook.cells[-1].source == "lesson.end()"
        assert [path.name for path in tmp_path.iterdir()] == ["01_machine_learning.ipynb"]

    @pytest.mark.parametrize(
        ("output", "error"), [("a.py", ValueError), ("absent/a.ipynb", FileNotFoundError)]
    )
    def test_where_it_can_not_be(self, output, error, tmp_path):
        with pytest.raises(error):
            lessons_cli.main(["notebook", "01", "--output", output])
        assert list(tmp_path.iterdir()) == []


def test_schedule(capsys):
    assert lessons_cli.main(["schedule"]) == 0
    day = capsys.readouterr().out
    assert " 8:30  01 Machine learning for science\n" in day
    assert "10:45  04 Convolutional networks (main room)\n" in day
    lessons_cli.main(["schedule", "--half"])
    half = capsys.readouterr().out
    assert len(half.splitlines()) < len(day.splitlines())
