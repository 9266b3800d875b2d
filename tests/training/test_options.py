import argparse
import dataclasses
from pathlib import Path

import pytest

from tfsci.training import options
from tfsci.training.options import Options

SCRIPTS = Path(__file__).parents[2] / "scripts"


def parse(*arguments):
    return Options.of(options.parser("Train.").parse_args(arguments))


class TestDefaults:
    def test_are_those_of_the_dataclass(self):
        assert parse() == Options()

    def test_of_a_script_may_differ(self):
        parser = options.parser("Train.", epochs=16, data="npz:x")
        expected = dataclasses.replace(Options(), epochs=16, data="npz:x")
        assert Options.of(parser.parse_args([])) == expected

    @pytest.mark.parametrize(
        ("defaults", "told"),
        [({}, "0.1 for digits, else 0.02; adamw: 0.001"), ({"learning_rate": 0.05}, "0.05")],
    )
    def test_help_tells_the_learning_rate_once(self, defaults, told):
        text = " ".join(options.parser("Train.", **defaults).format_help().split())
        assert f"peak, for one replica (default: {told}) --" in text

    def test_a_scripts_own_arguments_are_left_out(self):
        parser = options.parser("Train.")
        parser.add_argument("--dropout", type=options.fraction)
        arguments = parser.parse_args(["--dropout", "0.5", "--seed", "3"])
        assert arguments.dropout == 0.5
        assert Options.of(arguments) == dataclasses.replace(Options(), seed=3)


class TestValues:
    def test_every_option_arrives(self):
        line = (
            "--data npz:x --epochs 3 --batch-size 64 --learning-rate 1e-3 --schedule step "
            "--scale-lr sqrt --warmup-epochs 0.5 --seed 4294967295 --strategy single "
            "--compression fp16 --precision mixed_bfloat16 --jit off --limit 100 --output runs/a "
            "--resume --profile 5 --quiet --optimizer adamw --weight-decay 0.1 --clip-norm 1 "
            "--accumulate 4 --deterministic"
        )
        assert parse(*line.split()) == Options(
            data="npz:x",
            epochs=3,
            batch_size=64,
            learning_rate=0.001,
            schedule="step",
            scale_lr="sqrt",
            warmup_epochs=0.5,
            seed=4294967295,
            strategy="single",
            compression="fp16",
            precision="mixed_bfloat16",
            jit="off",
            limit=100,
            output="runs/a",
            resume=True,
            profile=5,
            quiet=True,
            optimizer="adamw",
            weight_decay=0.1,
            clip_norm=1,
            accumulate=4,
            deterministic=True,
        )

    def test_profile_alone_means_ten_steps(self):
        assert parse("--profile").profile == 10
        assert parse("--profile", "--quiet") == Options(profile=10, quiet=True)
        assert parse().profile == 0

    def test_a_warm_up_may_be_none(self):
        assert parse("--warmup-epochs", "0").warmup_epochs == 0


WHOLE = "a whole number above 0"
BAD = ["0", "-1", "1.5", "nan", "inf", "x", ""]
WHOLES = ("--epochs", "--batch-size", "--limit", "--profile", "--accumulate")
NUMBERS = [
    *[(name, WHOLE, BAD) for name in WHOLES],
    (
        "--seed",
        "a whole number from 0 up to 2³²",
        ["-1", "1.5", "nan", "inf", "x", "", str(2**32)],
    ),
    ("--learning-rate", "a number above 0", ["0", "-1", "nan", "inf", "x", "", "1e-999", "1e999"]),
    *[
        (name, "a number from 0 up", ["-1", "nan", "inf", "x", "", "-0.5"])
        for name in ("--warmup-epochs", "--weight-decay", "--clip-norm")
    ],
]


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "expected", "text"),
        [(name, expected, text) for name, expected, texts in NUMBERS for text in texts],
    )
    def test_a_bad_number(self, name, expected, text):
        parser = options.parser("Train.")
        for arguments in ([name, text], [f"{name}={text}"]):
            with pytest.raises(ValueError) as error:
                parser.parse_args(arguments)
            assert str(error.value) == (
                f"argument {name}: expected {expected}, got {text!r} (see {parser.prog} --help)"
            )

    @pytest.mark.parametrize("text", ["1", "1.0", "-0.1", "nan", "inf", "x"])
    def test_a_bad_fraction(self, text):
        parser = options.parser("Train.")
        parser.add_argument("--dropout", type=options.fraction)
        with pytest.raises(ValueError) as error:
            parser.parse_args([f"--dropout={text}"])
        assert str(error.value) == (
            "argument --dropout: expected a number from 0 up to, not including, 1, "
            f"got {text!r} (see {parser.prog} --help)"
        )

    @pytest.mark.parametrize(
        ("name", "choices"),
        [
            ("--schedule", ["constant", "cosine", "step"]),
            ("--scale-lr", ["none", "sqrt", "linear"]),
            ("--strategy", ["auto", "single", "horovod"]),
            ("--optimizer", ["sgd", "adamw"]),
            ("--compression", ["none", "fp16"]),
            ("--precision", ["float32", "mixed_bfloat16", "mixed_float16"]),
            ("--jit", ["auto", "on", "off"]),
        ],
    )
    def test_a_bad_choice(self, name, choices):
        with pytest.raises(ValueError) as error:
            parse(name, "x")
        text = str(error.value)
        assert text.startswith(f"argument {name}: invalid choice: 'x' (choose from ")
        assert all(choice in text for choice in choices)
        assert "\n" not in text

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--epoch-size", "3"], "unrecognized arguments: --epoch-size 3"),
            (["stray"], "unrecognized arguments: stray"),
            (["--seed"], "argument --seed: expected one argument"),
        ],
    )
    def test_a_bad_line(self, arguments, text):
        parser = options.parser("Train.")
        with pytest.raises(ValueError) as error:
            parser.parse_args(arguments)
        assert str(error.value) == f"{text} (see {parser.prog} --help)"


class TestImports:
    """Whoever asks for help, or mistypes an option, does not wait for TensorFlow."""

    LOADED = (
        "print(sorted({'tensorflow', 'keras', 'horovod', 'sklearn', 'matplotlib'}"
        " & sys.modules.keys()))"
    )

    def test_importing_loads_no_framework(self, python):
        modules = "tfsci, tfsci.cli, tfsci.command, tfsci.training.options"
        result = python(f"import sys, {modules}\n{self.LOADED}")
        assert (result.stdout, result.stderr) == ("[]\n", "")

    @pytest.mark.parametrize("program", ["-m tfsci", *map(str, SCRIPTS.glob("train_*.py"))])
    def test_help_loads_no_framework(self, python, program):
        how = "run_module('tfsci'" if program == "-m tfsci" else f"run_path({program!r}"
        code = (
            "import runpy, sys\n"
            "sys.argv[1:] = ['--help']\n"
            f"try:\n    runpy.{how}, run_name='__main__')\n"
            f"except SystemExit as end:\n    assert not end.code\n{self.LOADED}"
        )
        result = python(code)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith("usage: ")
        assert result.stdout.endswith("\n[]\n")


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("90", 5400), ("0.5", 30), ("1:30", 90), ("2:00:00", 7200), ("100:00:05", 360005)],
    )
    def test_by_hand(self, text, seconds):
        assert options.duration(text) == seconds

    @pytest.mark.parametrize("text", ["", "0", "-1", "1h", "nan", "inf", "1:2", "0:00", "1:2:3:4"])
    def test_else_is_refused(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match="expected minutes above 0 or H:MM"):
            options.duration(text)
