"""People's own files before they are converted: what there is, and how a piece of it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Part:
    """What one read gives: a file, or some rows of a file that holds many samples.

    Attributes:
        path: The file.
        split: One of `tfsci.data.source.SPLITS`; None where the set does not say.
        label: The class of the folder it lies in; None where the file says.
        rows: First row and the one after the last; None for a file of one sample.
    """

    path: Path
    split: str | None = None
    label: int | None = None
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class Collection:
    """Files that together are one data set.

    Attributes:
        parts: In a fixed order.
        shape: Shape of one sample, channels last.
        dtype: ``"uint8"`` or ``"float32"``.
        read: Gives the samples of a part, x of shape (samples, *shape) and y of shape (samples,),
            integers from 0; raises a ValueError that names the file.
        num_classes: Number of classes where it is known before all is read.
        class_names: Where the files say them.
        unreadable: What is wrong with the first file that can't be opened, where there is one.
    """

    parts: tuple[Part, ...]
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[Part], tuple[np.ndarray, np.ndarray]]
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    unreadable: Exception | None = None
