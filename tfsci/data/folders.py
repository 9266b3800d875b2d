"""What lies in a folder, and whether it is split into train/, val/ and test/."""

import os
from pathlib import Path

from tfsci.data.source import SPLITS

_NAMES = {"train": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation"), "validation"
)


def entries(folder: Path) -> list[os.DirEntry]:
    """Lists what a folder holds, by name, without hidden entries.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It is no folder, or can't be read.
    """
    try:
        with os.scandir(folder) as found:
            visible = [entry for entry in found if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder}: no such folder; check the path") from None
    except NotADirectoryError:
        raise ValueError(f"{folder}: a file; expected a folder") from None
    except OSError as error:
        raise ValueError(
            f"{folder}: can't be read ({error.strerror}); check its permissions"
        ) from None
    return sorted(visible, key=lambda entry: entry.name)


def split_folders(path: Path) -> list[tuple[str | None, Path]]:
    """Finds train/, val/ and test/ in a folder, the latter two as far as there are.

    Returns:
        A split, of `SPLITS`, and its folder, for each; or None and the folder itself.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It is no folder, can't be read, or holds other folders beside train/.
    """
    found, others = {}, []
    for entry in entries(path):
        if entry.is_dir():
            split = _NAMES.get(entry.name.lower())
            if split is None:
                others.append(entry.name)
            elif split in found:
                raise ValueError(
                    f"{path}: has both {found[split].name}/ and {entry.name}/; expected one of them"
                )
            else:
                found[split] = path / entry.name
    if not found:
        return [(None, path)]
    came = next(iter(found.values())).name
    if "train" not in found:
        raise ValueError(f"{path}: has {came}/ but no train/; add it or name {came}/ otherwise")
    if others:
        raise ValueError(
            f"{path}: has {others[0]}/ beside train/; expected train/, val/ and test/ alone, or "
            "class folders alone; move one of the two"
        )
    return [(split, found[split]) for split in SPLITS if split in found]
