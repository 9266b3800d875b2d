"""The networks that benchmarks train, in Keras and in PyTorch: same layers, sizes and numbers."""

import statistics
import time

# Builder and its options, and samples of a batch.
NETWORKS = {
    "cnn": ("cnn", {"variant": "oak-ridge", "input_shape": (128, 128, 3), "num_classes": 231,
                    "dropout": 0.0}, 32),
    "resnet": ("resnet", {"variant": "50", "input_shape": (224, 224, 3), "num_classes": 1000}, 8),
    "gpt": ("gpt", {"num_layers": 4, "width": 256, "num_heads": 8, "vocabulary_size": 512,
                    "context_length": 128}, 8),
    "vit": ("vit", {"variant": "tiny", "input_shape": (224, 224, 3), "num_classes": 1000}, 8),
    "lstm": ("rnn", {"variant": "lstm-2x256", "input_shape": (128, 32), "num_classes": 10}, 32),
}  # fmt: skip
EPOCHS = 4


def samples(network: str, number: int):
    """Returns random inputs and targets."""
    import numpy as np

    _, options, _ = NETWORKS[network]
    generator = np.random.default_rng(0)
    if network == "gpt":
        shape = (number, options["context_length"] + 1)
        tokens = generator.integers(0, options["vocabulary_size"], shape, dtype="int32")
        return tokens[:, :-1], tokens[:, 1:]
    x = generator.random((number, *options["input_shape"]), dtype="float32")
    return x, generator.integers(0, options["num_classes"], number, dtype="int32")


def rate_of_ours(network: str, batch_size: int, steps: int, strategy=None, jit=None) -> float:
    """Returns samples/s of `tfsci.training.fit`: the median of the epochs after the first.

    Args:
        network: One of `NETWORKS`.
        batch_size: Of all ranks.
        steps: Of an epoch.
        strategy: One process by default.
        jit: Whether XLA compiles the step; what a training chooses by itself, by default.
    """
    import keras

    from tfsci import models
    from tfsci.data import pipeline
    from tfsci.data.source import Split
    from tfsci.distributed.strategy import Strategy
    from tfsci.training import fit
    from tfsci.training.jit import choose_jit

    strategy = strategy or Strategy()
    name, options, _ = NETWORKS[network]
    with strategy.scope():
        model = models.build(name, **options)
        model.compile(
            keras.optimizers.SGD(0.001, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=choose_jit(model) if jit is None else jit,
        )
    split = Split(*samples(network, steps * batch_size))
    train = pipeline.training(split, batch_size, 0, strategy.rank, strategy.num_shards)
    rows = fit(model, train, EPOCHS, strategy=strategy)
    return statistics.median(row["examples_per_second"] for row in rows[1:])


def rate_of_torch(network: str, batch_size: int, steps: int, wrap=lambda model: model) -> float:
    """Returns samples/s of PyTorch, as its tutorials train: the median of all epochs but one.

    Args:
        network: One of `NETWORKS`.
        batch_size: Of this process.
        steps: Of an epoch.
        wrap: `torch.compile`, or what makes a model distributed.
    """
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = wrap(
        {"cnn": _cnn, "resnet": _resnet, "gpt": _gpt, "vit": _vit, "lstm": _lstm}[network]()
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    x, y = samples(network, steps * batch_size)
    if x.ndim == 4:
        x = x.transpose(0, 3, 1, 2).copy()
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    seconds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for a, b in zip(x.split(batch_size), y.split(batch_size), strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(a).flatten(0, -2), b.flatten()).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(len(x) / each for each in seconds[1:])


def _cnn():
    """Oak Ridge's network."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(24 * 32 * 32, 231)),
    )


def _resnet():
    """ResNet-50, v1.5."""
    from torch import nn

    def convolution(before, channels, kernel, stride=1):
        return (
            nn.Conv2d(before, channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(channels),
        )

    class Block(nn.Module):
        def __init__(self, before, channels, stride):
            super().__init__()
            self.branch = nn.Sequential(
                *(*convolution(before, channels, 1), nn.ReLU(inplace=True)),
                *(*convolution(channels, channels, 3, stride), nn.ReLU(inplace=True)),
                *convolution(channels, 4 * channels, 1),
            )
            same = before == 4 * channels
            self.shortcut = nn.Sequential(
                *() if same else convolution(before, 4 * channels, 1, stride)
            )
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.branch(x) + self.shortcut(x))

    blocks, before = [], 64
    for stage, number in enumerate((3, 4, 6, 3)):
        for i in range(number):
            blocks.append(Block(before, 64 << stage, 2 if stage and not i else 1))
            before = 4 * (64 << stage)
    return nn.Sequential(
        *(*convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)),
        *(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)),
    )


def _block(width: int, num_heads: int, causal: bool):
    """A pre-norm transformer block with one q-k-v projection and PyTorch's own attention."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
            )

        def forward(self, x):
            batch, length, _ = x.shape
            split = self.qkv(self.norms[0](x)).view(batch, length, 3, num_heads, -1)
            q, k, v = split.permute(2, 0, 3, 1, 4)
            attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
            x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
            return x + self.mlp(self.norms[1](x))

    return Block()


def _gpt():
    """The GPT, with its embedding for the logits too."""
    import torch
    from torch import nn

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(512, 256)
            self.positions = nn.Parameter(torch.zeros(128, 256))
            self.blocks = nn.Sequential(*(_block(256, 8, causal=True) for _ in range(4)))
            self.norm = nn.LayerNorm(256)

        def forward(self, tokens):
            x = self.blocks(self.tokens(tokens) + self.positions)
            return self.norm(x) @ self.tokens.weight.T

    return Gpt()


def _vit():
    """The vision transformer "tiny" with a class token."""
    import torch
    from torch import nn

    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 192, 16, 16)
            self.token = nn.Parameter(torch.zeros(1, 1, 192))
            self.positions = nn.Parameter(torch.zeros(197, 192))
            self.blocks = nn.Sequential(*(_block(192, 3, causal=False) for _ in range(12)))
            self.norm, self.logits = nn.LayerNorm(192), nn.Linear(192, 1000)

        def forward(self, images):
            x = self.patches(images).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(len(x), 1, 192), x], 1) + self.positions
            return self.logits(self.norm(self.blocks(x)[:, 0]))

    return Vit()


def _lstm():
    """Two LSTM layers and the logits of the last step."""
    from torch import nn

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.logits = nn.LSTM(32, 256, 2, batch_first=True), nn.Linear(256, 10)

        def forward(self, x):
            return self.logits(self.lstm(x)[0][:, -1])

    return Lstm()
