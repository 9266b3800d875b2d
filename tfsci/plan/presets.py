"""Models by name."""

import difflib

from tfsci.plan.network import NETWORKS, Network
from tfsci.plan.transformer import Transformer

# Layers, hidden size, heads of GPTs; vocabulary 51,200, sequence 2,048.
_GPT = {
    # Oak Ridge's course, https://github.com/olcf/ai-training-series
    "gpt-1.4b": (24, 2064, 24),
    "gpt-22b": (48, 6144, 48),
    "gpt-175b": (96, 12288, 96),
    # Narayanan 2021, table 1
    "gpt-1.7b": (24, 2304, 24),
    "gpt-3.6b": (30, 3072, 32),
    "gpt-7.5b": (36, 4096, 32),
    "gpt-18b": (40, 6144, 48),
    "gpt-39b": (48, 8192, 64),
    "gpt-76b": (60, 10240, 80),
    "gpt-145b": (80, 12288, 96),
    "gpt-310b": (96, 16384, 128),
    "gpt-530b": (105, 20480, 128),
    "gpt-1t": (128, 25600, 160),
}

# Layers, hidden size, heads, feed-forward width; 8 key-value heads (arXiv 2407.21783, table 3).
_LLAMA = {
    "llama-3-8b": (32, 4096, 32, 14336),
    "llama-3-70b": (80, 8192, 64, 28672),
    "llama-3-405b": (126, 16384, 128, 53248),
}

# Layers, hidden size, heads, patch; 224 × 224 pixels, 1,000 classes (arXiv 2010.11929, table 1).
_VIT = {
    "vit-b-16": (12, 768, 12, 16),
    "vit-l-16": (24, 1024, 16, 16),
    "vit-h-14": (32, 1280, 16, 14),
}

MODELS: dict[str, Transformer | Network] = {
    **{name: Transformer(*sizes, name=name) for name, sizes in _GPT.items()},
    **{
        name: Transformer(
            layers, hidden, heads, sequence=8192, vocabulary=128256, feed_forward=inner,
            key_value_heads=8, style="llama", name=name,
        )
        for name, (layers, hidden, heads, inner) in _LLAMA.items()
    },
    **{
        name: Transformer(
            layers, hidden, heads, sequence=(224 // patch) ** 2 + 1, vocabulary=1000, style="vit",
            patch=patch, name=name,
        )
        for name, (layers, hidden, heads, patch) in _VIT.items()
    },
    **NETWORKS,
}  # fmt: skip


def find(name: str) -> Transformer | Network:
    """Returns a model by its name."""
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name.lower(), MODELS, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise ValueError(f"unknown model {name!r}; {meant}known are {', '.join(MODELS)}")
