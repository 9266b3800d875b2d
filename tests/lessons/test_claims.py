"""Each lesson runs, and all that it claims holds; other files know its answers."""

import pytest

from tfsci.lessons import course


@pytest.mark.slow
@pytest.mark.parametrize("entry", course.LESSONS, ids=lambda entry: entry.number)
def test_all_hold(entry, quick):
    results = quick(entry.number)
    assert results["claims"] and results["finished"]
    assert [claim["statement"] for claim in results["claims"] if not claim["holds"]] == []
