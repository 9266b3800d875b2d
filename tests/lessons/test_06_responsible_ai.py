import numpy as np
import pytest

from tfsci.lessons import course
from tfsci.training import cards


def drawn(offset, threshold, count=400_000):
    """Share that a threshold has right in a group, by drawing along the mean."""
    rng = np.random.default_rng(1)
    y = rng.random(count) < 0.5
    z = rng.normal(size=count) + 2 * y - 1 + offset
    return np.mean((z > threshold) == y)


@pytest.mark.slow
class TestClaims:
    @pytest.mark.parametrize("remedy", ["reweighted", "more collected", "a threshold each"])
    @pytest.mark.parametrize(("group", "offset"), [("group A", 0.0), ("group B", 1.5)])
    def test_what_remedies_reach_is_what_draws_say(self, known, remedy, group, offset):
        ((found, told),) = known("06", f"{remedy}, {group}")
        threshold = offset if remedy == "a threshold each" else 0.75
        assert told == pytest.approx(drawn(offset, threshold), abs=0.003)
        assert found == pytest.approx(told, abs=0.06)

    def test_it_leaves_a_sheet_and_a_card(self, tmp_path):
        import subprocess
        import sys

        command = [sys.executable, course.find("06").path, "--quick", "--output", tmp_path / "l"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        for name, questions in (("data_sheet", cards.DATA_SHEET), ("model_card", cards.MODEL_CARD)):
            text = (tmp_path / "l" / f"{name}.md").read_text()
            assert all(f"## {question.capitalize()}\n" in text for question in questions)
        rows = [line.split("|") for line in text.splitlines() if line.startswith("| group ")]
        assert [row[1].strip() for row in rows] == ["group", "group A", "group B"]
        assert all(float(row[2]) == pytest.approx(0.841, abs=0.03) for row in rows[1:])
