"""Right answers to every exercise are taken, and wrong ones are told why they are wrong."""

import pytest

from tfsci.lessons import course, exercises

# Worked out by hand or by another route: lesson, exercise, right answers, wrong ones.
ANSWERS = [
    ("01", 1, ["0.405", "40.5%"], ["0.36", "0.045"]),
    ("01", 2, ["0.607"], ["0.5", "0.64"]),
    ("01", 3, ["overfitting", " Overfitting "], ["underfitting", "noise"]),
    ("01", 4, ["0.87"], ["0.5", "0.8"]),
    ("02", 1, ["0.029"], ["0.788", "0.0079"]),
    ("02", 2, ["3900"], ["390", "3910"]),
    ("02", 3, ["2.10"], ["2", "4"]),
    ("02", 4, ["0.736", "74%"], ["0.838", "0.5"]),
    ("03", 1, ["17", "17.0"], ["16", "84"]),
    ("03", 2, ["1.6"], ["2", "0.6"]),
    ("03", 3, ["180"], ["20", "200"]),
    ("03", 4, ["before", " Before"], ["after", "after "]),
    ("04", 1, ["1824"], ["1800", "600"]),
    ("04", 2, ["capacity", " Capacity "], ["labels", "data", "imbalance"]),
    ("04", 3, ["0.84", "84%"], ["0.69", "0.92"]),
    ("04", 4, ["8"], ["16", "4"]),
    ("05", 1, ["10", "10.0"], ["9", "1.1"]),
    ("05", 2, ["1.25"], ["5", "1.67"]),
    ("05", 3, ["360"], ["40", "400"]),
    ("05", 4, ["pad", " Pad"], ["prefetch", "xla"]),
    ("06", 1, ["0.82", "82%"], ["0.99", "0.33"]),
    ("06", 2, ["0.74"], ["0.84", "0.78"]),
    ("06", 3, ["0.16", "15.5%"], ["0.9", "0.02"]),
    ("06", 4, ["hard", " Hard"], ["strange", "STRANGE "]),
    ("07", 1, ["12"], ["6", "13"]),
    ("07", 2, ["20"], ["4", "32"]),
    ("07", 3, ["59009"], ["59008", "25088"]),
    ("07", 4, ["nothing", "Nothing"], ["branch", "trunk", "both"]),
    ("08", 1, ["initialise"], ["shard", "scale", "broadcast"]),
    ("08", 2, ["0.8"], ["0.2", "0.05"]),
    ("08", 3, ["20"], ["400", "10"]),
    ("08", 4, ["187.5"], ["100", "93.75"]),
    ("09", 1, ["0.0596", "6%"], ["0.00000006", "0.6"]),
    ("09", 2, ["rounding", "Rounding"], ["bug", "seed"]),
    ("09", 3, ["2"], ["1", "0"]),
    ("09", 4, ["litert", "LiteRT"], ["keras", "savedmodel"]),
    ("10", 1, ["0.665", "66.5%"], ["0.98", "0.33"]),
    ("10", 2, ["0.333"], ["0.167", "0.5"]),
    ("10", 3, ["18.2"], ["8", "64"]),
    ("10", 4, ["no", " No "], ["yes", "YES"]),
    ("11", 1, ["3.33", "3.3334"], ["1.2", "2.3"]),
    ("11", 2, ["7.6"], ["7600000", "15.2"]),
    ("11", 3, ["0.941", "94.1%"], ["0.8", "0.9"]),
    ("11", 4, ["2.89"], ["8.3", "50"]),
]


@pytest.mark.parametrize(
    ("lesson", "exercise", "right", "wrong"), ANSWERS, ids=lambda value: str(value)[:2]
)
def test_answers(lesson, exercise, right, wrong, capsys):
    for answer in right:
        assert exercises.check(lesson, exercise, answer), capsys.readouterr().out
        assert capsys.readouterr().out.startswith("right: ")
    for answer in wrong:
        assert not exercises.check(lesson, exercise, answer), answer
        assert len(capsys.readouterr().out) > len("not yet: \n")
    assert len(wrong) >= 2


def test_every_exercise_is_tried():
    asked = [
        (entry.number, i + 1) for entry in course.LESSONS for i in range(len(exercises.of(entry)))
    ]
    assert [(lesson, exercise) for lesson, exercise, *_ in ANSWERS] == asked
