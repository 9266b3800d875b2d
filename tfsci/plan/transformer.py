"""What a transformer holds and computes: parameters, and operations of a step.

Symbols as in the papers: L layers, h hidden size, a heads, s sequence length, V vocabulary,
b samples. A multiplication and an addition count as two operations, and attention counts all pairs
of tokens, causal or not, as the published tables do.
"""

from dataclasses import dataclass

STYLES = ("gpt", "llama", "vit")
RECOMPUTE = ("none", "selective", "full")
_LARGEST = 10**7


@dataclass(frozen=True)
class Transformer:
    """A stack of equal layers between an embedding and an output.

    Attributes:
        layers: L.
        hidden: h.
        heads: a.
        sequence: s, tokens of a sample; of a ViT, its patches and the class token.
        vocabulary: V; of a ViT, its classes.
        feed_forward: Width of the feed-forward network; 4h by default.
        key_value_heads: Heads that keys and values have; a by default.
        style: ``"gpt"``: biases, learned positions, an output that shares the embedding's weights;
            ``"llama"``: gated feed-forward, no biases, an output of its own;
            ``"vit"``: ``"gpt"``'s layers on patches of an image.
        patch: Edge of a ViT's patch, in pixels of three channels.
        name: What to call it.
    """

    layers: int
    hidden: int
    heads: int
    sequence: int = 2048
    vocabulary: int = 51200
    feed_forward: int | None = None
    key_value_heads: int | None = None
    style: str = "gpt"
    patch: int = 16
    name: str = ""

    def __post_init__(self):
        for field in ("layers", "hidden", "heads", "sequence", "vocabulary"):
            if not 1 <= getattr(self, field) <= _LARGEST:
                raise ValueError(f"{field}: expected 1 to 10⁷, got {getattr(self, field)}")
        if self.style not in STYLES:
            raise ValueError(f"style: expected one of {', '.join(STYLES)}, got {self.style!r}")
        if self.hidden % self.heads:
            raise ValueError(
                f"hidden {self.hidden} is not a multiple of {self.heads} heads; "
                f"{self.heads * -(-self.hidden // self.heads)} is"
            )

    @property
    def inner(self) -> int:
        """Width of the feed-forward network."""
        return self.feed_forward or 4 * self.hidden

    @property
    def queries_to_keys(self) -> float:
        """Size of the keys, as a share of the queries'."""
        return (self.key_value_heads or self.heads) / self.heads

    @property
    def matrices(self) -> int:
        """Numbers in the weight matrices of a layer: 12h² (Narayanan 2021, section 5.1)."""
        attention = 2 * self.hidden**2 + round(2 * self.hidden**2 * self.queries_to_keys)
        return attention + (3 if self.style == "llama" else 2) * self.hidden * self.inner

    @property
    def sharded_biases(self) -> int:
        """Biases of a layer that tensor parallelism splits: of Q, K, V and the first expansion."""
        if self.style == "llama":
            return 0
        return self.hidden + round(2 * self.hidden * self.queries_to_keys) + self.inner

    @property
    def replicated(self) -> int:
        """Numbers of a layer that every tensor rank holds: two norms, two biases."""
        return 2 * self.hidden if self.style == "llama" else 6 * self.hidden

    @property
    def layer_parameters(self) -> int:
        """12h² + 13h for a GPT (Narayanan 2021, equation 2)."""
        return self.matrices + self.sharded_biases + self.replicated

    @property
    def input_parameters(self) -> int:
        """Of the embedding: (V + s)h for a GPT."""
        if self.style == "vit":
            return (3 * self.patch**2 + 1 + 1 + self.sequence) * self.hidden
        return (self.vocabulary + (self.sequence if self.style == "gpt" else 0)) * self.hidden

    @property
    def output_parameters(self) -> int:
        """Of the last norm, and of an output that shares no weights."""
        match self.style:
            case "vit":
                return 2 * self.hidden + (self.hidden + 1) * self.vocabulary
            case "llama":
                return self.hidden + self.hidden * self.vocabulary
        return 2 * self.hidden

    @property
    def parameters(self) -> int:
        """All, exactly; Narayanan 2021, equation 2, and the last norm."""
        layers = self.layers * self.layer_parameters
        return layers + self.input_parameters + self.output_parameters

    @property
    def output_tokens(self) -> int:
        """Tokens of a sample that have logits."""
        return 1 if self.style == "vit" else self.sequence

    def matrix_flops(self, samples):
        """Operations of a layer's weight matrices, forward: 24bsh²."""
        return 2 * samples * self.sequence * self.matrices

    def attention_flops(self, samples):
        """Operations of a layer's scores and of what they weigh, forward: 4bs²h."""
        return 4 * samples * self.sequence**2 * self.hidden

    def output_flops(self, samples):
        """Operations of the logits, forward: 2bshV."""
        return 2 * samples * self.output_tokens * self.hidden * self.vocabulary

    def forward_flops(self, samples):
        """Operations of a forward pass: 2N a token, and attention (Kaplan 2020, equation 2.2)."""
        layer = self.matrix_flops(samples) + self.attention_flops(samples)
        return self.layers * layer + self.output_flops(samples)

    def model_flops(self, samples):
        """Operations that a step needs: backward twice the forward pass.

        72bLsh²(1 + s/6h + V/12hL): Korthikanti 2022, equation 7.
        """
        return 3 * self.forward_flops(samples)

    def step_flops(self, samples, recompute="full"):
        """Operations that a step computes, what it computes again among them.

        With ``"full"`` 96bsLh²(1 + s/6h + V/16Lh): Narayanan 2021, equation 3. With
        ``"selective"`` the scores are computed again, 4bs²h a layer.
        """
        again = {
            "none": 0,
            "selective": self.layers * self.attention_flops(samples),
            "full": self.forward_flops(samples) - self.output_flops(samples),
        }
        return self.model_flops(samples) + again[recompute]
