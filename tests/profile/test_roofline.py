import json
import time

import keras
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tfsci import profile_cli
from tfsci.models import cost, sizes
from tfsci.models.cost import Cost
from tfsci.profile import rates, roofline
from tfsci.profile.roofline import Machine, Step

# 200 GFLOP/s and 20 GB/s: ten operations a byte.
MACHINE = Machine(200e9, 20e9, "float32", 2)


class TestModel:
    def test_the_ridge_is_where_the_roofs_meet(self):
        assert MACHINE.ridge == 10
        assert MACHINE.roof(10) == 200e9
        assert MACHINE.roof(5) == 5 * 20e9
        assert MACHINE.roof(1000) == 200e9

    @pytest.mark.parametrize("batch_size", [1, 64])
    def test_a_dense_layer_by_hand(self, batch_size):
        inputs = keras.Input((100,))
        found = cost.measure(keras.Model(inputs, keras.layers.Dense(30)(inputs)))
        # y = x W, dW = xᵀ dy, dx = dy Wᵀ: three products of 2 · 100 · 30 operations a sample.
        assert roofline.step_flops(found, batch_size) == 6 * batch_size * 100 * 30
        # x read twice, y written and read; W and b: read, read, gradient written, read, two
        # averages read and written, and W itself read and written: ten times 4 bytes.
        moved = 8 * batch_size * (100 + 30) + 40 * (100 * 30 + 30)
        assert roofline.step_bytes(found, batch_size) == moved
        step = Step("dense", batch_size, 6 * batch_size * 3000, moved, 1.0)
        assert step.intensity == 18_000 * batch_size / (1040 * batch_size + 121_200)

    def test_large_batches_are_worth_more_operations_a_byte(self):
        found = Cost((100,), 3030, 6000, 120)
        of = [roofline.step_flops(found, n) / roofline.step_bytes(found, n) for n in (1, 8, 64)]
        assert of == sorted(of)


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "share", "words"),
    [
        (100e9, 1e9, 1.0, 0.5, "a: the matrix rate limits it, it reaches 50 % of that"),
        (10e9, 2e9, 0.2, 0.5, "a: memory bandwidth limits it, it reaches 50 % of that"),
        (10e9, 2e9, 1.0, 0.1, "a: neither roof limits it, it reaches 10 % of memory bandwidth"),
        (10e9, 2e9, 0.05, 2.0, "a: 2.0 times what memory bandwidth allows: the caches hold"),
        (100e9, 1e9, 0.25, 2.0, "a: 2.0 times what the matrix rate allows: the machine was busy"),
    ],
)
def test_what_limits_a_step(flops, moved, seconds, share, words):
    step = Step("a", 32, flops, moved, seconds)
    assert step.utilisation(MACHINE) == pytest.approx(share)
    assert step.finding(MACHINE).startswith(words)
    assert words in roofline.report(MACHINE, [step])


def best(work, turns=6):
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class TestMeasured:
    def test_products_as_numpy_measures_them(self, monkeypatch):
        monkeypatch.setattr(rates, "_PRODUCT", 1024)
        found = rates._matrix_rate("float32")
        a = np.random.default_rng(0).random((1024, 1024), "float32")
        with threadpool_limits(rates._threads()):
            numpys = 2 * 1024**3 / best(lambda: a @ a)
        assert 1 / 2 < found / numpys < 2

    def test_bandwidth_as_a_copy_measures_it(self):
        a, b = np.zeros(2**24, "f4"), np.ones(2**24, "f4")
        copied = 2 * a.nbytes / best(lambda: np.copyto(a, b))
        assert 1 / 3 < rates.memory_bandwidth(2**26) / copied < 3

    def test_a_step_of_a_model(self):
        options = {"input_shape": (16,), "num_classes": 3, "variant": "linear"}
        found = cost.sketch("mlp", **options)
        step = rates.step("mlp", options, found, 8, "float32")
        assert (step.name, step.batch_size) == ("mlp", 8)
        assert step.flops == 6 * 8 * 16 * 3
        assert 1e-6 < step.seconds < 1

    def test_the_best_of_all_turns_is_kept(self):
        slow, fast = Machine(2.0, 5.0, "float32", 2), Machine(3.0, 4.0, "float32", 2)
        assert rates._best_of(slow, fast) == Machine(3.0, 5.0, "float32", 2)

    def test_the_last_level_of_cache_of_all_sockets(self, tmp_path):
        for cpu, shared in enumerate(["0-1", "0-1", "2-3", "2-3"]):
            for index, level, size in ((0, 1, "32K"), (3, 3, "16384K")):
                folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
                folder.mkdir(parents=True)
                (folder / "level").write_text(f"{level}\n")
                (folder / "size").write_text(f"{size}\n")
                (folder / "shared_cpu_list").write_text(f"{shared if level == 3 else cpu}\n")
        assert rates._cache_bytes(tmp_path) == 2 * 16 * 2**20
        assert rates._cache_bytes(tmp_path / "absent") == 0


def test_more_memory_than_there_is_is_refused_with_a_batch_that_fits():
    found = Cost((10,), parameters=2**20, flops=1, activations=2**20)
    rates.check_memory("a", found, 16, 2**26)  # twice 16 · 2²⁰ and 16 · 2²⁰
    with pytest.raises(ValueError, match=r"a at a batch of 17: .* use --batch-size 16 or less"):
        rates.check_memory("a", found, 17, 2**26)
    with pytest.raises(ValueError, match="take a smaller variant"):
        rates.check_memory("a", found, 1, 2**20)


def test_the_file_holds_what_was_measured(tmp_path):
    roofline.write_json(tmp_path / "a.json", MACHINE, [Step("a", 1, 2.0, 3.0, 4.0)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "matrix_flops_per_second": 200e9,
        "memory_bytes_per_second": 20e9,
        "precision": "float32",
        "threads": 2,
        "device": "CPU",
        "models": [{"name": "a", "batch_size": 1, "flops": 2.0, "bytes": 3.0, "seconds": 4.0}],
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["foo"], "unknown model 'foo'; expected one of mlp, cnn, "),
        (["resnet:19"], "resnet:19: no variant '19'; expected one of 18, 34, 50, 101, 152"),
        (["gpt", "--num-classes", "3"], "--num-classes: gpt has none; leave it out"),
        (["cnn", "--input-shape", "3,x"], "argument --input-shape: expected whole numbers above 0"),
        (["--output", "a.jpg"], "--output a.jpg: expected a name that ends with .png"),
        (["--json", "absent/a.json"], "--json absent/a.json: expected a file in a folder"),
        (["cnn", "--batch-size", "100000000"], "cnn at a batch of 100000000: training needs about"),
    ],
)
def test_what_can_not_be_is_one_line(arguments, text, capsys):
    with pytest.raises(ValueError) as error:
        profile_cli.main(["roofline", *arguments])
    assert str(error.value).startswith(text)
    assert capsys.readouterr().out == ""


def test_models_are_as_large_as_tfsci_models_lists_them():
    assert sizes.options("vit", num_classes=7) == (
        "vit", {"input_shape": (64, 64, 3), "num_classes": 7, "variant": "mini"},
    )  # fmt: skip
