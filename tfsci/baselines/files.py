"""The files of a comparison in a run folder, beside `config.json`."""

import json
from collections.abc import Mapping
from pathlib import Path

MODEL = "baselines"  # what config.json names where a training names its model
WRITTEN = ("metrics.json", "baselines.csv", "baselines.png")

# Settings that decide nothing about the baselines.
_FREE = {"data_dir", "output", "quiet", "jobs", "compare"}


def clear(folder: Path, options: Mapping[str, object]) -> None:
    """Removes what an earlier comparison with the same options left.

    Args:
        folder: The run folder; nothing is done where it holds another kind of run.
        options: As `config.json` will hold them.

    Raises:
        ValueError: It holds a comparison with other options, or files of these names that are no
            run's.
    """
    found = [name for name in WRITTEN if (folder / name).exists()]
    try:
        old = json.loads((folder / "config.json").read_text(encoding="utf-8"))["options"]
        ours = old["model"]["name"] == MODEL
    except (OSError, ValueError, LookupError, TypeError):
        ours = False
    if not ours:
        if set(found) - {"metrics.json"}:  # the run folder itself looks after that one
            raise ValueError(f"--output {folder}: its {found[-1]} is no run's; name another folder")
        return
    new = json.loads(json.dumps(options))
    for key in sorted((set(new) | set(old)) - _FREE):
        if found and new.get(key) != old.get(key):
            raise ValueError(
                f"--output {folder}: holds a run with other settings ({key} was "
                f"{old.get(key)!r}, is {new.get(key)!r}); name another folder or delete it"
            )
    half_written = folder.glob(".baselines.*.*")  # by a process that was killed
    for path in [*half_written, *(folder / name for name in WRITTEN)]:
        path.unlink(missing_ok=True)
