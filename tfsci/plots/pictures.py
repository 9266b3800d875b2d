"""Pictures side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def show_pictures(pictures: Mapping[str, np.ndarray], axes: Sequence["Axes"]) -> None:
    """Draws each picture in one of the Axes, under its name and without an axis.

    Args:
        pictures: By name; shape (H, W), (H, W, 1), or (H, W, 3) with values in 0 … 1.
        axes: At least as many; those left over stay as they are.

    Raises:
        ValueError: There are more pictures than Axes.

    Example:
        >>> show_pictures({"a tile": tile, "its edges": edges}, figure.axes)
    """
    if len(pictures) > len(axes):
        raise ValueError(f"axes: expected at least {len(pictures)}, one a picture; got {len(axes)}")
    for ax, (name, picture) in zip(axes, pictures.items(), strict=False):
        ax.imshow(picture)
        ax.set_title(name)
        ax.axis("off")
