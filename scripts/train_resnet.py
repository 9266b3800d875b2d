"""Trains a residual network on one process or many.

python scripts/train_resnet.py --data diffraction --limit 2000
python scripts/train_resnet.py --variant 50 --data synthetic --batch-size 8
horovodrun -np 6 python scripts/train_resnet.py --variant 50 --data folder:photos,size=224
"""

from tfsci import command
from tfsci.training import options
from tfsci.training.tasks import Classification


def main() -> None:
    """Parses the command line and trains."""
    parser = options.parser(
        "Train a residual network on one process or many. --data synthetic[:size=224,classes=1000,"
        "steps=20] repeats one batch of noise and tells the speed.",
        epochs=20,
        batch_size=64,
        learning_rate=0.05,
        warmup_epochs=1,
        weight_decay=1e-3,
    )
    add = parser.add_argument
    add("--variant", "--depth", default="18", help="depth: 18, 34, 50, 101 or 152 layers")
    add("--stem", default="auto", help="7x7 for large images, 3x3 for small ones")
    add("--dropout", type=options.fraction, default=0.0, metavar="RATE", help="of the features")
    add("--label-smoothing", type=options.fraction, default=0.0, metavar="RATE",
        help="probability that a label gives to all classes")  # fmt: skip
    arguments = parser.parse_args()
    command.train(
        options.Options.of(arguments),
        "resnet",
        Classification(arguments.label_smoothing),
        variant=arguments.variant,
        stem=arguments.stem,
        dropout=arguments.dropout,
    )


if __name__ == "__main__":
    command.run(main)
