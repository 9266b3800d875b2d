import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.profile.scaling import Point, analyse, laws, read

# Total seconds of Horovod's CNN on 1, 2, 4 and 8 GPUs, from ATPESC's machine-learning day (2023).
POLARIS = {1: 41.30, 2: 15.90, 4: 8.78, 8: 10.74}
THETAGPU = {1: 28.5, 2: 19.7, 4: 7.69, 8: 4.36}
SIZES = np.array([1, 2, 4, 8, 16, 32])


def points(times):
    return [Point(int(n), float(seconds)) for n, seconds in times.items()]


def ring(n, compute=100.0, latency=0.3, bandwidth=2.0):
    return compute / n + latency * (n - 1) + bandwidth * (n - 1) / n


class TestPublishedTimes:
    def test_polaris_is_superlinear_at_2_and_8_communicate(self):
        found = analyse(points(POLARIS))
        one, two, four, eight = found.sizes
        assert two.efficiency == pytest.approx(41.30 / 15.90 / 2)  # 1.299
        assert (one.outdone_by, two.outdone_by) == (2, None)
        assert eight.slower_than == 4
        # Against the 2 × 15.9 GPU-seconds of the cheapest run, 8 × 10.74 were spent.
        assert eight.communication == pytest.approx(1 - 31.8 / 85.92)
        assert four.communication == pytest.approx(1 - 31.8 / 35.12)
        assert found.answer == (
            "Superlinear: 130 % efficiency at 2 ranks against 1; 8 ranks are slower than 4, "
            "63 % of their time is communication"
        )
        assert "warm-up, compilation" in found.flags[1]
        assert "8 ranks take 10.7 s, against 8.78 s on 4" in found.flags[2]
        assert found.predictions == {}  # neither law falls and rises so

    def test_thetagpu_has_a_slow_run_on_2(self):
        found = analyse(points(THETAGPU))
        assert [size.outdone_by for size in found.sizes] == [None, 4, None, None]
        assert found.sizes[3].communication == pytest.approx(1 - 28.5 / (8 * 4.36))
        assert all(size.slower_than is None for size in found.sizes)


class TestLaws:
    def test_amdahl_without_noise(self):
        law = laws.amdahl(SIZES, 50 * (0.04 + 0.96 / SIZES))
        assert law.parameters["serial"].value == pytest.approx(0.04, rel=1e-6)
        assert law.parameters["serial"].low == pytest.approx(0.04, rel=1e-6)
        assert law.parameters["serial"].high == pytest.approx(0.04, rel=1e-6)
        assert law.seconds(64).value == pytest.approx(50 * (0.04 + 0.96 / 64), rel=1e-6)

    def test_gustafson_without_noise(self):
        law = laws.gustafson(SIZES, 50 / (0.2 + 0.8 * SIZES))
        assert law.parameters["serial"].value == pytest.approx(0.2, rel=1e-6)
        assert law.seconds(64).high == pytest.approx(50 / (0.2 + 0.8 * 64), rel=1e-6)

    @pytest.mark.parametrize("weak", [False, True])
    def test_alpha_beta_without_noise(self, weak):
        seconds = 100 / SIZES + (ring(SIZES) - 100 / SIZES) / (SIZES if weak else 1)
        law = laws.alpha_beta(SIZES, seconds, weak)
        found = {name: estimate.value for name, estimate in law.parameters.items()}
        truth = {"compute": 100, "latency": 0.3, "bandwidth": 2}
        assert found == pytest.approx(truth, rel=1e-6)
        assert law.misfit < 1e-9

    def test_intervals_cover_the_truth_as_often_as_they_say(self):
        rng = np.random.default_rng(0)
        truth = {"compute": 100, "latency": 0.3, "bandwidth": 2}
        covered, trials = {"serial": 0, "next run": 0, **dict.fromkeys(truth, 0)}, 400
        for _ in range(trials):
            noisy = 1 + 0.03 * rng.normal(size=len(SIZES))
            found = laws.amdahl(SIZES, 50 * (0.04 + 0.96 / SIZES) * noisy).parameters
            covered["serial"] += found["serial"].low <= 0.04 <= found["serial"].high
            law = laws.alpha_beta(SIZES, ring(SIZES) * noisy)
            for name, value in truth.items():
                covered[name] += law.parameters[name].low <= value <= law.parameters[name].high
            expected = law.seconds(64)
            run = ring(64) * (1 + 0.03 * rng.normal())
            covered["next run"] += expected.low <= run <= expected.high
        # 95 % ± three standard deviations of 400 trials; a bound at 0 only widens an interval.
        for name, times in covered.items():
            assert 0.917 <= times / trials <= 0.985, name

    def test_the_interval_ends_where_an_f_test_rejects(self):
        n = np.array([1, 1, 2, 2, 4])
        seconds = np.array([9.9, 10.1, 5.4, 5.7, 3.3])

        def residual(share):  # least squares in T₁ alone, relative to what was measured
            x = (share + (1 - share) / n) / seconds
            return np.sum((x * (x.sum() / (x @ x)) - 1) ** 2)

        serial = laws.amdahl(n, seconds).parameters["serial"]
        least = min(residual(share) for share in np.linspace(0, 1, 10001))
        assert residual(serial.value) == pytest.approx(least, rel=1e-4)
        f = 3.1824463**2  # Student's 97.5 % for 5 - 2 degrees of freedom, from a table
        for end in (serial.low, serial.high):
            assert residual(end) == pytest.approx(least * (1 + f / 3), rel=1e-3)

    def test_too_few_runs_have_no_interval_and_too_few_sizes_no_law(self):
        two = analyse(points({1: 10, 2: 6}))
        (law,) = two.laws
        assert law.parameters["serial"] == laws.Estimate(pytest.approx(0.2))  # 10·(s + (1 − s)/2)
        assert two.predictions == {}
        assert "no interval: no more runs than parameters" in " ".join(two.text.split())
        assert laws.alpha_beta([2, 2, 4], [3, 3, 2]) is None


times = st.lists(st.floats(0.01, 1000), min_size=2, max_size=6)


class TestInvariants:
    @given(times, st.floats(1e-3, 1e3), st.randoms())
    def test_neither_the_unit_nor_the_order_matters(self, seconds, factor, random):
        runs = [Point(2**i, s) for i, s in enumerate(seconds)]
        found = analyse(runs)
        scaled = [Point(p.world_size, p.seconds * factor) for p in runs]
        random.shuffle(scaled)
        again = analyse(scaled)
        for one, other in zip(found.sizes, again.sizes, strict=True):
            assert one.efficiency == pytest.approx(other.efficiency)
            assert (one.communication or 0) == pytest.approx(other.communication or 0, abs=1e-9)
        random.shuffle(runs)
        assert analyse(runs).text == found.text

    @given(st.floats(1, 1e3), st.floats(0, 1), st.floats(0, 10))
    def test_what_a_ring_loses_is_its_communication(self, compute, latency, bandwidth):
        n = SIZES
        found = analyse(points(dict(zip(n, ring(n, compute, latency, bandwidth), strict=True))))
        lost = [size.communication or 0 for size in found.sizes]
        assert lost == pytest.approx(1 - compute / n / ring(n, compute, latency, bandwidth))
        assert not [size for size in found.sizes if size.outdone_by]


class TestKinds:
    def test_batches_tell_strong_from_weak(self):
        assert analyse([Point(1, 10, 64), Point(2, 6, 64)]).kind == "strong"
        assert analyse([Point(1, 10, 32), Point(2, 6, 64)]).kind == "weak"
        assert "taken to be the same work" in analyse([Point(1, 10), Point(2, 6)]).text

    @pytest.mark.parametrize(
        ("runs", "message"),
        [
            ([], "there is no run"),
            ([Point(4, 1), Point(4, 2)], "all runs have 4"),
            ([Point(1, 1, 32), Point(2, 1, 48)], "32 on 1, 48 on 2 ranks"),
        ],
    )
    def test_runs_that_show_nothing(self, runs, message):
        with pytest.raises(ValueError, match=message):
            analyse(runs)

    def test_runs_of_one_size_are_averaged(self):
        one, two = analyse([Point(1, 9), Point(2, 6), Point(1, 11)]).sizes
        assert (one.seconds, one.runs, two.speedup) == (10, 2, pytest.approx(10 / 6))


@pytest.fixture
def run_folder(tmp_path):
    def make(name, world_size, rate, batch_size=48, data="digits", finished=True):
        folder = tmp_path / name
        folder.mkdir()
        options = {"data": data, "model": {"name": "cnn"}, "batch_size": batch_size}
        config = {"options": options, "world_size": world_size}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "history.csv").write_text(
            f"epoch,examples_per_second\n1,{rate / 2}\n2,{rate}\n3,{rate * 2}\n"
        )
        if finished:
            metrics = {"examples_per_second": rate, "world_size": world_size}
            (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return make


class TestReading:
    def test_run_folders(self, run_folder):
        folders = [run_folder("a", 1, 100.0), run_folder("b", 2, 160.0, finished=False)]
        runs, work = read(folders)
        assert runs == [Point(1, 10.0, 48), Point(2, 6.25, 48)]
        assert work == "1,000 examples"
        assert analyse(runs, work).sizes[1].efficiency == pytest.approx(0.8)

    def test_other_data_are_not_compared(self, run_folder):
        folders = [run_folder("a", 1, 100), run_folder("b", 2, 160, data="galaxies")]
        with pytest.raises(ValueError, match="data is 'galaxies' and 'digits'"):
            read(folders)

    def test_other_models_are_not_compared(self, run_folder):
        folders = [run_folder("a", 1, 100), run_folder("b", 2, 160)]
        text = (folders[1] / "config.json").read_text().replace("cnn", "resnet")
        (folders[1] / "config.json").write_text(text)
        with pytest.raises(ValueError, match="model name is 'resnet' and 'cnn'"):
            read(folders)

    def test_a_run_whose_ranks_changed(self, run_folder):
        folder = run_folder("a", 4, 100)
        (folder / "metrics.json").write_text('{"examples_per_second": 1, "world_size": 3}')
        with pytest.raises(ValueError, match="began on 4 ranks and ended on 3"):
            read([folder])

    @pytest.mark.parametrize("text", ["[]", "{}", "{", '{"options": 1, "world_size": 2}'])
    def test_a_foreign_folder(self, tmp_path, text):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=str(tmp_path)):
            read([tmp_path])

    def test_a_table(self, tmp_path):
        file = tmp_path / "rates.csv"
        file.write_text("world_size, examples_per_second, batch_size\n2,200,64\n1,100,32\n")
        assert read([file]) == ([Point(2, 5.0, 64), Point(1, 10.0, 32)], "1,000 examples")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "got nothing"),
            ("ranks,seconds\n1,2\n", "got ranks, seconds"),
            ("world_size,seconds\n1,2\n2,x\n", "line 3: seconds: .* got 'x'"),
            ("world_size,seconds\n1.5,2\n", "line 2: world_size: expected a whole number"),
            ("world_size,seconds\n1\n", "line 2: seconds: .* got None"),
            ("world_size,seconds\n1,inf\n", "got 'inf'"),
        ],
    )
    def test_a_bad_table(self, tmp_path, text, message):
        file = tmp_path / "times.csv"
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read([file])


def test_the_command_tells_draws_and_writes(tmp_path):
    file = tmp_path / "polaris.csv"
    file.write_text("world_size,seconds\n" + "".join(f"{n},{s}\n" for n, s in POLARIS.items()))
    command = [sys.executable, "-m", "tfsci", "profile", "scaling"]

    def run(*arguments):
        return subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path)

    result = run("polaris.csv", "--output", "picture.png", "--json", "found.json")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Superlinear: 130 % efficiency at 2 ranks")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["sizes"][3]["communication"] == pytest.approx(0.63, abs=0.005)
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    refused = run("polaris.csv", "--output", "no/picture.png")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "tfsci: error: --output no/picture.png: no such folder\n"
