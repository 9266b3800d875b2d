"""`tfsci models`: what models there are, and what each costs."""

import itertools
from collections.abc import Iterator, Sequence
from importlib import import_module

from tfsci import startup
from tfsci.models import MODELS
from tfsci.models.sizes import LISTED, LISTED_VARIANT
from tfsci.training.options import PRECISIONS, Parser, positive_int, shape

_ROW = "{:12}{:15}{:13}{:>8}{:>16}{:>10}{:>12}"


def main(argv: Sequence[str]) -> int:
    """Prints a row for each variant of the models that are named."""
    arguments = _parser().parse_args(argv)
    names = arguments.names or MODELS
    for name in names:
        if name not in MODELS:
            raise ValueError(f"unknown model {name!r}; expected one of {', '.join(MODELS)}")
    own = {"input_shape": arguments.input_shape, "num_classes": arguments.num_classes}
    own = {option: value for option, value in own.items() if value is not None}
    for option in own:
        without = [name for name in names if option not in LISTED[name]]
        if without:
            raise ValueError(
                f"--{option.replace('_', '-')}: {', '.join(without)} has none; name models that do"
            )

    startup.import_tensorflow()
    rows = _rows(names, own, arguments.precision, arguments.batch_size)
    rows = itertools.chain([next(rows)], rows)  # an option that does not fit comes out here
    print(f"a sample's share of memory in training at a batch of {arguments.batch_size}:\n")
    memory = "MB/sample"
    print(_ROW.format("model", "variant", "input", "classes", "parameters", "GFLOPs", memory))
    for row in rows:
        print(_ROW.format(*row), flush=True)
    print(
        "\nGFLOPs: of a forward pass on one sample, 10⁹ multiplications and additions; a training "
        "step takes\nabout three times as many. MB/sample: activations, and weights, gradients "
        "and Adam's averages\nshared by the batch."
    )
    return 0


def _parser() -> Parser:
    about = "Lists models with their parameters, operations and memory; none is built."
    parser = Parser("tfsci models", description=about)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)} (default: all)")
    add("--batch-size", type=positive_int, default=32, metavar="N",
        help="samples that share the weights (default: 32)")  # fmt: skip
    add("--input-shape", type=shape, metavar="N,N,…",
        help="of a sample, such as 64,64,3 (default: the published one)")  # fmt: skip
    add("--num-classes", type=positive_int, metavar="N", help="(default: the published one)")
    add("--precision", choices=PRECISIONS, default="float32", help="(default: float32)")
    return parser


def _rows(names: Sequence[str], own: dict, precision: str, batch_size: int) -> Iterator[tuple]:
    from tfsci.models import cost

    for name in names:
        for variant in import_module(f"tfsci.models.{name}").VARIANTS:
            options = {**LISTED[name], **LISTED_VARIANT.get((name, variant), {}), **own}
            found = cost.sketch(name, precision, variant=variant, **options)
            yield (
                name,
                variant,
                "×".join(map(str, found.input_shape)),
                options.get("num_classes", "–"),
                f"{found.parameters:,}",
                f"{found.flops / 1e9:,.3f}",
                f"{found.memory(batch_size) / 1e6:,.1f}",
            )
