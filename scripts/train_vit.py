"""Trains a vision transformer on one process or many.

python scripts/train_vit.py
horovodrun -np 6 python scripts/train_vit.py --variant small --data folder:photos,size=224
"""

from tfsci import command
from tfsci.training import options
from tfsci.training.tasks import Classification


def main() -> None:
    """Parses the command line and trains."""
    parser = options.parser(
        "Train a vision transformer on one process or many.",
        epochs=20,
        batch_size=64,
        optimizer="adamw",
        learning_rate=0.001,
        warmup_epochs=2,
        weight_decay=0.05,
        clip_norm=1.0,
    )
    add = parser.add_argument
    add("--variant", default="mini", help="mini, tiny, small or base")
    add("--patch-size", type=options.positive_int, metavar="N",
        help="edge of a patch in pixels (default: the variant's own; 2 for digits)")  # fmt: skip
    add("--dropout", type=options.fraction, default=0.0, metavar="RATE",
        help="of the embeddings and of what each half of a block adds")  # fmt: skip
    add("--label-smoothing", type=options.fraction, default=0.0, metavar="RATE",
        help="probability that a label gives to all classes")  # fmt: skip
    add("--recompute", action="store_true", help="keep less in memory, compute a third more")
    arguments = parser.parse_args()
    small = arguments.data == "digits" and arguments.variant == "mini"
    command.train(
        options.Options.of(arguments),
        "vit",
        Classification(arguments.label_smoothing),
        variant=arguments.variant,
        patch_size=arguments.patch_size or (2 if small else None),
        dropout=arguments.dropout,
        recompute=arguments.recompute,
    )


if __name__ == "__main__":
    command.run(main)
