"""Draws what `tfsci profile open` shows of a training that waits for its JPEGs.

    python benchmarks/page.py docs/profile.png      half a minute on 2 cores

Needs Chromium. The script that is traced is one of many: nothing in it is for the profiler.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

SCRIPT = """
import keras
import tensorflow as tf
from keras import layers

SIZE = (128, 128)
CLASSES = ["coarse", "medium", "fine"]


def load(path):
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    label = tf.strings.split(path, "/")[-2] == tf.constant(CLASSES)
    return tf.image.resize(image, SIZE) / 255, tf.cast(label, tf.float32)


files = tf.data.Dataset.list_files("micrographs/*/*.jpg")
dataset = files.map(load).batch(12).prefetch(2)
model = keras.Sequential([
    keras.Input((*SIZE, 3)),
    layers.Conv2D(16, 3, strides=2, activation="relu"),
    layers.Conv2D(32, 3, strides=2, activation="relu"),
    layers.GlobalAveragePooling2D(),
    layers.Dense(len(CLASSES)),
])
model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
model.fit(dataset.repeat(16), verbose=0)
"""


def main() -> None:
    """Makes the images, trains, and takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path, help="PNG to write")
    picture = parser.parse_args().picture
    chromium = shutil.which("chromium") or parser.error("needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        draw_images(Path(folder, "micrographs"))
        Path(folder, "train.py").write_text(SCRIPT)
        for command in (
            [sys.executable, "-m", "tfsci.profile", "train.py"],
            [sys.executable, "-m", "tfsci", "profile", "report", "profile", "--html", "page.html"],
            [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", "--screenshot=page.png",
             "--window-size=1200,3000", "page.html"],
        ):  # fmt: skip
            subprocess.run(command, cwd=folder, check=True)
        save(Path(folder, "page.png"), picture)


def draw_images(folder: Path) -> None:
    """Writes noise with grains of three sizes, 20 images of 1200×900 each."""
    chance = np.random.default_rng(0)
    for name, grain in {"coarse": 20, "medium": 10, "fine": 5}.items():
        (folder / name).mkdir(parents=True)
        for number in range(20):
            small = chance.integers(0, 256, (900 // grain, 1200 // grain, 3), np.uint8)
            large = Image.fromarray(small).resize((1200, 900), Image.Resampling.BICUBIC)
            noisy = np.asarray(large) + chance.normal(0, 12, (900, 1200, 3))
            pixels = noisy.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.jpg", quality=90)


def save(taken: Path, picture: Path) -> None:
    """Cuts the empty rest off, and keeps as many colours as the page needs."""
    with Image.open(taken) as image:
        page = image.convert("RGB")
    empty = Image.new("RGB", page.size, page.getpixel((0, 0)))
    bottom = ImageChops.difference(page, empty).getbbox()[3]
    cut = page.crop((0, 0, page.width, bottom + 24))
    cut.quantize(64, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main()
