"""HTML and SVG in which text can be nothing but text."""

import html
from collections.abc import Iterable

from tfsci.profile.text import clean


class Markup(str):
    """What goes into a page as it is; all other text is escaped."""


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Returns an element.

    Args:
        name: Of the element.
        *children: `Markup`, or anything else as text: without control characters, and cut where it
            is very long.
        **attributes: Likewise; None leaves one out. Of a name a trailing underscore is dropped,
            others become hyphens.

    Example:
        >>> tag("text", "a < b", font_size=12)
        '<text font-size="12">a &lt; b</text>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Markup:
    """Returns elements and texts one after the other."""
    return Markup("".join(map(_escaped, children)))


def _escaped(value: object) -> str:
    return value if isinstance(value, Markup) else html.escape(clean(str(value)))
