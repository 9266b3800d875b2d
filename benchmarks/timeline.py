"""Draws what two ranks exchange in a training step, each gradient for itself and in buckets.

    python benchmarks/timeline.py docs/timeline.png      about a minute on 2 cores

From Horovod's timelines of rank 0, of a small GPT. Before: a message for each gradient. After: in
buckets of 4 MB, the last layers' first, as `tfsci.distributed.averaging` sends them.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tfsci.plots import BLUE, GREY, ORANGE
from tfsci.profile.intervals import union
from tfsci.profile.timeline import span, steps
from tfsci.profile.timeline.events import Exchange, read

ROOT = Path(__file__).parents[1]
KINDS = {"Before: each gradient for itself": "0", "After: in buckets of 4 MB": str(4 << 20)}


def timeline(folder: Path, bucket_bytes: str) -> list[list[Exchange]]:
    """Returns the steps of a short training."""
    script = [ROOT / "scripts" / "train_gpt.py", "--data", "sequences:samples=400"]
    options = ["--variant", "3m", "--epochs", "2", "--quiet", "--horovod-timeline", "--output"]
    command = [Path(sys.executable).parent / "horovodrun", "-np", "2", sys.executable]
    environ = os.environ | {"HOROVOD_FUSION_THRESHOLD": bucket_bytes}
    subprocess.run(
        [*command, *script, *options, folder], env=environ, check=True, capture_output=True
    )
    return steps([each for each in read(folder) if "gradient" in each.tensor])


def draw(path: Path) -> None:
    """Trains both ways and draws a step of the median length of each."""
    figure = Figure((10, 6.5), layout="constrained")
    rows = figure.subplots(2, 1, sharex=True)
    with tempfile.TemporaryDirectory() as folder:
        for i, (ax, (title, size)) in enumerate(zip(rows, KINDS.items(), strict=True)):
            found = timeline(Path(folder) / str(i), size)
            lengths = [end - start for start, end in map(span, found)]
            step = found[lengths.index(statistics.median_low(lengths))]
            (start, end), step = span(step), sorted(step, key=lambda each: each.asked)
            for colour, bars in (
                (ORANGE, [(each.asked, each.agreed) for each in step]),
                (BLUE, [(each.start, each.end) for each in step]),
            ):
                ax.barh(
                    range(len(step)),
                    [(b - a) / 1e3 for a, b in bars],
                    left=[(a - start) / 1e3 for a, b in bars],
                    color=colour,
                    height=0.9,
                )
            added = union(np.array([(each.start, each.end) for each in step], np.int64))
            total, busy = (end - start) / 1e3, np.diff(added).sum() / 1e3
            ax.set_title(f"{title}: {total:.0f} ms, in {busy:.0f} of them something is added up")
            ax.invert_yaxis()
            ax.set_ylabel("gradients")
            ax.spines[["top", "right"]].set_visible(False)
            print(f"{title}: {total:.1f} ms, {busy:.1f} ms of all-reduce")
    rows[-1].set_xlabel("ms since the step's first gradient was ready on a rank")
    rows[0].bar(0, 0, color=ORANGE, label="waits for the other rank, or for its turn")
    rows[0].bar(0, 0, color=BLUE, label="is added up")
    rows[0].legend(frameon=False, loc="upper right", labelcolor=GREY)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__)
        sys.exit(2)
    draw(Path(sys.argv[1]))
