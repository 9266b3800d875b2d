"""What holds for every lesson's file, without running it."""

import ast
import re

import pytest

from tfsci.lessons import cells, course, exercises

each = pytest.mark.parametrize("entry", course.LESSONS, ids=lambda entry: entry.number)

# What may stand in prose although nothing computes it: code, formulas, links, names.
_NAMES = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]*>|(arXiv|doi)[: ][\w./]+"
    r"|\b[A-Za-z]+[-_]?\d+\w*\b",
    re.DOTALL,
)
_SPOKEN = {"say", "claim", "figure", "compare", "set_title", "suptitle"}


def numbers(text):
    """The numbers in a text that nothing computed."""
    return re.findall(r"\d[\d.,]*%?", _NAMES.sub(" ", text))


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def literals(argument):
    """The text of a string, or of an f-string around what it computes."""
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    return [part.value for part in parts if isinstance(part, ast.Constant)]


def name_of(call):
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@each
def test_its_prose_holds_no_number_that_it_did_not_compute(entry):
    opening, *rest = [cell for cell in cells.read(entry.path) if cell.prose]
    assert opening.text.startswith(f"# {int(entry.number)} · {entry.title}\n")
    for said in ("**You will learn**", "**Takes**", "**Needs**"):
        assert said in opening.text
    assert numbers(opening.text) == [str(int(entry.number)), str(entry.minutes)]
    for cell in rest:
        assert numbers(cell.text) == [], cell.text
    for call in calls(ast.parse(entry.path.read_text())):
        if name_of(call) in _SPOKEN and call.args:
            for text in literals(call.args[0]):
                assert numbers(text) == [], text


@each
def test_it_redefines_nothing_of_the_package(entry):
    tree = ast.parse(entry.path.read_text())
    for node in ast.walk(tree):
        assert not isinstance(node, ast.ClassDef), f"line {node.lineno}: a class"
    banned = {"Sequential", "Model", "fit_generator", "apply_gradients", "Trainer"}
    for call in calls(tree):
        assert name_of(call) not in banned, f"line {call.lineno}: {name_of(call)}"


@each
def test_it_is_short_and_every_section_draws_and_claims(entry):
    assert len(entry.path.read_text().splitlines()) <= 250
    told = cells.read(entry.path)
    sections, current = [], None
    for cell in told:
        if cell.heading:
            current = [cell.heading, ""]
            sections.append(current)
        elif current and not cell.prose:
            current[1] += cell.text + "\n"
    *taught, last = sections
    assert last[0].startswith("Exercises") and "lesson.end()" in last[1]
    for heading, code in taught:
        assert code.startswith("lesson.section()\n"), heading
        assert "lesson.figure(" in code, f"{heading}: no figure"
        assert re.search(r"lesson\.(claim|compare)\(", code), f"{heading}: no claim"


@each
def test_it_asks_two_to_four_exercises(entry):
    assert 2 <= len(exercises.of(entry)) <= 4
    for exercise in exercises.of(entry):
        assert exercise.question and exercise.why


def test_numbers_are_found_where_nothing_computes_them():
    assert numbers("reaches 93 % in `3` epochs of $10^2$, ResNet-18, see arXiv 1706.02677") == [
        "93"
    ]
    assert numbers("about 0.94, in 2 of 3 cases") == ["0.94,", "2", "3"]
