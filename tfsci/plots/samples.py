"""Samples of a data set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfsci.data import text
from tfsci.plots.colours import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTERS = 64  # of a sequence in a line
_TITLE = 20  # letters; more would run into the next one


def contact_sheet(
    x: np.ndarray,
    y: np.ndarray,
    class_names: Sequence[str] | None = None,
    columns: int = 8,
) -> "Figure":
    """Draws samples side by side: pictures, fields as lines, or tokens as text.

    Args:
        x: Inputs: pictures, floats (n, H, W, C); fields, floats (n, points); tokens, integers
            (n, length). Of a picture that has neither 1 nor 3 channels the first one is drawn.
            Those beyond 0 … 1 are stretched together; spins, −1 and 1, are two-tone.
        y: Classes, integers (n,); or fields and tokens of the shape of `x`.
        class_names: Of each class, or the letters of tokens. By default classes have numbers and
            tokens are bytes.
        columns: Samples side by side, at most.

    Returns:
        The figure.

    Raises:
        ValueError: The inputs are nothing that can be drawn.
    """
    from matplotlib.figure import Figure

    if len(x) == 0 or x.ndim not in (2, 4):
        raise ValueError(
            f"x: expected pictures (n, H, W, C) or rows (n, length); received shape {x.shape}"
        )
    tokens, fields = x.ndim == 2 and x.dtype.kind in "iu", x.ndim == 2 and x.dtype.kind == "f"
    columns = 1 if tokens else min(columns, 3 if fields else columns, len(x))
    rows = -(-len(x) // columns)
    lines = -(-x.shape[1] // _LETTERS)
    width, height = (5.2, 0.35 + 0.16 * lines) if tokens else (3.2, 2.2) if fields else (1.4, 1.6)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[len(x) :]:
        ax.set_axis_off()
    labelled = y.ndim == 1 and y.dtype.kind in "iu"
    look = _look(x) if x.ndim == 4 else {}
    for i, ax in enumerate(grid[: len(x)]):
        title = f"sample {i}"
        if labelled:
            title = class_names[y[i]] if class_names else f"class {y[i]}"
        title = title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
        ax.set_title(title, fontsize=8, pad=3, parse_math=False, loc="left" if tokens else "center")
        if tokens:
            _write(ax, x[i], class_names)
        elif fields:
            ax.plot(x[i], color=BLUE, label="input", linewidth=1.2)
            if y.shape == x.shape:
                ax.plot(y[i], color=ORANGE, label="target", linewidth=1.2)
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right"]].set_visible(False)
        else:
            ax.imshow(look["picture"](x[i]), **look["options"])
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(linewidth=0.5, color=GREY)
    if fields and y.shape == x.shape:
        grid[0].legend(frameon=False, fontsize=7)
    return figure


def _look(x: np.ndarray) -> dict:
    """Returns how pictures are brought into 0 … 1, and how `imshow` is to draw them."""
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    spins = set(np.unique(x[:8])) <= {-1, 1} and (low, high) == (-1, 1)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0

    def picture(one):
        one = (one - low) / (high - low or 1.0)
        return one if one.shape[-1] == 3 else one[..., 0]

    # Pixels are drawn as they are: smoothed, small pictures would show what is not there.
    options = {"cmap": "cividis" if spins else "gray", "interpolation": "nearest"}
    return {"picture": picture, "options": options | {"vmin": 0, "vmax": 1}}


def _write(ax: "Axes", tokens: np.ndarray, letters: Sequence[str] | None) -> None:
    words = text.decode(tokens) if letters is None else "".join(letters[t] for t in tokens)
    words = "".join(c if c.isprintable() else "·" for c in words)
    lines = [words[i : i + _LETTERS] for i in range(0, len(words), _LETTERS)]
    ax.text(
        0, 1, "\n".join(lines), family="monospace", fontsize=9, parse_math=False,
        verticalalignment="top", transform=ax.transAxes,
    )  # fmt: skip
    ax.set_axis_off()
