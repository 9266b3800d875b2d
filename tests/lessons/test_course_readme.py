"""What the course's README says is what the course is."""

from pathlib import Path

from tfsci.lessons import course

TEXT = (Path(__file__).parents[2] / "lessons" / "README.md").read_text(encoding="utf-8")


def test_every_lesson_has_a_row_and_a_note():
    for entry in course.LESSONS:
        row = f"| [{entry.number} {entry.title}]({entry.name}.py) | {entry.minutes} min | "
        assert row + entry.teaches + " |\n" in TEXT
        note = TEXT.split(f"**{entry.number} {entry.title}.** *What people get wrong:* ")
        assert len(note) == 2 and " *Ask:* " in note[1].split("\n")[0]


def test_days_are_those_that_the_command_prints():
    for day in course.DAYS:
        assert f"```\n{course.schedule(day)}\n```\n" in TEXT


def test_no_file_is_without_its_row():
    files = {path.stem for path in (Path(__file__).parents[2] / "lessons").glob("*.py")}
    assert files <= {entry.name for entry in course.LESSONS}
