"""What a lesson says, keeps and claims, with lessons made for it."""

import json
import os
import subprocess
import sys

import pytest

from tfsci.lessons import cells, course, exercises
from tfsci.lessons.lesson import Lesson

ENTRY = course.find("01")

_LESSON = """\
# %% [markdown]
# # 1 · Machine learning for science

# %%
from tfsci import lessons

lesson = lessons.start("01")

# %% [markdown]
# ## Two and two are four
#
# One counts.

# %%
lesson.section()
with lesson.figure("A line goes up") as ax:
    ax.plot([1, 2])
    ax.set(xlabel="x", ylabel="y")
lesson.say(f"Counted: {2 + 2}.")
lesson.compare("the sum", 2 + 2, SUM, within=0.1, unit="apples")
MORE

# %% [markdown]
# ## Exercises

# %%
lesson.end()
"""

# A colour bar has one axis; without any label it says nothing.
COLOURS = """
for label, title in (("metres", "A"), ("", "B")):
    with lesson.figure(title) as ax:
        picture = ax.imshow([[1, 2]])
        ax.figure.colorbar(picture, label=label)
"""


@pytest.fixture
def run(tmp_path):
    def run(*arguments, known="4", more="", **environ):
        file = tmp_path / "01_machine_learning.py"
        file.write_text(_LESSON.replace("SUM", known).replace("MORE", more))
        return subprocess.run(
            [sys.executable, file.name, *map(str, arguments)],
            env={**os.environ, **environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_what_it_prints_and_keeps(run, tmp_path):
    ended = run("--output", "out")
    assert (ended.returncode, ended.stderr) == (0, "")
    told = ended.stdout.splitlines()
    assert told[0].startswith("01 · Machine learning for science")
    assert told[2].startswith("[1/1 · 0:0") and told[2].endswith("] Two and two are four")
    assert told[3:6] == [
        "→ out/01-a-line-goes-up.png",
        "Counted: 4.",
        "✓ the sum: found 4 apples, known 4 apples (within 0.1 apples)",
    ]
    assert told[-1].startswith("1 of 1 claims hold")
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["figures"] == ["01-a-line-goes-up.png"]
    assert results["claims"][0]["found"] == results["claims"][0]["known"] == 4
    assert (tmp_path / "out/report.md").read_text() == (
        "# 1 · Machine learning for science\n\n## Two and two are four\n\nOne counts.\n\n"
        "![A line goes up](01-a-line-goes-up.png)\n\nCounted: 4.\n\n"
        "- ✓ the sum: found 4 apples, known 4 apples (within 0.1 apples)\n\n## Exercises\n"
    )


def test_a_claim_that_fails_is_said_and_ends_with_1(run):
    ended = run(known="5")
    assert ended.returncode == 1
    assert "✗ does not hold here: the sum: found 4 apples, known 5 apples" in ended.stdout
    assert "0 of 1 claims hold" in ended.stdout


def test_it_runs_again_into_its_folder_and_into_no_other(run, tmp_path):
    assert run("--output", "out").returncode == run("--output", "out").returncode == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious.txt").write_text("mine")
    ended = run("--output", "mine")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "01_machine_learning.py: error: --output mine: holds something that is no lesson's; name "
        "another folder\n"
    )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious.txt"]
    assert run("--output", "mine/precious.txt").returncode == 2


def test_one_that_was_broken_off_runs_again(run, tmp_path):
    assert run("--output", "out", more="raise KeyboardInterrupt").returncode == 130
    assert json.loads((tmp_path / "out/results.json").read_text())["finished"] is False
    assert run("--output", "out").returncode == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 1


def test_results_that_are_not_a_lessons_remove_nothing(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "precious.txt").write_text("mine")
    (tmp_path / "out/results.json").write_text('{"figures": ["../precious.txt", 3]}')
    assert run("--output", "out").returncode == 2
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert (tmp_path / "out/results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "more", "said"),
    [
        (["--fast"], "", "unrecognized arguments: --fast"),
        ([], "raise ValueError('wrong')", "01_machine_learning.py: error: wrong\n"),
        ([], "raise KeyboardInterrupt", "interrupted\n"),
        ([], "with lesson.figure('A') as ax: ax.plot([1])", "figure 'A': label the x and y axis"),
        ([], COLOURS, "figure 'B': label the x and y axis"),
        ([], "with lesson.figure('A' * 69) as ax: pass", "at most two lines of 68 letters"),
    ],
)
def test_what_goes_wrong_is_one_line(run, arguments, more, said):
    ended = run(*arguments, more=more)
    assert ended.returncode == (130 if "Keyboard" in more else 2)
    assert said in ended.stderr and ended.stderr.count("\n") == 1


def test_a_rank_that_is_not_the_chief_says_and_writes_nothing(run, tmp_path):
    ended = run("--output", "out", RANK="1", WORLD_SIZE="2", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2",
                MASTER_ADDR="127.0.0.1", MASTER_PORT="1")  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert not (tmp_path / "out").exists()


def test_outside_of_a_script_it_needs_no_file(tmp_path, capsys):
    lesson = Lesson(ENTRY, tmp_path / "out", quick=True)
    lesson.section()
    assert lesson.choose(2, quick=1) == 1
    lesson.claim("one is less than two", True)
    assert list(lesson.track([1, 2], "Counting")) == [1, 2]
    assert "✓ one is less than two" in capsys.readouterr().out


def test_cells(tmp_path):
    (tmp_path / "a.py").write_text("# %% [markdown]\n# # A\n#\n# ## B `c`\n\n# %%\nx = 1\n")
    prose, code = cells.read(tmp_path / "a.py")
    assert (prose.prose, prose.text, prose.heading) == (True, "# A\n\n## B `c`", "B `c`")
    assert (code.prose, code.text, code.first, code.last) == (False, "x = 1", 6, 7)


class TestCourse:
    @pytest.mark.parametrize("name", ["1", "01", "machine_learning", "01_machine_learning.py"])
    def test_lessons_by_their_names(self, name):
        assert course.find(name) == ENTRY

    @pytest.mark.parametrize("name", ["0", "99", "x", ""])
    def test_unknown_ones(self, name):
        with pytest.raises(ValueError, match="expected one of 01 to"):
            course.find(name)

    def test_days_name_lessons_that_there_are(self):
        numbers = {entry.number for entry in course.LESSONS}
        for sessions in course.DAYS.values():
            told = [session.what for session in sessions]
            assert {what for what in told if what.isdigit()} <= numbers
            assert [int(s.time.replace(":", "")) for s in sessions] == sorted(
                int(s.time.replace(":", "")) for s in sessions
            )
        assert {s.what for s in course.DAYS["one day"]} >= numbers


class TestChecks:
    def test_numbers(self):
        check = exercises.number(lambda: 0.25, 0.01, "hint")
        assert [check(answer) for answer in ("0.25", " 25% ", "0.3")] == ["", "", "hint"]
        for answer in ("a", "", "nan", "1e999"):
            with pytest.raises(ValueError, match="expected a"):
                check(answer)

    def test_words(self):
        check = exercises.choice("a", {"b": "hint"})
        assert [check(answer) for answer in ("a", " A", "b")] == ["", "", "hint"]
        with pytest.raises(ValueError, match="expected one of a, b; got 'c'"):
            check("c")

    def test_which(self, capsys):
        assert exercises.check("01", 3, "overfitting")
        assert exercises.check("1", 1, 0.405)
        with pytest.raises(ValueError, match="--exercise 9: lesson 01 has 1 to 4"):
            exercises.check("01", 9, 1)
        with pytest.raises(ValueError, match="exercise 1 of lesson 01: expected a number"):
            exercises.check("01", 1, "many")
