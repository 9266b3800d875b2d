import pytest

from tfsci.training import cards

SHEET = dict.fromkeys(cards.DATA_SHEET, "Said.")
CARD = dict.fromkeys(cards.MODEL_CARD, "Said.")


def test_every_question_is_answered_in_order():
    text = cards.data_sheet("clouds", SHEET | {"gaps": "No nights."})
    assert text.startswith("# Data sheet: clouds\n\n## Motivation\n\nSaid.\n\n## Composition\n")
    assert text.endswith("## Gaps\n\nNo nights.\n")
    headings = [line[3:].lower() for line in text.splitlines() if line.startswith("## ")]
    assert headings == list(cards.DATA_SHEET)


def test_results_are_a_table():
    results = {
        "all": {"accuracy": 0.84125, "possible": 0.85},
        "few": {"accuracy": 0.5, "possible": 1},
    }
    text = cards.model_card("seer", CARD, results)
    assert text.endswith(
        "## Results\n\n| group | accuracy | possible |\n| --- | --- | --- |\n"
        "| all | 0.841 | 0.850 |\n| few | 0.500 | 1.000 |\n"
    )


def test_what_is_left_open_is_named():
    with pytest.raises(ValueError, match="missing gaps, unknown none"):
        cards.data_sheet("clouds", SHEET | {"gaps": " "})
    with pytest.raises(ValueError, match="missing none, unknown price"):
        cards.data_sheet("clouds", SHEET | {"price": "low"})
    for results in ({}, {"a": {}}, {"a": {"x": 1}, "b": {"y": 1}}):
        with pytest.raises(ValueError, match="results: expected the same measures"):
            cards.model_card("seer", CARD, results)
