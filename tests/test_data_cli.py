import os
import subprocess
import sys

import numpy as np
import pytest

from tfsci import cli
from tfsci.data import inventory

ISING = "ising:size=8,sweeps=2,samples=60"
COMMANDS = ("list", "prepare", "show", "check", "export")


@pytest.fixture
def tfsci(capsys, monkeypatch, tmp_path):
    """Runs `tfsci data …` in an empty folder; gives its exit code, output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tfsci"])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["data", *map(str, arguments)])
        return end.value.code, *capsys.readouterr()

    return run


def rows(table):
    """The rows of a table by their first column, which ends with two spaces."""
    lines = [line for line in table.splitlines() if "  " in line]
    return {line.split("  ")[0]: line.split() for line in lines}


class TestHelp:
    @pytest.mark.parametrize("arguments", [(), ("--help",), *((name, "-h") for name in COMMANDS)])
    def test_is_printed(self, tfsci, arguments):
        code, out, err = tfsci(*arguments)
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: {' '.join(['tfsci data', *arguments[:1]])}"[:16])
        assert max(map(len, out.splitlines())) <= 100

    def test_names_every_command(self, tfsci):
        _, out, _ = tfsci()
        assert all(f"    {name} " in out for name in COMMANDS)

    def test_imports_no_tensorflow(self):
        code = (
            "import sys\nfrom tfsci import cli\n"
            "try: cli.main(['data', 'list', '--help'])\nexcept SystemExit: pass\n"
            "print(sorted({'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]"


class TestList:
    def test_the_built_in_sets(self, tfsci, tmp_path):
        code, out, err = tfsci("list")
        assert (code, err) == (0, "")
        assert out.splitlines()[0] == f"prepared sets lie in {tmp_path / 'data'}"
        table = rows(out)
        assert list(table)[1:] == list(inventory.BUILT_IN)
        # 10,000 samples of 64·64·3 bytes and a label of 4: 122.9 MB
        assert {name: " ".join(row[1:]) for name, row in table.items() if name != "spec"} == {
            "digits": "1,797 8×8×1 10 – – needs none",
            "diffraction": "10,000 64×64×3 7 122.9 accuracy 1.000 no",
            "damage:5": "10,000 64×64×3 5 122.9 accuracy 0.688 no",
            "damage:3": "10,000 64×64×3 3 122.9 accuracy 0.841 no",
            "damage:2": "10,000 64×64×3 2 122.9 accuracy 0.920 no",
            "galaxies": "10,000 64×64×3 4 122.9 accuracy 0.950 no",
            "ising": "10,000 32×32×1 2 10.3 accuracy 0.979 no",
            "sequences": "10,000 128 20 10.2 loss 2.082 nats no",
            "burgers": "10,000 128 – 10.2 error 0.000 no",
        }

    def test_prepared_and_damaged_sets(self, tfsci, tmp_path):
        root = tmp_path / "elsewhere"
        assert tfsci("prepare", ISING, "--data-dir", root)[0] == 0
        broken = root / "npz/x/y"
        broken.mkdir(parents=True)
        (broken / "tfsci.json").write_text("{")
        table = rows(tfsci("list", "--data-dir", root)[1])
        assert table[ISING][1:4] == ["60", "8×8×1", "2"]
        assert table[ISING][-1] == "yes"
        assert table[str(broken)][-1] == "damaged"

    def test_needs_no_tensorflow(self, tmp_path):
        code = (
            "import sys\nfrom tfsci import cli\n"
            f"try: cli.main(['data', 'list', '--data-dir', {str(tmp_path)!r}])\n"
            "except SystemExit: pass\n"
            "print(sorted({'tensorflow', 'tensorflow_datasets'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr


class TestPrepare:
    def test_a_small_set_is_written_to_disk(self, tfsci, tmp_path):
        code, out, err = tfsci("prepare", "--data", ISING, "digits")
        place = tmp_path / "data/ising/size-8_sweeps-2_samples-60/1.0.0"
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            f"{ISING}: 60 samples (42 train, 12 validation, 6 test); 0.0 MB in {place}",
            "digits: needs no preparation",
        ]
        assert (place / "tfsci.json").is_file()

    def test_own_files_are_converted(self, tfsci, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.zeros((100, 4, 4), "uint8"), y=np.arange(100) % 2)
        _, out, _ = tfsci("prepare", "npz:a.npz")
        assert out.startswith("npz:a.npz: 100 samples (70 train, 20 validation, 10 test); 0.0 MB")
        (manifest,) = (tmp_path / "data").glob("npz/*/*/tfsci.json")
        assert out.rstrip().endswith(f" in {manifest.parent}")


class TestShow:
    @pytest.mark.parametrize(
        ("spec", "number", "name"),
        [
            (ISING, 32, "ising-size-8-sweeps-2-samples-60.png"),
            ("digits", 40, "digits.png"),
            ("burgers:samples=20", 12, "burgers-samples-20.png"),
            ("sequences:samples=20", 12, "sequences-samples-20.png"),
        ],
    )
    def test_writes_a_png(self, tfsci, tmp_path, spec, number, name):
        code, out, err = tfsci("show", spec)
        assert (code, err) == (0, "")
        # With 42 training samples some class may have fewer than 16.
        assert out.split()[1:] == ["samples", "of", spec, "(train):", name]
        assert 0 < int(out.split()[0]) <= number
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_options(self, tfsci, tmp_path):
        _, out, _ = tfsci(
            "show", "--data", ISING, "--output", "a.png", "--samples", 4, "--split", "test"
        )
        assert out.endswith(f" samples of {ISING} (test): a.png\n")
        assert (tmp_path / "a.png").is_file()

    def test_text_that_the_font_lacks(self, tfsci, tmp_path):
        (tmp_path / "a.txt").write_text("$x$ 漢字 \x00\n" * 400)
        code, out, err = tfsci("show", "text:a.txt")
        assert (code, err) == (0, "")
        assert out.endswith("text-a.txt.png\n")


class TestCheck:
    def test_a_good_set(self, tfsci):
        code, out, _ = tfsci("check", "damage:3,size=16,samples=100")
        assert code == 0
        assert "100 samples (70 train, 20 validation, 10 test)" in out
        assert "values 0 to 1" in out
        table = rows(out)
        assert table["class"] == ["class", "train", "validation", "test"]
        assert sum(int(row[-3]) for name, row in table.items() if name != "class") == 70
        assert out.endswith("nothing is wrong\n")

    def test_a_faulty_set(self, tfsci, tmp_path):
        for i in range(30):
            data = np.full((3, 4, 4), i, "float32")
            np.savez(tmp_path / f"{i}.npz", data=data, label=[-1 if i == 7 else i % 2])
        (tmp_path / "9.npz").write_bytes(b"PK")
        code, out, _ = tfsci("check", "--data", f"npz:{tmp_path}")
        assert code == 1
        wrong = [line for line in out.splitlines() if line.startswith("wrong: ")]
        assert [line.split(": ")[1] for line in wrong] == [
            str(tmp_path / "7.npz"),
            str(tmp_path / "9.npz"),
        ]
        assert out.endswith("2 problems\n")


class TestExport:
    def test_both_ways_to_name_the_set(self, tfsci, tmp_path):
        code, out, err = tfsci("export", "--data", ISING, "--format", "npz", "a", "--limit", 20)
        assert (code, err) == (0, "")
        assert out == (
            f"{ISING}: 20 samples (14 train, 4 validation, 2 test) in a; --data npz:a reads them\n"
        )
        assert tfsci("export", ISING, "b", "--limit", "20")[0] == 0
        assert [p.name for p in sorted((tmp_path / "b").rglob("*.npz"))] == [
            p.name for p in sorted((tmp_path / "a").rglob("*.npz"))
        ]
        assert tfsci("check", "npz:a")[1].splitlines()[0].startswith("npz:a: 20 samples")


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nothing"], "argument COMMAND: invalid choice: 'nothing'"),
            (["show"], "expected 1 SPEC, got 0 (see tfsci data show --help)"),
            (["check", "digits", "ising"], "expected 1 SPEC, got 2"),
            (["prepare"], "expected a SPEC or more, got 0"),
            (["prepare", "digits", "nothing"], "--data nothing: unknown data set; expected one of"),
            (["check", "npz:nowhere"], "nowhere: no such folder"),
            (["show", "digits", "--output", "a.jpg"], "--output a.jpg: expected a name that ends"),
            (["show", "digits", "--output", "x/a.png"], "--output x/a.png: expected a file in a"),
            (["show", "digits", "--samples", "0"], "argument --samples: expected a whole number"),
            (["show", "digits", "--split", "all"], "argument --split: invalid choice: 'all'"),
            (["export", "digits"], "expected 1 SPEC, got 0"),
            (["export"], "expected SPEC and DIR"),
            (["export", "digits", "."], ".: is not empty"),
            (["export", "digits", "a", "--format", "hdf5"], "argument --format: invalid choice"),
        ],
    )
    def test_is_one_line_and_exit_code_2(self, tfsci, tmp_path, arguments, message):
        (tmp_path / "file").touch()
        code, out, err = tfsci(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("tfsci: error: ") and message in err
        assert err.count("\n") == 1

    def test_of_a_process(self, tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "tfsci", "data", "check", "npz:nowhere"],
            capture_output=True, text=True, cwd=tmp_path, env=os.environ,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        place = tmp_path / "nowhere"
        assert done.stderr == f"tfsci: error: {place}: no such folder; check the path\n"
