"""Where this user's things are kept that can be made again."""

import os
from collections.abc import Mapping
from pathlib import Path

# Of the cache folder: what `tfsci profile roofline` has measured of this machine.
MACHINE = "machine.json"


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns $TFSCI_CACHE, else $XDG_CACHE_HOME/tfsci, else ~/.cache/tfsci."""
    home = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(environ.get("TFSCI_CACHE") or Path(home) / "tfsci").expanduser().resolve()
