"""What was published, and what this package predicts for it."""

from dataclasses import dataclass

from tfsci.plan import network as networks
from tfsci.plan import presets, tokens
from tfsci.plan.layout import Layout
from tfsci.plan.machine_table import MACHINES
from tfsci.plan.step import step
from tfsci.plan.transformer import Transformer


@dataclass(frozen=True)
class Row:
    """A published figure.

    Attributes:
        what: Of what.
        unit: Of both numbers.
        published: The figure.
        predicted: Ours.
        error: Of ours, in percent; of percentages, in points.
        fitted: Whether a constant was fitted to it.
        source: Where it stands.
    """

    what: str
    unit: str
    published: float
    predicted: float
    error: float
    fitted: bool
    source: str


# Layers, hidden size, heads; tensor, pipeline, devices, batch, micro-batch, layers of a chunk (0
# for all of a stage); TFLOP/s of a device. Narayanan 2021, table 1, on Selene, all computed again;
# micro-batches and chunks from github.com/NVIDIA/Megatron-LM, examples/sc21/run_table_1.sh.
TABLE_1 = (
    (24, 2304, 24, 1, 1, 32, 512, 16, 0, 137),
    (36, 4096, 32, 4, 1, 128, 512, 16, 0, 142),
    (48, 8192, 64, 8, 2, 512, 1536, 4, 0, 138),
    (80, 12288, 96, 8, 8, 1536, 2304, 2, 5, 148),
    (128, 25600, 160, 8, 64, 3072, 3072, 1, 0, 163),
)


_LLAMA = {"recompute": "none", "sequence_parallel": True, "flash": True, "zero": 1}
_SPLIT = {"recompute": "selective", "sequence_parallel": True}
_MODEL = "% of peak, model alone"

# What; model, machine and layout; unit and figure; whether a constant was fitted to it; source.
# Layouts on Frontier from github.com/sajal-vt/Megatron-DeepSpeed-ORNL, launch_gpt*.slurm.
_OTHERS = (
    ("GPT 530 B on 2,240 A100, all computed again", "gpt-530b", "selene",
     Layout(8, 35, 8, 1, 2240, 3), _MODEL, 42.1, False, "arXiv 2205.05198"),
    ("GPT 530 B on 2,240 A100, sequence parallel", "gpt-530b", "selene",
     Layout(8, 35, 8, 1, 2240, 3, **_SPLIT), _MODEL, 54.2, False, "arXiv 2205.05198"),
    ("GPT 175 B on 128 GCD of Frontier", "gpt-175b", "frontier",
     Layout(4, 16, 2, 1, 1280, flash=True), "% of peak", 36.14, True, "arXiv 2312.12705"),
    ("GPT 22 B on 16 GCD of Frontier", "gpt-22b", "frontier",
     Layout(1, 8, 2, 1, 640, flash=True), "% of peak", 38.38, False, "arXiv 2312.12705"),
    ("Llama 3 405 B on 8,192 H100", "llama-3-405b", "dgx-h100",
     Layout(8, 16, 64, 1, 2048, 8, **_LLAMA), "TFLOP/s a device", 430, True, "arXiv 2407.21783"),
    ("Llama 3 405 B on 16,384 H100", "llama-3-405b", "dgx-h100",
     Layout(8, 16, 128, 1, 2048, 8, **_LLAMA), "TFLOP/s a device", 400, False, "arXiv 2407.21783"),
)  # fmt: skip


def table_1(row: tuple) -> tuple[Transformer, Layout]:
    """Returns the model and the layout of a row like those of `TABLE_1`."""
    layers, hidden, heads, t, p, devices, batch, micro_batch, each, *_ = row
    chunks = layers // p // each if each else 1
    layout = Layout(t, p, devices // t // p, micro_batch, batch, chunks)
    return Transformer(layers, hidden, heads), layout


def rows() -> list[Row]:
    """Returns all figures with what is predicted for them."""
    found = []

    def add(what: str, unit: str, published: float, predicted: float, fitted: bool, source: str):
        points = (
            predicted - published if unit.startswith("%") else 100 * (predicted / published - 1)
        )
        found.append(Row(what, unit, published, predicted, points, fitted, source))

    narayanan = "arXiv 2104.04473, table 1"
    for row in TABLE_1:
        model, layout = table_1(row)
        took = step(model, MACHINES["selene"], layout)
        what = f"GPT {model.parameters / 1e9:.1f} B on {layout.devices:,} A100"
        rate = float(took.flops_per_device) / 1e12
        add(what, "TFLOP/s a device", row[-1], rate, True, narayanan)
    model = presets.find("gpt-175b")
    add(
        "GPT 175 B on 1,024 A100, at 138 TFLOP/s", "s a step",
        32, model.step_flops(1536.0, "full") / 1024 / 138e12, False, "Megatron-LM's README",
    )  # fmt: skip
    add(
        "GPT 175 B on 1,024 A100, at 140 TFLOP/s", "days for 300 B tokens",
        34, 8 * 300e9 * model.parameters / 1024 / 140e12 / 86400, False, "arXiv 2104.04473, eq. 4",
    )  # fmt: skip
    for what, name, machine, layout, unit, published, fitted, source in _OTHERS:
        took = step(presets.find(name), MACHINES[machine], layout)
        predicted = {
            "TFLOP/s a device": took.flops_per_device / 1e12,
            "% of peak": 100 * took.utilisation,
            "% of peak, model alone": 100 * took.model_utilisation,
        }[unit]
        add(what, unit, published, float(predicted), fitted, source)
    for name, machine, devices, batch, percent, source in (
        ("resnet-101", "p100-roce", 512, 64, 90, "arXiv 1802.05799"),
        ("vgg-16", "p100-roce", 512, 64, 68, "arXiv 1802.05799"),
        ("resnet-50", "p100-ethernet", 256, 32, 90, "arXiv 1706.02677"),
    ):
        reached = networks.efficiency(presets.find(name), MACHINES[machine], devices, batch)
        add(f"{name} on {devices} P100", "% of linear", percent, 100 * reached, False, source)
    for what, published, parameters, count, source in (
        ("PaLM 540 B, 780 B tokens", 2527.2, 540e9, 780e9, "arXiv 2204.02311"),
        ("Llama 3 405 B, 15.6 T tokens", 3.8e4, 405e9, 15.6e12, "arXiv 2407.21783"),
    ):
        add(
            what,
            "10²¹ operations",
            published,
            tokens.training_flops(parameters, count) / 1e21,
            False,
            source,
        )
    return found


def table(found: list[Row]) -> str:
    """Returns the rows as Markdown."""
    lines = [
        "| what | published | predicted | error | constants fitted to it | source |",
        "|---|---|---|---|---|---|",
    ]
    for row in found:
        error = f"{row.error:+.1f} points" if row.unit.startswith("%") else f"{row.error:+.1f} %"
        lines.append(
            f"| {row.what}, {row.unit} | {row.published:,g} | {row.predicted:,.1f} | {error} | "
            f"{'yes' if row.fitted else 'no'} | {row.source} |"
        )
    return "\n".join(lines)
