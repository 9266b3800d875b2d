"""From a data spec, as ``--data`` takes it, to a source."""

import numpy as np

from tfsci.data.source import Source, Split, stratified_split


def digits() -> tuple[np.ndarray, np.ndarray, int, float | None]:
    """Scikit-learn's 1,797 handwritten digits, real 8×8 images (UCI, Alpaydin and Kaynak 1998)."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).reshape(-1, 8, 8, 1), y, 10, None


_MAKERS = {"digits": digits}


def load(spec: str = "digits", limit: int | None = None) -> Source:
    """Returns the source that a data spec names.

    Args:
        spec: A data spec; `digits` for now.
        limit: Use the first so many samples; all by default.

    Raises:
        ValueError: The spec is unknown, or the limit leaves a split without samples.
    """
    if spec not in _MAKERS:
        raise ValueError(f"--data {spec}: unknown data set; expected one of {', '.join(_MAKERS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"--limit {limit}: expected at least 1")
    x, y, num_classes, known_answer = _MAKERS[spec]()
    x, y = x[:limit].astype("float32"), y[:limit].astype("int32")
    parts = [Split(x[part], y[part]) for part in stratified_split(y)]
    if not all(part.num_samples for part in parts):
        raise ValueError(
            f"--limit {limit}: leaves a split of {spec} without samples; "
            f"use at least {10 * num_classes}"
        )
    return Source(spec, *parts, num_classes, known_answer)
