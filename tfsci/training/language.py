"""The task of a language model: the next token, for every token of a window."""

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tfsci.data import catalog, pipeline, text
from tfsci.distributed import preflight
from tfsci.training import byte_pairs
from tfsci.training.tasks import Task, perplexity

TOKENIZERS = ("byte-pairs", "bytes")
_SETS = ("sequences", "text")
_SAMPLE = 200  # tokens that are written at the end, at most


@dataclass(frozen=True)
class LanguageModelling(Task):
    """The next token of a text or of simulated sequences.

    Attributes:
        context_length: Tokens of a window; what the data says by default.
        tokenizer: Of a text, one of `TOKENIZERS`.
        vocabulary_size: Of byte pairs.
    """

    context_length: int | None = None
    tokenizer: str | None = None
    vocabulary_size: int | None = None
    name = "language modelling"

    def load(self, options):
        """Returns the source; of a text, windows of bytes."""
        name, place, given = catalog.parse(options.data)
        if name not in _SETS:
            raise ValueError(
                f"--data {options.data}: is no text, and this script trains a language model; "
                "expected sequences or text:FILE"
            )
        if options.augment:
            raise ValueError(f"--augment {options.augment}: is for images; leave it out")
        if name != "text" and (self.tokenizer or self.vocabulary_size):
            option = "--tokenizer" if self.tokenizer else "--vocabulary-size"
            raise ValueError(
                f"{option}: {options.data} is tokens already; leave the option out, or use --data "
                "text:FILE"
            )
        if self.tokenizer == "bytes" and self.vocabulary_size:
            raise ValueError(
                f"--vocabulary-size {self.vocabulary_size}: is of byte pairs, and there are "
                f"{text.VOCABULARY_SIZE} bytes; leave it out"
            )
        spec = options.data
        if self.context_length:
            if "length" in given and given["length"] != str(self.context_length):
                raise ValueError(
                    f"--context-length {self.context_length}: --data {spec} says "
                    f"length={given['length']}; leave one of them out"
                )
            if "length" not in given:
                spec += f"{',' if place or given else ':'}length={self.context_length}"
        source = catalog.load(spec, options.limit, options.data_dir)
        if name == "text" and self._pairs:
            byte_pairs.learn(b"", self.vocabulary_size or 256)  # refused now, not after a start
        return source

    @property
    def _pairs(self) -> bool:
        return self.tokenizer != "bytes"

    def prepare(self, source, options, strategy):
        """Returns a text as tokens that the chief has learned, or found in the run folder."""
        told = {"data": options.data, **self.settings}  # who learns, all must agree on first
        told = {f"--{name.replace('_', '-')}": value for name, value in told.items()}
        preflight.check(strategy, {"options": told})
        if catalog.parse(source.name)[0] != "text" or not self._pairs:
            return source
        path = Path(catalog.parse(source.name)[1]).expanduser().absolute()
        definition = None
        if strategy.is_chief:
            kept = Path(options.output or "") / byte_pairs.FILE
            if options.resume and options.output and kept.exists():
                definition = kept.read_text(encoding="utf-8")
            else:
                size = self.vocabulary_size or 2048
                definition = byte_pairs.learn(byte_pairs.texts(path)[0], size)
        vocabulary = byte_pairs.BytePairs(strategy.broadcast_value(definition))
        return byte_pairs.windows(source, path, vocabulary, options.limit)

    def begin(self, source, folder):
        """Writes ``tokenizer.json``."""
        if isinstance(source, byte_pairs.Tokenized):
            with folder.replacing(byte_pairs.FILE) as path:
                path.write_text(source.vocabulary.definition, encoding="utf-8")

    def shape(self, source):
        """Returns the number of tokens and how many a window has."""
        return {"vocabulary_size": source.num_classes, "context_length": source.input_shape[0]}

    def loss(self):
        """Returns the cross-entropy, in nats a token."""
        import keras

        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self):
        """Returns how often the most probable token is the next one."""
        import keras

        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def results(self, source, test):
        """Returns them with the perplexity and, of a text, bits a byte, whatever the tokens are."""
        results = super().results(source, test) | {"perplexity": perplexity(test["loss"])}
        if source.class_names is None:
            each = getattr(source, "bytes_per_token", 1.0)
            results["bits_per_byte"] = test["loss"] / math.log(2) / each
        return results

    def finish(self, model, source, options, folder):
        """Writes ``sample.txt``: how a window of the test begins, and how the model goes on."""
        from tfsci.models.generation import Generator

        (length,) = source.input_shape
        if length < 2:
            return ""
        known = min(16, length // 2)
        prompt = next(pipeline.evaluation(source.test, 1).dataset.as_numpy_iterator())[0][0, :known]
        write = Generator(model, jit=not options.deterministic)
        tokens = write(prompt, min(_SAMPLE, length - known), seed=options.seed)
        given, written = _decoded(source, tokens[:known]), _decoded(source, tokens[known:])
        with folder.replacing("sample.txt") as path:
            path.write_text(f"{given}|{written}\n", encoding="utf-8")
        shown = "".join(c if c.isprintable() else " " for c in f"{given} | {written}")
        return "sample: " + "\n        ".join(textwrap.wrap(shown, 88))

    def summary(self, metrics):
        """Returns the loss beside the entropy floor."""
        loss, floor = metrics["test_loss"], metrics["known_answer"]
        words = [f"test loss {loss:.4f} nats a token"]
        if floor:
            words[0] += f" (best possible {floor:.4f}, {loss / floor - 1:.1%} above)"
        words.append(f"perplexity {metrics['perplexity']:.2f}")
        if "bits_per_byte" in metrics:
            words.append(f"{metrics['bits_per_byte']:.3f} bits a byte")
        return " · ".join(words)


def _decoded(source, tokens) -> str:
    if source.class_names:
        return "".join(source.class_names[token] for token in tokens)
    if isinstance(source, byte_pairs.Tokenized):
        return source.vocabulary.decode(tokens)
    return text.decode(tokens)
