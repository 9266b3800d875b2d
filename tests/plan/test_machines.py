import pytest

from tfsci import plan_options
from tfsci.plan import machines
from tfsci.plan.machine_table import MACHINES
from tfsci.profile import roofline
from tfsci.profile.roofline import Machine


class TestTable:
    def test_all_that_was_asked_for_is_there(self):
        asked = [
            "ascent",
            "summit",
            "selene",
            "perlmutter",
            "polaris",
            "frontier",
            "aurora",
            "dgx-h100",
        ]
        assert set(asked) <= set(MACHINES)

    @pytest.mark.parametrize("name", list(MACHINES))
    def test_figures_have_sources_and_make_sense(self, name):
        machine = MACHINES[name]
        device = machine.device
        assert device.source.startswith("http") and device.fitted and machine.source
        assert 10 < device.tflops < 2000 and 10 < device.memory < 200
        assert 0.3 < device.efficiency < 1
        sizes = [link.devices for link in machine.links]
        assert sizes[-1] is None and sizes[:-1] == sorted(sizes[:-1])
        latencies = [link.latency for link in machine.links]
        assert latencies == sorted(latencies)

    def test_an_unknown_name_lists_near_ones(self):
        message = "unknown machine 'frontir'; did you mean frontier[?] known are ascent, summit"
        with pytest.raises(ValueError, match=message):
            machines.find("frontir")

    def test_this_computer(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TFSCI_CACHE", str(tmp_path))
        device = machines.find("local").device
        assert device.peak > 1e8 and device.bandwidth > 0.1
        assert "NumPy" in device.fitted

    def test_this_computer_as_the_profiler_has_measured_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TFSCI_CACHE", str(tmp_path))
        measured = Machine(2e11, 4e10, "float32", 8)
        roofline.write_json(tmp_path / "machine.json", measured, [])
        device = machines.find("local").device
        assert (device.tflops, device.bandwidth) == pytest.approx((0.2, 40))
        assert "8 threads" in device.fitted

    @pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"matrix_flops_per_second": "x"}'])
    def test_a_record_that_is_none_is_passed_over(self, tmp_path, monkeypatch, text):
        monkeypatch.setenv("TFSCI_CACHE", str(tmp_path))
        (tmp_path / "machine.json").write_text(text)
        assert "NumPy" in machines.find("local").device.fitted


class TestFile:
    def read(self, tmp_path, text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return machines.find(str(path))

    def test_that_help_shows(self, tmp_path):
        machine = self.read(tmp_path, plan_options.EXAMPLE)
        assert (machine.name, machine.title, machine.devices_per_node) == ("mine", "Ours", 4)
        assert (machine.device.tflops, machine.device.efficiency) == (362, 0.5)
        assert [link.bandwidth for link in machine.links] == [32, 12.5]

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("[device]", "[device", "not a TOML file"),
            ("tflops = 362", "", r"\[device\] has no 'tflops'"),
            ("tflops = 362", "tflops = -1", r"\[device\]: tflops: -1 is not what was expected"),
            ("tflops = 362", 'tflops = "many"', "tflops: 'many' is not what was expected"),
            (
                "tflops = 362",
                "tflops = 362\n  speed = 3",
                "unknown key 'speed'; expected name, tflops",
            ),
            ("memory = 48", "memory = nan", "memory: nan is not what was expected"),
            ("memory = 48", "memory = true", "memory: True is not what was expected"),
            ("devices = 4", "", "the network's, without devices; got"),
            ("bandwidth = 12.5", "bandwidth = 12.5\n  devices = 8", "without devices; got devices"),
            ('title = "Ours"', "color = 3", "unknown key 'color'"),
        ],
    )
    def test_with_a_fault(self, tmp_path, old, new, told):
        with pytest.raises(ValueError, match=told):
            self.read(tmp_path, plan_options.EXAMPLE.replace(old, new))

    @pytest.mark.parametrize("text", ["", "links = 3", "device = 3\nlinks = []", "[device]"])
    def test_of_something_else(self, tmp_path, text):
        with pytest.raises(ValueError, match=r"mine.toml"):
            self.read(tmp_path, text)

    def test_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            machines.find(str(tmp_path / "no.toml"))
