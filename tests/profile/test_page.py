"""The page is parsed, as a browser would, and its pictures are measured."""

import itertools
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from synthetic import Space, steps

from tfsci.profile import load, page, reading
from tfsci.profile.page import pictures, style
from tfsci.profile.reading import Trace
from tfsci.profile.text import duration
from tfsci.profile.verdict import judge

TOP = "Iterator::Root::Prefetch::Zip"
HOSTILE = (
    "<script>alert(1)</script>\"'></svg></style><img src=x onerror=y>&lt;\x1b[2J\r\n\u202e"
    + "W" * 5000
)


class Parsed(HTMLParser):
    """A page's elements in order: tag, attributes, and the text within."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        assert len(element) == len(attributes) + 2  # none twice, none called text
        self.elements.append(element)
        if tag != "meta":
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, class_=None):
        found = [element for element in self.elements if element["tag"] == tag]
        return [e for e in found if class_ in (None, *(e.get("class") or "").split())]

    def texts(self, tag, class_=None):
        return [element["text"] for element in self.all(tag, class_)]

    def widths(self, *class_):
        return [float(e["width"]) for c in class_ for e in self.all("rect", c)]


def space(length=1000, wait=700, compute=200, name="Map", reduce=0, number=12):
    """Two branches feed the model, one of them for 200 µs longer than the model waits."""
    made = Space()
    plane = steps(made.plane(), number, length, wait, compute)
    for i in range(number):
        start, cost = i * length, wait + 200
        state = {"buffer_limit": 8, "buffered_elements": 2}
        plane.add("python", "Iterator::Root::Prefetch", start, 1, **state)
        plane.add("r", "PrefetchProduce", start, cost + 12)
        plane.add("r", TOP, start, cost + 10)
        plane.add("r", f"{TOP}[0]::{name}", start, cost)
        plane.add("r", f"{TOP}[0]::{name}::TFRecord", start, 10)
        plane.add("r", f"{TOP}[1]::Batch", start + cost, 9, batch_size=4)
        plane.add("r", f"{TOP}[1]::Batch::Range", start + cost, 2)
        if reduce:
            plane.add("hvd", "a:HorovodAllreduce", start + wait + compute, reduce)
    return made


def trace_of(*spaces, names="rank{}", folder="run/profile"):
    hosts = [reading.host(made.planes(), names.format(i)) for i, made in enumerate(spaces)]
    return Trace(Path(folder), tuple(hosts))


def parsed(trace, **options):
    return Parsed(page.page(judge(trace), trace, **options))


def with_layers(trace, layers):
    for host in trace.hosts:
        object.__setattr__(host.breakdown, "layers", layers)
    return trace


class TestText:
    def test_nothing_of_a_hostile_trace_is_obeyed(self):
        made = space(name=HOSTILE)
        trace = trace_of(made, made, names=HOSTILE + "{}", folder=HOSTILE)
        with_layers(trace, {HOSTILE: 1e-3, "other": 1e-4})
        trace.hosts[0].breakdown.operations[HOSTILE] = 1e-3
        trace.hosts[0].memory[HOSTILE] = 10**9
        text = page.page(judge(trace), trace)
        found = Parsed(text)
        written = "body code dd div dl dt footer g h1 h2 head header html i li meta ol p path rect "
        written += "section small style svg table td text th title tr ul b"
        assert {element["tag"] for element in found.elements} <= set(written.split())
        written = "aria-label charset class content d height http-equiv lang name role style tag "
        written += "text text-anchor title viewbox width x y"
        assert {key for element in found.elements for key in element} <= set(written.split())
        # It is there, as text, cut, and without what a terminal would obey.
        for tag in ("h1", "th", "dt", "text", "code", "title", "header", "h2"):
            assert any("<script>alert(1)</script>" in text for text in found.texts(tag)), tag
        assert (
            max(len(text) for tag in ("h1", "th", "code", "b") for text in found.texts(tag)) < 301
        )
        assert all(c.isprintable() or c == "\n" for c in text)

    def test_nothing_is_fetched(self):
        trace = trace_of(space(), space())
        text = page.page(judge(trace), trace)
        for fetches in ("//", "url(", "@import", "href", "src=", "script", "<link", "<iframe"):
            assert fetches not in text
        policy = next(e for e in Parsed(text).all("meta") if "http-equiv" in e)["content"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"

    def test_wrong_numbers_give_a_page_too(self):
        chance, verdicts = random.Random(3), set()
        for _ in range(60):
            made = space(number=6)
            events = [event for line in made.message.planes[0].lines for event in line.events]
            for event in chance.sample(events, 20):
                for stat in event.stats:
                    stat.int64_value = chance.choice((0, -1, 10**12, 2**63 - 1, -(2**63)))
                event.duration_ps = chance.choice((0, 1, 10**10))
            trace = trace_of(made)
            report = judge(trace)
            trace.hosts[0].memory["a"] = chance.choice((0, 2**63))
            text = page.page(report, trace)
            assert Parsed(text).texts("h1") == [report.answer]
            assert not re.search(r'="[^"]*\b(nan|inf)\b', text)
            verdicts.add(report.verdict)
        assert len(verdicts) > 1


class TestSteps:
    def test_bars_are_as_long_as_the_parts(self):
        found = parsed(trace_of(space()))
        # Of 1000 µs 200 compute, 700 wait, and Python has the rest; the pipeline's bars come after.
        bars = [found.widths(part)[0] for part in ("compute", "input", "python")]
        assert bars == pytest.approx([220, 770, 110])
        assert "waiting for input 70 %" in found.texts("text", "black")
        assert "waiting for input 700 µs 70.0 %" in found.texts("li")
        assert found.texts("dd")[:3] == ["1 ms", "1,000", "70 %"]

    def test_of_many_ranks_the_slowest_are_shown_and_the_mean_of_the_rest(self):
        # Without the all-reduce rank i takes 500 + 5i µs; with it all take the same.
        trace = trace_of(*(space(1000, 100 + 5 * i, 200, reduce=500 - 5 * i) for i in range(40)))
        found = parsed(trace)
        labels = [
            element["text"] for element in found.all("title")[1:] if ":" not in element["text"]
        ]
        ranks = [label for label in labels if label.startswith(("rank", "mean"))]
        assert ranks == [*(f"rank{i}" for i in range(24, 40)), "mean of 24 others"]
        drawn = found.all("text", "alarm")[:2]
        assert [element["text"] for element in drawn] == ["rank39", "1 ms"]
        last = [e["text"] for e in found.all("rect") if "all-reduce" in e["text"]][-1]
        mean = sum(500 - 5 * i for i in range(24)) / 24
        assert last == f"all-reduce, not hidden: {duration(mean * 1e-6)}, 44 %"


class TestPipeline:
    def test_the_slowest_stage_is_marked_and_drawn_to_scale(self):
        found = parsed(trace_of(space()))
        box = next(i for i, e in enumerate(found.elements) if "slowest" in e.get("class", ""))
        assert found.elements[box + 1]["text"] == "2 Map2 Map"  # its title, and what is drawn
        # Map takes 900 µs without the 10 of its source; the model 1000 without the 700 it waits.
        slowest, model = found.widths("input")[-1], found.widths("compute")[1]
        assert slowest / model == pytest.approx(890 / 300, rel=1e-3)
        assert {"890 µs", "300 µs"} <= set(found.texts("text"))
        assert "1,120 steps/s" in found.texts("text")
        assert found.widths("full")[0] / found.widths("empty")[0] == pytest.approx(2 / 8)

    def test_arrows_lead_to_what_each_stage_feeds(self):
        found = parsed(trace_of(space()))
        paths = [element["d"] for element in found.all("path", "link")]
        # TFRecord → Map → (past Range → Batch) Zip → Prefetch → the model: six stages.
        assert [("C" in path) for path in paths] == [False, True, False, False, False, False]
        start, end = re.fullmatch(r"M\S+ (\S+)C.* (\S+)", paths[1]).groups()
        middles = [float(e["y"]) + float(e["height"]) / 2 for e in found.all("rect", "box")]
        assert [float(start), float(end)] == [middles[1], middles[4]]

    def test_of_a_long_pipeline_the_fast_stages_are_summed(self):
        made = Space()
        plane = steps(made.plane(), 12, 1000, 700, 200)
        for i in range(12):
            path = "Iterator::Root"
            for depth in range(40):  # the one at depth d takes 2 µs for itself, the last 10
                path += f"::Stage{depth:02}"
                plane.add("python", path, i * 1000 + depth, 88 - 2 * depth)
        found = parsed(trace_of(made))
        assert len(found.all("rect", "box")) == 25  # and the model
        assert len(found.all("path", "link")) == 24
        assert "16 more stages, which take less, are not drawn: 32 µs in all" in found.texts("p")


class TestTimeline:
    def test_pieces_are_where_they_were(self):
        found = parsed(trace_of(space()))
        # 5 ms on 870 units from 210 on; the first step computes from 0.7 to 0.9 ms.
        path = next(e["d"] for e in found.all("path", "compute"))
        pieces = re.findall(r"M(\S+) \S+h(\S+)v", path)
        expected = [(210 + 174 * (i + 0.7), 174 * 0.2) for i in range(5)]
        assert np.array(pieces, float) == pytest.approx(np.array(expected), abs=0.06)
        texts = found.texts("text", "soft")
        assert [text for text in texts if re.fullmatch(r"\d( ms)?", text)] == [
            "0 ms", "1", "2", "3", "4", "5",
        ]  # fmt: skip
        assert [text for text in texts if text.startswith("step ")] == [
            f"step {i}" for i in range(1, 6)
        ]

    def test_a_hundred_thousand_pieces_are_a_small_picture(self):
        ends = np.sort(np.random.default_rng(0).random(200_000)).reshape(-1, 2)
        drawn = pictures.timeline([("compute", *map(float, pair)) for pair in ends], [1.0])
        assert len(drawn) < 100_000


class TestTables:
    def test_the_rest_is_summed(self):
        layers = {f"layer{i}": 1e-4 / (i + 1) for i in range(30)}
        found = parsed(with_layers(trace_of(space()), layers))
        assert "Layers" in found.texts("h2")
        rows = found.texts("tr")[-11:]
        assert rows[0].startswith("layer0100 µs25.0 %")  # of the 30th harmonic number, 3.995
        assert rows[-1] == f"20 others{duration(1e-4 * sum(1 / i for i in range(11, 31)))}26.7 %"

    def test_no_layers_no_table(self):
        assert "Layers" not in parsed(with_layers(trace_of(space()), {})).texts("h2")


class TestTooFewSteps:
    def test_says_what_to_do_and_shows_what_there_is(self):
        found = parsed(trace_of(space(number=2)))
        assert found.texts("h1")[0].startswith("Not enough steps to tell")
        assert "python -m tfsci.profile SCRIPT" in found.texts("code")
        assert any("The input pipeline" in text for text in found.texts("h2"))

    def test_without_anything(self):
        made = Space()
        made.plane().add("x", "y", 0, 1)
        found = parsed(trace_of(made))
        assert [text.split(" ·")[0] for text in found.texts("h2")] == ["What to do"]


class TestFile:
    def test_holds_the_peak_of_each_allocator(self, tmp_path):
        made = space()
        plane = made.plane("/host:other")
        for name, peaks in {"cpu": (3e6, 195e6, 7e6), "GPU_0_bfc": (9e9,)}.items():
            for i, peak in enumerate(peaks):
                known = {"allocator_name": name, "peak_bytes_in_use": int(peak)}
                plane.add("t", f"Memory{('A', 'Dea')[i % 2]}llocation", i, 1, **known)
        (tmp_path / "a.xplane.pb").write_bytes(made.bytes())
        trace = load(tmp_path)
        assert trace.hosts[0].memory == {"cpu": 195_000_000, "GPU_0_bfc": 9 * 10**9}
        page.write(tmp_path / "page.html", judge(trace), trace)
        found = Parsed((tmp_path / "page.html").read_text(encoding="utf-8"))
        assert {"most memory held by GPU_0_bfc9 GB", "most memory held by cpu195 MB"} <= set(
            found.texts("div")
        )

    def test_is_whole_or_as_before(self, tmp_path, monkeypatch):
        (tmp_path / "a.xplane.pb").write_bytes(space().bytes())
        trace = load(tmp_path / "a.xplane.pb")
        (tmp_path / "page.html").write_text("before")

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            page.write(tmp_path / "page.html", judge(trace), trace)
        assert (tmp_path / "page.html").read_text() == "before"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.xplane.pb", "page.html"]


class TestColours:
    def test_text_can_be_read(self):
        # WCAG 2.2 wants a contrast of 4.5 for text.
        for part, colour in style.COLOURS.items():
            assert contrast(colour, "#ffffff" if part in style.WHITE_ON else "#000000") >= 4.5, part
        light, dark = (
            dict(re.findall(r"--(\w+): (#\w{6})", s)) for s in style.CSS.split("@media")[:2]
        )
        for theme in (light, dark):
            for ink, back in itertools.product(("ink", "soft", "alarm"), ("back", "card")):
                assert contrast(theme[ink], theme[back]) >= 4.5, (ink, back)

    def test_parts_are_told_apart_without_full_colour_vision(self):
        # Machado, Oliveira and Fernandes 2009, table 1, severity 1.0.
        for matrix in (
            np.eye(3),
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
             [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
             [-0.011820, 0.042940, 0.968881]],
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
             [0.004733, 0.691367, 0.303900]],
        ):  # fmt: skip
            seen = [lab(np.array(matrix) @ linear(c)) for c in style.COLOURS.values()]
            distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
            assert min(distances) > 10  # 2.3 is just noticeable


def linear(colour):
    """Linear RGB of a colour, by the sRGB standard (IEC 61966-2-1)."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """As WCAG 2.2 defines it."""
    dark, light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb):
    """CIE L*a*b* of linear RGB under D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    t = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
