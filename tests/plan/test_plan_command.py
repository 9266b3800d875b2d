import json
import subprocess
import sys

import pytest
from launch_scripts import GPT_22B

from tfsci import cli, plan_cli
from tfsci.plan import published

ROW = "--layers 80 --hidden 12288 --heads 96 --vocabulary 51200 --sequence 2048 --tensor 8 "
ROW += "--pipeline 8 --devices 1536 --global-batch 2304 --micro-batch 2 "
ROW += "--layers-per-virtual-stage 5 --recompute full --machine selene"


def run(capsys, text):
    plan_cli.main(text.split())
    return capsys.readouterr().out


def refused(capsys, text):
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", *text.split()])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


class TestShow:
    def test_json_of_a_published_row(self, capsys):
        found = json.loads(run(capsys, f"show --json {ROW}"))
        assert found["parameters"] == pytest.approx(145.6e9, rel=0.005)
        assert found["tflops_per_device"] == pytest.approx(148, rel=0.05)
        assert found["utilisation"] == pytest.approx(found["tflops_per_device"] / 312)
        rate = found["flops_per_step"] / found["step_seconds"] / 1536 / 1e12
        assert found["tflops_per_device"] == pytest.approx(rate)
        assert found["bubble_fraction"] == pytest.approx(3.5 / 51.5)
        assert found["memory_per_device_bytes"] == sum(found["memory_parts_bytes"].values()) < 72e9
        assert sum(found["parts_seconds"].values()) == pytest.approx(found["step_seconds"])

    def test_text(self, capsys):
        text = run(capsys, f"show {ROW} --tokens 300e9")
        assert "tensor 8, pipeline 8, data 24, micro-batch 2, 2 chunks a stage, full" in text
        assert "  weights " in text and "computing again" in text and "days" in text
        rows = [line for line in text.splitlines() if "▒" in line][1:]
        assert len(rows) == 8 and {len(row) for row in rows} == {79}

    def test_without_a_layout_it_is_the_best(self, capsys):
        shown = json.loads(
            run(capsys, "show --model gpt-22b --machine frontier --devices 64 --json")
        )
        best = json.loads(
            run(capsys, "search --model gpt-22b --machine frontier --devices 64 --json")
        )
        assert shown["layout"] == best["best"][0]["layout"]

    def test_networks_and_models_of_ones_own(self, capsys):
        text = run(
            capsys, "show --model resnet-50 --machine p100-roce --devices 64 --micro-batch 32"
        )
        assert "gradient exchange" in text and "samples/s" in text
        own = (
            "show --parameters 22000000 --flops 7e8 --activations 5e6 --machine ascent --devices 6"
        )
        assert json.loads(run(capsys, f"{own} --json"))["parameters"] == 22_000_000

    def test_what_does_not_fit_is_told(self, capsys):
        text = run(capsys, "show --model gpt-7.5b --tensor 1")
        assert "does not fit:" in text and "GB too much" in text

    def test_a_file(self, capsys, tmp_path):
        path = tmp_path / "plan.json"
        assert run(capsys, f"show {ROW} --json {path}") == ""
        assert json.loads(path.read_text())["machine"] == "selene"
        assert list(tmp_path.iterdir()) == [path]

    def test_gpipe_holds_more(self, capsys):
        base = "show --model gpt-39b --tensor 8 --pipeline 2 --global-batch 64 --json"
        one, two = (json.loads(run(capsys, f"{base} --schedule {s}")) for s in ("1f1b", "gpipe"))
        assert one["step_seconds"] == two["step_seconds"]
        assert one["memory_per_device_bytes"] < two["memory_per_device_bytes"]


class TestOthers:
    def test_search(self, capsys, tmp_path):
        path = tmp_path / "a.png"
        text = run(
            capsys, f"search --model gpt-175b --machine frontier --devices 1024 --picture {path}"
        )
        assert "the best" in text and "The second is" in text
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    def test_scaling(self, capsys, tmp_path):
        path = tmp_path / "a.png"
        text = run(
            capsys, f"scaling --model gpt-22b --machine frontier --devices 512 --picture {path}"
        )
        assert "Strong scaling" in text and "Weak scaling" in text and path.exists()
        found = json.loads(run(capsys, "scaling --model resnet-50 --devices 8 --json"))
        assert [point["devices"] for point in found["weak"]] == [1, 2, 4, 8]

    def test_simulate(self, capsys):
        command = f"simulate {ROW} --device-mtbf-hours 50000"
        found = json.loads(run(capsys, f"{command} --json"))
        assert found["step_seconds"] == pytest.approx(found["formula_seconds"], rel=1e-9)
        assert found["slots"] == 8 * 48 * 2 * 2
        assert found["mtbf_seconds"] == pytest.approx(50000 * 3600 / 1536)
        for row in found["intervals"]:
            assert row["simulated"] == pytest.approx(row["goodput"], rel=0.03)
        assert max(found["intervals"], key=lambda row: row["goodput"])["name"] == "Daly"
        assert "a checkpoint every" in run(capsys, command)

    def test_check(self, capsys, tmp_path):
        path = tmp_path / "job.sh"
        path.write_text(GPT_22B)
        text = run(capsys, f"check {path}")
        assert "bubble 41%" in text and "What helps most:" in text
        for order in (f"check {path} --json", f"check --json {path}"):
            assert json.loads(run(capsys, order))["bubble_fraction"] == pytest.approx(7 / 17)

    def test_tokens(self, capsys):
        found = json.loads(run(capsys, "tokens --flops 5.76e23 --json"))
        assert found["sizes"][0]["parameters"] == pytest.approx(70e9, rel=0.02)
        hours = json.loads(run(capsys, "tokens --device-hours 1e6 --machine selene --json"))
        assert hours["flops"] == pytest.approx(1e6 * 3600 * 312e12 * 0.4)

    def test_machines(self, capsys):
        text = run(capsys, "machines")
        assert "frontier: Frontier (Oak Ridge); 8 × MI250X GCD a node" in text
        assert json.loads(run(capsys, "machines selene --json"))[0]["device"]["memory"] == 80

    def test_published(self, capsys):
        assert run(capsys, "published").count("arXiv 2104.04473, table 1") == 5
        rows = json.loads(run(capsys, "published --json"))
        assert len(rows) == len(published.rows())

    def test_help_comes_without_tensorflow_and_numpy_models(self, capsys):
        for command in ("", "show", "search", "scaling", "simulate", "check", "tokens", "machines"):
            with pytest.raises(SystemExit) as end:
                plan_cli.main([*command.split(), "--help"])
            assert end.value.code == 0
        assert run(capsys, "").startswith("usage: tfsci plan")

    def test_nothing_imports_tensorflow(self):
        code = (
            "import sys; from tfsci import cli\n"
            "try: cli.main('plan search --model gpt-22b --devices 64'.split())\n"
            "except SystemExit: pass\n"
            "print(sorted({'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)))"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert ran.stdout.splitlines()[-1] == "[]", ran.stderr


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("show", "name a --model, or give --layers --hidden --heads, too"),
            ("show --layers 4 --hidden 64", "give --heads, too"),
            ("show --model gpt-2t", "unknown model 'gpt-2t'; did you mean"),
            (
                "show --model gpt-22b --machine selen --tensor 8",
                "unknown machine 'selen'; did you mean selene",
            ),
            (
                "show --model gpt-22b --tensor 5",
                "tensor 5 does not divide heads (48); 1, 2, 3, 4, 6, 8, 12, 16 do",
            ),
            ("show --model gpt-22b --pipeline 5", "pipeline 5 does not divide layers (48)"),
            (
                "show --model gpt-22b --tensor 8 --devices 12",
                "12 devices are not a multiple of tensor 8 × pipeline 1; 8 or 16 are",
            ),
            (
                "show --model gpt-22b --tensor 8 --devices 24 --global-batch 64",
                "global batch 64 is not a multiple of data 3",
            ),
            (
                "show --model gpt-22b --tensor 8 --pipeline 8 --schedule interleaved",
                "needs --layers-per-virtual-stage",
            ),
            (
                "show --model gpt-22b --tensor 8 --pipeline 8 --layers-per-virtual-stage 4",
                "4 does not divide the 6 layers",
            ),
            (
                "show --model gpt-1t --devices 8 --machine frontier",
                "GB too much; the smallest number of devices that fits is",
            ),
            ("show --model resnet-50 --tensor 2", "resnet-50 is trained data-parallel"),
            ("show --model resnet-50 --layers 3", "--layers: resnet-50 has no such size"),
            ("show --parameters 5", "needs --parameters and --flops"),
            ("show --model resnet-50 --tokens 5", "samples of this model have no tokens"),
            ("show --model gpt-22b --zero 4 --tensor 8", "ZeRO: expected a stage of 0 to 3, got 4"),
            (
                "show --model gpt-22b --tensor 0",
                "--tensor: expected a whole number above 0, got '0'",
            ),
            ("show --model gpt-22b --recompute some", "invalid choice: 'some'"),
            (
                "show --model gpt-22b --devices 99999999 --machine ascent",
                "Ascent (Oak Ridge) has 108 devices, not 99,999,999",
            ),
            ("search --model gpt-22b", "--devices: on how many?"),
            ("search --model vgg-16 --devices 4", "vgg-16 is trained data-parallel"),
            ("simulate --model vgg-16", "vgg-16 has no pipeline to play"),
            ("check", "name a launch script"),
            ("check /nowhere/job.sh", "/nowhere/job.sh: No such file or directory"),
            ("check /tmp", "/tmp: a folder, not a launch script"),
            ("tokens", "give either --flops or --device-hours"),
            ("tokens --flops 1e3 --device-hours 3", "give either --flops or --device-hours"),
            (
                "tokens --device-hours 3 --utilisation 40",
                "--utilisation: expected a share above 0, up to 1; got 40",
            ),
            ("machines nowhere", "unknown machine 'nowhere'"),
            ("show --model gpt-22b --tensor 8 --json /nowhere/a.json", "/nowhere: no such folder"),
            ("plot", "invalid choice: 'plot'"),
        ],
    )
    def test_in_one_line(self, capsys, text, told):
        assert told in refused(capsys, text)
