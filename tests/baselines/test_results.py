import csv
import json
import math

import pytest

from tfsci.baselines.results import Comparison, Result
from tfsci.baselines.trained import Trained


def result(name, measure="accuracy", test=0.5, **others):
    given = {
        "title": f"the {name}", "settings": {}, "cross_validation": 0.75, "standard_error": 0.125,
        "training": 1.0, "validation": 0.625, "test_standard_error": 0.03, "seconds": 1.5,
    }  # fmt: skip
    return Result(name=name, measure=measure, test=test, **given | others)


NETWORK = Trained("cnn small", "runs/a", "accuracy", 0.8, 0.02)
RESULTS = (
    result("low", test=0.25, settings={"C": 0.1}, notes=("did not converge",)),
    result("high", test=0.875),
    result("lost", test=math.nan, standard_error=math.nan, notes=("failed: why",)),
    result("clusters", "rand_index", 0.7, others={"normalised mutual information": 0.7512}),
)
FOUND = Comparison("mine", "accuracy", 0.92, {"train": 7}, 5, 0, RESULTS, (NETWORK,))


def test_the_best_comes_first_with_networks_among_them_and_what_failed_last():
    assert [each.title for each in FOUND.ranked] == ["the high", "cnn small", "the low", "the lost"]
    assert [each.name for each in FOUND.structure] == ["clusters"]


def test_of_errors_the_lowest_is_the_best():
    results = [result(str(test), "error", test) for test in (0.3, 0.1, math.nan, 0.2)]
    ranked = Comparison("mine", "error", 0.0, {}, 5, 0, results).ranked
    assert [each.name for each in ranked] == ["0.1", "0.2", "0.3", "nan"]


def test_the_table_ends_with_what_nobody_can_beat():
    text = FOUND.as_text()
    structure, main = text.split("\nbaseline")
    assert "the clusters  adjusted Rand index     0.750 ± 0.125       0.625  0.700     1.50" in (
        structure
    )
    assert "the clusters: normalised mutual information = 0.751" in structure
    lines = main.splitlines()
    assert [line.split()[-2] for line in lines[1:5]] == ["0.875", "small", "0.250", "–"]
    assert lines[2].split() == ["cnn", "small", "0.800"] or "0.800" in lines[2]
    assert "C=0.1" in lines[3]
    assert lines[5:7] == ["the low: did not converge", "the lost: failed: why"]
    assert lines[-1].split() == ["best", "possible", "accuracy", "0.920"]


def test_an_answer_that_nobody_knows():
    text = Comparison("mine", "accuracy", None, {}, 5, 0, RESULTS[:1]).as_text()
    assert text.splitlines()[-1].split() == ["best", "possible", "accuracy", "unknown"]


def test_structure_alone_has_no_best():
    assert "best possible" not in Comparison("a", "accuracy", 1.0, {}, 5, 0, RESULTS[3:]).as_text()


def test_json_holds_all_of_it_and_none_for_what_is_not_defined():
    text = json.dumps(FOUND.as_dict(), allow_nan=False)
    read = json.loads(text)
    assert read["known_answer"] == 0.92
    assert [each["name"] for each in read["results"]] == ["low", "high", "lost", "clusters"]
    assert read["results"][2]["test"] is None
    assert read["results"][0]["settings"] == {"C": 0.1}
    assert read["trained"] == [
        {
            "title": "cnn small", "folder": "runs/a", "measure": "accuracy", "test": 0.8,
            "test_standard_error": 0.02,
        }
    ]  # fmt: skip


def test_csv_has_a_row_a_result():
    rows = list(csv.DictReader(FOUND.as_csv().splitlines()))
    assert [row["title"] for row in rows] == [
        "the high", "cnn small", "the low", "the lost", "the clusters",
    ]  # fmt: skip
    assert float(rows[0]["test"]) == 0.875
    assert (rows[1]["cross_validation"], rows[1]["test"]) == ("", "0.8")
    assert (rows[2]["settings"], rows[2]["notes"]) == ("C=0.1", "did not converge")
    assert rows[3]["test"] == ""


def test_results_are_frozen():
    with pytest.raises(AttributeError):
        RESULTS[0].test = 1.0
