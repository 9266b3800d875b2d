"""The page in a real browser, cut off from every network."""

import html
import re
import shutil
import subprocess

import pytest
from synthetic import Space, steps
from test_page import space

from tfsci.profile import load, page
from tfsci.profile.verdict import judge

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")


@pytest.fixture
def browse(tmp_path):
    """Opens a page behind a proxy that nobody runs; gives what it shows, and what it complains."""

    def run(path):
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--proxy-server=127.0.0.1:9", f"--user-data-dir={tmp_path / 'user'}",
             "--enable-logging=stderr", "--dump-dom", path.as_uri()],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_it_shows_all_without_a_network_and_without_complaint(browse, tmp_path):
    made = space()
    plane = steps(made.plane("/host:other"), 1, 1000)
    plane.add("t", "MemoryAllocation", 0, 1, allocator_name="cpu", peak_bytes_in_use=10**9)
    (tmp_path / "a.xplane.pb").write_bytes(made.bytes())
    trace = load(tmp_path)
    report = judge(trace)
    page.write(tmp_path / "page.html", report, trace)
    shown, complaints = browse(tmp_path / "page.html")
    assert complaints == []
    assert re.search("<h1>(.*?)</h1>", shown)[1] == html.escape(report.answer)
    titles = re.findall(r"<h2>(.*?)(?: <small>.*?)?</h2>", shown)
    assert titles == ["Where a step goes", "What to change", "The input pipeline",
                      "The first 5 steps in time", "Operations", "Layers"]  # fmt: skip


def test_what_is_smuggled_in_is_refused(browse, tmp_path):
    # Had a name from a trace become markup, the page's own policy would still keep it from acting.
    made = Space()
    steps(made.plane(), 12, 1000, 100, 800)
    (tmp_path / "a.xplane.pb").write_bytes(made.bytes())
    trace = load(tmp_path)
    whole = page.page(judge(trace), trace)
    evil = '<img src="http://example.org/x.png"><script>document.title = "run"</script><h1>'
    (tmp_path / "page.html").write_text(whole.replace("<h1>", evil, 1))
    shown, complaints = browse(tmp_path / "page.html")
    assert "<title>run" not in shown
    for what in ("example.org", "script"):
        assert any(what in line and "Content Security Policy" in line for line in complaints)
