"""Trains a GPT on one process or many.

python scripts/train_gpt.py
python scripts/train_gpt.py --data text:book.txt --variant 3m --vocabulary-size 4096
srun -N 2 -n 16 python scripts/train_gpt.py --variant gpt2-small --accumulate 8 ...
"""

from tfsci import command
from tfsci.training import options
from tfsci.training.language import TOKENIZERS, LanguageModelling


def main() -> None:
    """Parses the command line and trains."""
    parser = options.parser(
        "Train a GPT on one process or many.",
        data="sequences",
        epochs=4,
        batch_size=16,
        optimizer="adamw",
        learning_rate=0.002,
        warmup_epochs=0.2,
        weight_decay=0.1,
        clip_norm=1.0,
    )
    add, number = parser.add_argument, options.positive_int
    add("--variant", default="500k", help="row of the table in tfsci.models.gpt, which the next "
        "three override")  # fmt: skip
    add("--num-layers", type=number, metavar="N", help="blocks")
    add("--width", type=number, metavar="N", help="channels of a token")
    add("--num-heads", type=number, metavar="N", help="heads of attention; must divide the width")
    add("--context-length", type=number, metavar="N", help="tokens of a window (default: 128)")
    add("--positions", choices=["learned", "rotary"], default="learned", help="of tokens")
    add("--dropout", type=options.fraction, default=0.0, metavar="RATE",
        help="of the embeddings and of what each half of a block adds")  # fmt: skip
    add("--recompute", action="store_true", help="keep less in memory, compute a third more")
    add("--tokenizer", choices=TOKENIZERS, help="of text:FILE (default: byte-pairs)")
    add("--vocabulary-size", type=number, metavar="N", help="of byte pairs (default: 2048)")
    arguments = parser.parse_args()
    task = LanguageModelling(
        arguments.context_length, arguments.tokenizer, arguments.vocabulary_size
    )
    names = "variant num_layers width num_heads positions dropout recompute"
    command.train(
        options.Options.of(arguments),
        "gpt",
        task,
        **{name: getattr(arguments, name) for name in names.split()},
    )


if __name__ == "__main__":
    command.run(main)
