import pytest

from tfsci import models, models_cli
from tfsci.models import sizes


def listed(capsys, *arguments):
    assert models_cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == [
        "model", "variant", "input", "classes", "parameters", "GFLOPs", "MB/sample",
    ]  # fmt: skip
    return [line.split() for line in lines[3 : lines.index("", 3)]]


def test_a_row_for_each_variant(capsys):
    rows = {tuple(row[:2]): row[2:] for row in listed(capsys, "cnn", "mlp")}
    assert list(rows) == [
        *(("cnn", variant) for variant in ("small", "pooled", "oak-ridge")),
        *(("mlp", variant) for variant in ("linear", "small", "base", "deep")),
    ]
    # 128² · 12 · 27 + 64² · 24 · 108 + 24,576 · 231 products: 0.0216 · 10⁹, twice that operations.
    assert rows["cnn", "oak-ridge"][:4] == ["128×128×3", "231", "5,680,239", "0.043"]
    assert rows["mlp", "linear"] == ["28×28×1", "10", "7,850", "0.000", "0.0"]


def test_of_ones_own_shape_batch_and_precision(capsys):
    own = ("--input-shape", "100,100", "--num-classes", "1000", "--batch-size")
    (linear, *_) = listed(capsys, "mlp", *own, "1")
    # 10,001,000 parameters of 16 bytes and 1000 logits of 4.
    assert linear == ["mlp", "linear", "100×100", "1000", "10,001,000", "0.020", "160.0"]
    (linear, *_) = listed(capsys, "mlp", *own, "10")
    assert linear[-1] == "16.0"


def test_every_model_can_be_listed():
    assert set(sizes.LISTED) == set(models.MODELS)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["foo"], "unknown model 'foo'; expected one of mlp, cnn, "),
        (["gpt", "--num-classes", "3"], "--num-classes: gpt has none; name models that do"),
        (["mlp", "--input-shape", "3,x"],
         "argument --input-shape: expected whole numbers above 0 with commas between, such as "
         "64,64,3; got '3,x' (see tfsci models --help)"),
        (["cnn", "--input-shape", "2,2,1"],
         "input_shape (2, 2, 1): too small to halve 2 times; expected at least 4×4 pixels"),
        (["--batch-size", "0"], "argument --batch-size: expected a whole number above 0, got '0'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(arguments, text, capsys):
    with pytest.raises(ValueError) as error:
        models_cli.main(arguments)
    assert str(error.value).startswith(text)
    assert capsys.readouterr().out == ""
