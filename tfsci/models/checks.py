"""What options must be; each error names the option, what was expected and what came."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TypeVar

Row = TypeVar("Row")


def variant(model: str, variants: Mapping[str, Row], name: object) -> Row:
    """Returns the row of the table that a variant names."""
    if name not in variants:
        raise ValueError(f"unknown variant {name!r} of {model}; expected {' or '.join(variants)}")
    return variants[name]


def whole(option: str, value: object, least: int = 1) -> int:
    """Returns a whole number that is at least so large."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{option} {value!r}: expected a whole number, at least {least}")
    if value < least:
        raise ValueError(f"{option} {value}: expected at least {least}")
    return int(value)


def wholes(option: str, values: object) -> tuple[int, ...]:
    """Returns whole numbers above 0, at least one of them."""
    try:
        return tuple(shape(option, values))
    except ValueError:
        raise ValueError(
            f"{option} {values!r}: expected one or more whole numbers above 0"
        ) from None


def fraction(option: str, value: object) -> float:
    """Returns a number from 0 up to, not including, 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < 1:
        raise ValueError(f"{option} {value}: expected 0 ≤ {option} < 1")
    return float(value)


def one_of(option: str, value: object, choices: Sequence[str]) -> str:
    """Returns one of the choices."""
    if value not in choices:
        raise ValueError(f"{option} {value!r}: expected {' or '.join(choices)}")
    return value


def shape(option: str, value: object) -> tuple[int, ...]:
    """Returns the shape of one sample: whole numbers above 0, without the batch."""
    whole_edges = isinstance(value, Sequence) and all(
        isinstance(edge, Integral) and not isinstance(edge, bool) and edge > 0 for edge in value
    )
    if not whole_edges or not value:
        raise ValueError(
            f"{option} {value}: expected the shape of one sample, whole numbers above 0"
        )
    return tuple(map(int, value))


def image(model: str, input_shape: object) -> tuple[int, int, int]:
    """Returns the shape of an image: height, width and channels."""
    try:
        height, width, channels = shape("input_shape", input_shape)
    except ValueError:
        raise ValueError(
            f"input_shape {input_shape}: {model} takes images, expected (height, width, channels)"
        ) from None
    return height, width, channels


def flag(option: str, value: object) -> bool:
    """Returns True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{option} {value!r}: expected True or False")
    return value


def halved(model: str, edges: Sequence[int], times: int) -> None:
    """Refuses an image or field that can't be halved so often without a rest."""
    factor = 2**times
    if any(edge % factor for edge in edges):
        near = [
            sorted({edge // factor * factor, -(-edge // factor) * factor} - {0}) for edge in edges
        ]
        near = [" or ".join(map(str, sizes)) for sizes in near]
        raise ValueError(
            f"input_shape {'×'.join(map(str, edges))}: {model} halves it {times} times; expected "
            f"multiples of {factor}, the nearest are {' × '.join(near)}"
        )


def not_negative(option: str, value: object) -> float:
    """Returns a finite number from 0 up."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < float("inf"):
        raise ValueError(f"{option} {value!r}: expected a number from 0 up")
    return float(value)
