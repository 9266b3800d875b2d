"""How large a model, and on how many tokens: Hoffmann 2022 (Chinchilla, arXiv 2203.15556).

Training N parameters on D tokens takes C = 6ND operations (Kaplan 2020, equation 2.2 and section
2.1, three times a forward pass).
"""

import math
from dataclasses import dataclass

# Loss = E + A / N^α + B / D^β (equation 10).
E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28

# Tokens for each parameter, as table 3 has them for the first two of its ways of asking.
TOKENS_PER_PARAMETER = 20


def training_flops(parameters: float, tokens: float) -> float:
    """Returns the operations of a training, 6ND."""
    return 6 * parameters * tokens


@dataclass(frozen=True)
class Size:
    """A model and its data.

    Attributes:
        parameters: N.
        tokens: D.
    """

    parameters: float
    tokens: float

    @property
    def loss(self) -> float:
        """Nats a token that equation 10 expects, for its authors' data."""
        return E + A / self.parameters**ALPHA + B / self.tokens**BETA


def optimal(flops: float) -> Size:
    """Returns the size for a number of operations, by 20 tokens a parameter."""
    if not 0 < flops < 1e40:
        raise ValueError(f"expected a number of operations above 0, such as 1e23; got {flops}")
    parameters = math.sqrt(flops / 6 / TOKENS_PER_PARAMETER)
    return Size(parameters, TOKENS_PER_PARAMETER * parameters)


def optimal_by_loss(flops: float) -> Size:
    """Returns the size for a number of operations whose loss by equation 10 is least.

    N = G (C/6)^(β/(α+β)) with G = (αA/βB)^(1/(α+β)) (equation 4).
    """
    optimal(flops)  # refuses what is no number of operations
    g = (ALPHA * A / BETA / B) ** (1 / (ALPHA + BETA))
    parameters = g * (flops / 6) ** (BETA / (ALPHA + BETA))
    return Size(parameters, flops / 6 / parameters)
