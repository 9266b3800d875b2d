"""The folder that a run leaves behind; every file in it is whole or absent."""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HISTORY_COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "examples_per_second",
)

_WRITTEN = (
    "history.csv", "metrics.json", "model.keras", "curves.png", "checkpoints", "tokenizer.json",
    "sample.txt",
)  # fmt: skip

# Settings that another run into the same folder may have differently: where and how it runs, not
# what it computes.
_FREE = {
    "data_dir", "output", "resume", "quiet", "profile", "strategy", "replicas", "time_limit",
    "checkpoint_minutes", "keep_checkpoints", "elastic", "horovod_timeline",
}  # fmt: skip


# What `replacing` leaves where the process was killed.
_TEMPORARY = re.compile(
    r"\.(step-\d+|config|metrics|history|model|curves|tokenizer|sample)\.\d+\.\w+"
)


class RunFolder:
    """Writes a run's files; the chief alone has one.

    Args:
        path: The folder; made with its parents.
        settings: Everything that decides what the run computes, and what is only told: written to
            ``config.json``.
        resume: Whether to go on with the run that the folder holds.

    Raises:
        ValueError: The path is a file, or holds a run with other settings, or an unfinished one
            that would be lost.
        OSError: The folder can't be made or written to.
    """

    def __init__(self, path: Path, settings: Mapping[str, object], resume: bool = False):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"--output {path}: is a file; name a folder")
        self._check_settings(settings, resume)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise type(error)(
                f"--output {path}: can't write there ({error.strerror}); name another folder"
            ) from error
        for left in [*self.path.glob(".*"), *self.checkpoints.glob(".*")]:
            if _TEMPORARY.fullmatch(left.name):
                left.unlink(missing_ok=True)
        if not resume:
            self._clear()
        self.write_json("config.json", settings)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    def write_json(self, name: str, values: Mapping[str, object]) -> None:
        """Writes a JSON file."""
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
        with self.replacing(name) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def write_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Writes ``history.csv``, a row an epoch, numbers in full precision."""
        text = io.StringIO()
        writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with self.replacing("history.csv") as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    def read_json(self, name: str) -> dict[str, object]:
        """Returns what a JSON file of the run holds."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))

    def read_history(self) -> list[dict[str, float]]:
        """Returns the rows of ``history.csv``, none where there is no such file."""
        try:
            text = (self.path / "history.csv").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return read_history(text)

    def write_model(self, model) -> None:
        """Writes ``model.keras``."""
        with self.replacing("model.keras") as temporary:
            model.save(temporary)

    def replacing(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Returns a context with a path to write to; the file takes its place on leaving."""
        return replacing(self.path / name)

    def _check_settings(self, settings: Mapping[str, object], resume: bool) -> None:
        old = self._settings_of_earlier_run()
        if old is None:
            if resume:
                raise ValueError(f"--resume: {self.path} holds no run; leave --resume out")
            return
        kept = (self.path / "history.csv").exists() or any(self.checkpoints.glob("step-*"))
        if not kept and not resume:
            return
        new = json.loads(json.dumps(settings))["options"]
        for key in sorted((set(new) | set(old)) - _FREE):
            if new.get(key) != old.get(key):
                raise ValueError(
                    f"--output {self.path}: holds a run with other settings ({key} was "
                    f"{old.get(key)!r}, is {new.get(key)!r}); name another folder or delete it"
                )
        if not (self.path / "metrics.json").exists() and not resume:
            raise ValueError(
                f"--output {self.path}: holds a run that was cut short; go on with --resume, name "
                "another folder, or delete it"
            )

    def _settings_of_earlier_run(self) -> dict[str, object] | None:
        """Returns None for a folder without a run; refuses one with files that are not a run's."""
        taken = [name for name in ("config.json", *_WRITTEN) if (self.path / name).exists()]
        if not taken:
            return None
        try:
            options = self.read_json("config.json")["options"]
            options["model"]["name"]
            return options
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"--output {self.path}: its {taken[0]} is no run's; name another folder"
            ) from error

    def _clear(self) -> None:
        """Removes what an earlier run with the same settings left, so that nothing is mixed."""
        for name in set(_WRITTEN) - {"checkpoints"}:
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def read_history(text: str) -> list[dict[str, float]]:
    """Returns the rows of a ``history.csv``; an empty cell is left out."""
    rows = csv.DictReader(io.StringIO(text))
    number = {"epoch": int}
    return [{k: number.get(k, float)(v) for k, v in row.items() if v} for row in rows]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to, and moves it into place if nothing went wrong."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
