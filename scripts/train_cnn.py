"""Trains a small convolutional network on one process or many.

python scripts/train_cnn.py
horovodrun -np 6 python scripts/train_cnn.py --data digits --epochs 16
"""

from tfsci import command
from tfsci.training import options


def main() -> None:
    """Parses the command line and trains."""
    parser = options.parser(
        "Train a small convolutional network on one process or many.", epochs=16
    )
    parser.add_argument("--variant", default="small", help="row of the table in tfsci.models.cnn")
    parser.add_argument(
        "--dropout", type=options.fraction, metavar="RATE", help="default: the variant's own"
    )
    arguments = parser.parse_args()
    command.train(
        options.Options.of(arguments),
        "cnn",
        variant=arguments.variant,
        dropout=arguments.dropout,
    )


if __name__ == "__main__":
    command.run(main)
