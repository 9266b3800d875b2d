"""A text as byte pairs: tokens that are learned from its training part (Sennrich et al. 2016).

The tokens are those of GPT-2: any byte is one, and pairs that are frequent are joined to new ones
until there are as many as asked for. Hugging Face's `tokenizers` learns and applies them; what it
has learned is one JSON file, the same for the same text in every run.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from tfsci.data import text
from tfsci.data.source import Reader, Source

FILE = "tokenizer.json"
_BYTES = 256  # that are tokens from the start
_CHUNK = 1 << 18  # bytes of a text that are taken at once, up to the end of a line


class BytePairs:
    """A learned vocabulary.

    Args:
        definition: What `learn` returned, or a run folder's ``tokenizer.json`` holds.

    Raises:
        ValueError: It is none.
        ModuleNotFoundError: `tokenizers` is not installed.
    """

    def __init__(self, definition: str):
        self.definition, tokenizers = definition, _library()
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(definition)
        except Exception as error:  # the library raises no narrower one
            raise ValueError(f"{FILE}: is no tokenizer ({error}); train anew") from error

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self._tokenizer.get_vocab_size()

    def encode(self, words: bytes) -> np.ndarray:
        """Returns a text as tokens, int32 (n,); bytes that are not UTF-8 become U+FFFD."""
        encoded = self._tokenizer.encode_batch_fast(list(_chunks(words)))
        return np.concatenate([np.array(e.ids, "int32") for e in encoded] or [np.zeros(0, "int32")])

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns tokens as text."""
        return self._tokenizer.decode([int(token) for token in tokens])


def learn(words: bytes, size: int) -> str:
    """Learns a vocabulary.

    Args:
        words: A text.
        size: Number of tokens, 256 at least; a short text may give fewer.

    Returns:
        JSON for `BytePairs`.

    Raises:
        ValueError: The size is too small.
        ModuleNotFoundError: `tokenizers` is not installed.
    """
    if size < _BYTES:
        raise ValueError(f"--vocabulary-size {size}: expected at least {_BYTES}, one for each byte")
    tokenizers = _library()
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=sorted(byte_level.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_chunks(words), trainer)
    return tokenizer.to_str()


@dataclass(frozen=True)
class TokenWindows:
    """Tokens in memory, cut into windows that lie side by side and share their outermost token.

    Attributes:
        tokens: Integers (n,).
        num_samples: Number of windows.
        length: Tokens a window.
    """

    tokens: np.ndarray
    num_samples: int
    length: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (self.length,)

    def first(self, number: int) -> "TokenWindows":
        """Returns the first windows."""
        return replace(self, num_samples=min(number, self.num_samples))

    def reader(self) -> Reader:
        """Returns what reads tokens and those that follow them, both (B, length)."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            tokens = tf.constant(self.tokens)

        def batch(rows):
            places = tf.cast(rows, tf.int64)[:, None] * self.length + tf.range(
                self.length + 1, dtype=tf.int64
            )
            windows = tf.gather(tokens, places)
            return windows[:, :-1], windows[:, 1:]

        return batch


@dataclass(frozen=True)
class Tokenized(Source):
    """A text as byte pairs.

    Attributes:
        vocabulary: What its tokens are.
        bytes_per_token: Of the test part, on average.
    """

    vocabulary: BytePairs | None = None
    bytes_per_token: float = 1.0


def texts(path: Path) -> list[bytes]:
    """Returns the three parts of a file that `tfsci.data.text.splits` cuts it into."""
    parts = []
    with path.open("rb") as file:
        for part in text.splits(path, length=1):
            file.seek(part.start)
            parts.append(file.read(part.num_samples + 1))
    return parts


def windows(
    source: Source, path: Path, vocabulary: BytePairs, limit: int | None = None
) -> Tokenized:
    """Returns a source of byte windows as one of byte-pair windows of the same length.

    Args:
        source: What the catalog makes of ``text:FILE``.
        path: The file.
        vocabulary: What its tokens are.
        limit: Use the first so many windows; see `tfsci.data.catalog.load`.

    Raises:
        ValueError: A part is too short for one window.
    """
    (length,) = source.input_shape
    splits = {}
    for (name, split), words in zip(source.splits.items(), texts(path), strict=True):
        tokens = vocabulary.encode(words)
        number = (len(tokens) - 1) // length
        if number < 1:
            raise ValueError(
                f"--data {source.name}: its {name} part is {len(tokens)} tokens; expected at least "
                f"{length + 1}, one window; use a longer text, a smaller --context-length or "
                "--tokenizer bytes"
            )
        made = TokenWindows(tokens, number, length)
        splits[name] = made if limit is None else made.first(split.num_samples)
    known = {field.name: getattr(source, field.name) for field in fields(source)}
    known |= {**splits, "num_classes": vocabulary.size, "vocabulary": vocabulary}
    return Tokenized(**known, bytes_per_token=len(words) / len(tokens))


def _chunks(words: bytes) -> Iterator[str]:
    start = 0
    while start < len(words):
        end = words.find(b"\n", start + _CHUNK) + 1 or len(words)
        yield words[start:end].decode("utf-8", errors="replace")
        start = end


def _library():
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # else it warns where we fork
    try:
        import tokenizers
    except ImportError as error:
        raise ModuleNotFoundError(
            "--tokenizer byte-pairs: needs the package tokenizers; install it with "
            "pip install 'tfsci[text]', or use --tokenizer bytes"
        ) from error
    return tokenizers
