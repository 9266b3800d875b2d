"""Applies the profiler's advice to a training on large JPEGs, and compares the gain.

    python benchmarks/jpegs.py                              4 minutes on 2 cores
    python benchmarks/jpegs.py --picture docs/profile.png   takes a picture of the page, too

Prints the report, the gain that is predicted of the first change, and the one that is measured: by
the medians of epochs, before and after in turn. The picture needs Chromium.
"""

import argparse
import csv
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_cnn.py"
TRAIN = [str(SCRIPT), "--data", "folder:photos"]
TURNS, EPOCHS = 3, 3
IMAGES, COPIES = 50, 4  # of a class; to draw one takes ten times as long as to read it


def main() -> None:
    """Makes the images, trains under the profiler, applies the advice, and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, help="PNG of the page to write")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if arguments.picture and not chromium:
        parser.error("--picture needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_images(folder / "photos")
        run(folder, "-m", "tfsci.profile", "--json", "found.json", *TRAIN, "--epochs", "5",
            "--output", "traced", "--quiet")  # fmt: skip
        found = json.loads((folder / "found.json").read_text())
        if arguments.picture:
            take(folder, chromium, arguments.picture)
        if not found["changes"]:
            sys.exit("no change is advised")
        change = found["changes"][0]
        measured = compare(folder, shlex.split(change["where"]))
        predicted = f"{change['qualifier']} {change['predicted_speedup']:.2f}".strip()
        print(f"predicted: {predicted} times as fast\n{measured}")


def compare(folder: Path, advice: list[str]) -> str:
    """Trains without and with the advice in turn, and returns how much faster it is."""
    run(folder, "-m", *advice)
    (folder / "prepared").rename(folder / "set-aside")
    before, after = [], []
    for turn in range(TURNS):
        before += rates(folder, f"before-{turn}")
        (folder / "set-aside").rename(folder / "prepared")
        after += rates(folder, f"after-{turn}")
        (folder / "prepared").rename(folder / "set-aside")
    slow, fast = statistics.median(before), statistics.median(after)
    return f"measured:  {fast / slow:.2f} times as fast, {slow:.0f} → {fast:.0f} images/s"


def rates(folder: Path, output: str) -> list[float]:
    """Returns the images/s of each epoch of a training but the first, which traces."""
    run(folder, *TRAIN, "--epochs", str(EPOCHS), "--output", output, "--quiet")
    with (folder / output / "history.csv").open() as file:
        return [float(row["examples_per_second"]) for row in csv.DictReader(file)][1:]


def run(folder: Path, *command: str) -> None:
    """Runs Python."""
    environ = os.environ | {"TFDS_DATA_DIR": str(folder / "prepared")}
    subprocess.run([sys.executable, *command], cwd=folder, check=True, env=environ)


def draw_images(folder: Path) -> None:
    """Writes noise with grains of three sizes."""
    chance, size = np.random.default_rng(0), (2400, 1800)
    for name, grain in {"coarse": 40, "medium": 20, "fine": 10}.items():
        (folder / name).mkdir(parents=True)
        for number in range(IMAGES):
            small = chance.integers(0, 256, (size[1] // grain, size[0] // grain, 3), np.uint8)
            large = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
            noise = chance.normal(0, 12, (size[1], size[0], 1)).astype(np.float32)
            pixels = (np.asarray(large) + noise).clip(0, 255).astype(np.uint8)
            first = folder / name / f"{number:02}.jpg"
            Image.fromarray(pixels).save(first, quality=90)
            for copy in range(1, COPIES):
                shutil.copy(first, first.with_stem(f"{first.stem}-{copy}"))


def take(folder: Path, chromium: str, picture: Path) -> None:
    """Takes a picture of the page that `tfsci profile open` shows."""
    for command in (
        [sys.executable, "-m", "tfsci", "profile", "report", "profile", "--html", "page.html"],
        [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", "--screenshot=page.png",
         "--window-size=1200,3000", "page.html"],
    ):  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with Image.open(folder / "page.png") as image:
        page = image.convert("RGB")
    empty = Image.new("RGB", page.size, page.getpixel((0, 0)))
    bottom = ImageChops.difference(page, empty).getbbox()[3]
    cut = page.crop((0, 0, page.width, bottom + 24))
    cut.quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main()
