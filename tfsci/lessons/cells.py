"""The cells of a lesson's file: prose and code, as Jupyter, VS Code and Jupytext read them."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        first: Its first line in the file, from 1, that of ``# %%``.
        last: Its last line.
        prose: Whether it is Markdown; code otherwise.
        text: What is in it, the comment signs of prose taken off.
    """

    first: int
    last: int
    prose: bool
    text: str

    @property
    def heading(self) -> str:
        """Its first heading of the second level, empty where there is none."""
        found = re.search(r"(?m)^## (.+)$", self.text) if self.prose else None
        return found[1] if found else ""


def read(path: Path) -> list[Cell]:
    """Returns the cells of a lesson's file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# %%")]
    cells = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        prose = lines[start].startswith("# %% [markdown]")
        body = lines[start + 1 : end]
        if prose:
            body = [line.removeprefix("#").removeprefix(" ") for line in body]
        cells.append(Cell(start + 1, end, prose, "\n".join(body).strip("\n")))
    return cells
