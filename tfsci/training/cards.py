"""Data sheets and model cards: what must be known of data and a model, as Markdown.

After Gebru et al. 2021 (arXiv:1803.09010) and Mitchell et al. 2019 (arXiv:1810.03993): fixed
questions, so that one left open is seen.
"""

from collections.abc import Mapping

DATA_SHEET = ("motivation", "composition", "collection", "labels", "gaps")
MODEL_CARD = ("model", "intended use", "not for", "training data", "limits")


def data_sheet(name: str, answers: Mapping[str, str]) -> str:
    """Returns a data sheet.

    Args:
        name: Of the data.
        answers: To each of `DATA_SHEET`.

    Raises:
        ValueError: An answer is missing, empty, or to no question.
    """
    return f"# Data sheet: {name}\n\n" + _answered(DATA_SHEET, answers)


def model_card(
    name: str, answers: Mapping[str, str], results: Mapping[str, Mapping[str, float]]
) -> str:
    """Returns a model card.

    Args:
        name: Of the model.
        answers: To each of `MODEL_CARD`.
        results: For each group of samples the values of its measures; every group has the same.

    Raises:
        ValueError: An answer is missing, empty, or to no question; or there are no results, or
            groups have different measures.
    """
    measures = list(next(iter(results.values()), ()))
    if not measures or any(list(row) != measures for row in results.values()):
        raise ValueError("results: expected the same measures, at least one, for every group")
    rows = [["group", *measures], ["---"] * (1 + len(measures))]
    rows += [[group, *(f"{value:.3f}" for value in row.values())] for group, row in results.items()]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"# Model card: {name}\n\n{_answered(MODEL_CARD, answers)}\n## Results\n\n{table}\n"


def _answered(questions: tuple[str, ...], answers: Mapping[str, str]) -> str:
    missing = [question for question in questions if not answers.get(question, "").strip()]
    unknown = [question for question in answers if question not in questions]
    if missing or unknown:
        raise ValueError(
            f"answers: expected {', '.join(questions)}; "
            f"missing {', '.join(missing) or 'none'}, unknown {', '.join(unknown) or 'none'}"
        )
    return "\n".join(f"## {each.capitalize()}\n\n{answers[each].strip()}\n" for each in questions)
