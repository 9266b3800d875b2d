"""Draws what two ranks exchange in a training step, each gradient for itself and in buckets.

    python benchmarks/timeline.py docs/timeline.png      about a minute on 2 cores

From Horovod's timelines of rank 0, of a small GPT. Before: a message for each gradient. After: in
buckets of 4 MB, the last layers' first, as `tfsci.distributed.averaging` sends them.
"""

import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from tfsci.plots import BLUE, GREY, ORANGE

ROOT = Path(__file__).parents[1]
KINDS = {"Before: each gradient for itself": "0", "After: in buckets of 4 MB": str(4 << 20)}


def timeline(folder: Path, bucket_bytes: str) -> list[dict]:
    """Returns the events of a short training."""
    script = [ROOT / "scripts" / "train_gpt.py", "--data", "sequences:samples=400"]
    options = [
        "--variant",
        "3m",
        "--epochs",
        "2",
        "--quiet",
        "--horovod-timeline",
        "--output",
        folder,
    ]
    command = [Path(sys.executable).parent / "horovodrun", "-np", "2", sys.executable]
    environ = os.environ | {"HOROVOD_FUSION_THRESHOLD": bucket_bytes}
    subprocess.run([*command, *script, *options], env=environ, check=True, capture_output=True)
    return json.loads((folder / "timeline.json").read_text())


def intervals(events: list[dict]) -> list[tuple[str, str, float, float]]:
    """Returns (tensor, what, start, end) in ms of what ranks negotiate and add up."""
    names, open_, found = {}, {}, []
    for event in events:
        lane = event.get("pid")
        if event["ph"] == "M" and event["name"] == "process_name":
            names[lane] = event["args"].get("name", "")
        elif event["ph"] == "B":
            open_.setdefault(lane, []).append((event["name"], event["ts"]))
        elif event["ph"] == "E" and open_.get(lane):
            what, start = open_[lane].pop()
            if what in ("NEGOTIATE_ALLREDUCE", "ALLREDUCE"):
                found.append((names[lane], what, start / 1e3, event["ts"] / 1e3))
    return found


def steps(found: list[tuple]) -> list[list[tuple]]:
    """Returns the intervals of each training step: each gradient is exchanged once in it."""
    by_step, count = {}, collections.Counter()
    for each in sorted(found, key=lambda each: each[2]):
        if "gradient" in each[0]:
            by_step.setdefault(count[each[:2]], []).append(each)
            count[each[:2]] += 1
    return list(by_step.values())


def draw(path: Path) -> None:
    """Trains both ways and draws a step of the median length of each."""
    figure = Figure((10, 6.5), layout="constrained")
    rows = figure.subplots(2, 1, sharex=True)
    with tempfile.TemporaryDirectory() as folder:
        for i, (ax, (title, size)) in enumerate(zip(rows, KINDS.items(), strict=True)):
            found = steps(intervals(timeline(Path(folder) / str(i), size)))
            lengths = [max(e[3] for e in s) - min(e[2] for e in s) for s in found]
            typical = lengths.index(statistics.median_low(lengths))
            step = found[typical]
            start = min(each[2] for each in step)
            lanes = {
                n: k
                for k, n in enumerate(dict.fromkeys(e[0] for e in sorted(step, key=lambda e: e[2])))
            }
            for what, colour in (("NEGOTIATE_ALLREDUCE", ORANGE), ("ALLREDUCE", BLUE)):
                bars = [e for e in step if e[1] == what]
                ax.barh(
                    [lanes[e[0]] for e in bars],
                    [e[3] - e[2] for e in bars],
                    left=[e[2] - start for e in bars],
                    color=colour,
                    height=0.9,
                )
            busy = sum(b - a for a, b in union([e[2:] for e in step if e[1] == "ALLREDUCE"]))
            ax.set_title(
                f"{title}: {lengths[typical]:.0f} ms, in {busy:.0f} of them something is added up"
            )
            ax.invert_yaxis()
            ax.set_ylabel("gradients")
            ax.spines[["top", "right"]].set_visible(False)
            print(f"{title}: {lengths[typical]:.1f} ms, {busy:.1f} ms of all-reduce")
    rows[-1].set_xlabel("ms since the step's first gradient was ready on a rank")
    rows[0].bar(0, 0, color=ORANGE, label="waits for the other rank, or for its turn")
    rows[0].bar(0, 0, color=BLUE, label="is added up")
    rows[0].legend(frameon=False, loc="upper right", labelcolor=GREY)
    figure.savefig(path, dpi=100)


def union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns spans that overlap as one."""
    merged = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__)
        sys.exit(2)
    draw(Path(sys.argv[1]))
