"""Images in folders, a folder a class: JPEG, PNG and TIFF files of any sizes and kinds."""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfsci.data.collection import Collection, Part
from tfsci.data.folders import entries, split_folders

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_FORMATS = ("JPEG", "PNG", "TIFF")
_LARGEST_COMMON_SIZE, _LARGEST_MEDIAN_SIZE = 512, 224

# Pillow's modes of one channel, and those among them with more than 8 bits.
_DEEP = {"I;16", "I;16B", "I;16L", "I;16N", "I", "F"}
_GREY = {"1", "L", "LA", "La"} | _DEEP

# Filters of warnings are the process's, not the thread's.
_FILTERING = threading.Lock()


def files(path: Path) -> list[Path]:
    """Lists the images of ``folder:PATH``, by split, class and name; opens none.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folders are not a data set.
    """
    return [part.path for part in _listing(path)[0]]


def collect(path: Path, size: int | None = None) -> Collection:
    """Describes the images of ``folder:PATH``, from their headers alone.

    An image is turned as its EXIF data says, its shorter side is resized to `size` and its centre
    kept. Alpha is dropped. Integers of 16 bits are divided by 65535 and floats taken as they are,
    in which case 8-bit images of the same set are divided by 255.

    Args:
        path: Holds a folder for each class; or train/ and, where there are such, val/ (also
            called valid/ or validation/) and test/, which hold a folder for each class.
        size: Side of the square that every image becomes. Default: that of all images where they
            are squares of one size up to 512; otherwise the median of their shorter sides, at
            most 224.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folders are not a data set, or no image can be read.
    """
    if size is not None and size < 1:
        raise ValueError(f"size: expected at least 1; received {size}")
    parts, class_names = _listing(path)
    headers, first_error = [], None
    for part in parts:
        try:
            with _opened(part.path) as image:
                headers.append((image.size, image.mode))
        except (OSError, ValueError) as error:
            first_error = first_error or error
    if not headers:
        raise ValueError(f"no image of {path} can be read; the first is {first_error}")
    shapes, modes = ({header[i] for header in headers} for i in (0, 1))
    reader = _Reader(
        size=size or _common_size(shapes, [min(shape) for shape, _ in headers]),
        channels=1 if modes <= _GREY else 3,
        dtype="float32" if modes & _DEEP else "uint8",
    )
    return Collection(
        parts=tuple(parts),
        shape=(reader.size, reader.size, reader.channels),
        dtype=reader.dtype,
        read=reader.read,
        num_classes=len(class_names),
        class_names=tuple(class_names),
        unreadable=first_error,
    )


@dataclass(frozen=True)
class _Reader:
    size: int
    channels: int
    dtype: str

    def read(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        from PIL import ImageOps

        with _opened(part.path) as image:
            # A JPEG is decoded at a half, a quarter or an eighth where that is still large enough.
            image.draft(None, (self.size, self.size))
            image.load()
            with _warnings_as_errors():
                ImageOps.exif_transpose(image, in_place=True)
            x = self._square(image)
        return x[np.newaxis], np.array([part.label], np.int32)

    def _square(self, image) -> np.ndarray:
        """Returns the centre of an image, shape (size, size, channels)."""
        from PIL import Image

        if image.mode in _DEEP:
            if self.dtype != "float32":
                raise ValueError("it has become a 16-bit or float image since the set was listed")
            image = Image.fromarray(_deep_pixels(image))
        elif self.channels == 1:
            image = image.convert("L")
        else:
            # Pillow warns of a transparent palette that goes straight to RGB.
            image = image.convert("RGBA") if "transparency" in image.info else image
            image = image.convert("RGB")
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        x = np.asarray(
            image.resize(
                (self.size, self.size),
                Image.Resampling.BILINEAR,
                box=(left, top, left + side, top + side),
            )
        )
        if x.dtype != self.dtype:
            x = x.astype(np.float32) / 255
        return x if x.ndim == 3 else np.repeat(x[..., np.newaxis], self.channels, axis=2)


def _deep_pixels(image) -> np.ndarray:
    pixels = np.asarray(image, np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError("it holds NaN or infinite pixels")
    if image.mode == "F":
        return pixels
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 65535:
        raise ValueError(f"its pixels are {low:.0f} to {high:.0f}, expected 0 to 65535")
    return pixels / 65535


def _common_size(shapes: set[tuple[int, int]], shorter_sides: list[int]) -> int:
    if len(shapes) == 1:
        ((width, height),) = shapes
        if width == height <= _LARGEST_COMMON_SIZE:
            return width
    return min(int(np.median(shorter_sides)), _LARGEST_MEDIAN_SIZE)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator:
    """Yields an image whose pixels are not yet read; what Pillow says becomes one line."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _warnings_as_errors():
            image = Image.open(path, formats=_FORMATS)
        with image:
            yield image
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; list the folder anew") from None
    except UnidentifiedImageError:
        what = "not a whole JPEG, PNG or TIFF image" if path.stat().st_size else "empty (0 bytes)"
        raise ValueError(f"{path}: {what}; copy it again or remove it") from None
    # Damaged files make Pillow raise nearly anything: SyntaxError, struct.error, KeyError …
    except Exception as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ValueError(
            f"{path}: can't be read ({reason or type(error).__name__}); copy it again or remove it"
        ) from error


@contextlib.contextmanager
def _warnings_as_errors() -> Iterator[None]:
    with _FILTERING, warnings.catch_warnings():
        warnings.filterwarnings("error", module="PIL")
        yield


def _listing(path: Path) -> tuple[list[Part], list[str]]:
    """Returns a part for each image, and the names of the classes."""
    folders = split_folders(path)
    classes = {folder: _class_folders(folder) for _, folder in folders}
    _check_splits(path, {folder.name: names for folder, names in classes.items()})
    labels = {name: label for label, name in enumerate(classes[folders[0][1]])}
    parts = []
    for split, folder in folders:
        for name, label in labels.items():
            if name in classes[folder]:
                images = _images(folder / name)
                if not images:
                    raise ValueError(
                        f"{folder / name}: has no images; expected {', '.join(SUFFIXES)} files; "
                        "add some or remove the folder"
                    )
                parts += [Part(image, split, label) for image in images]
    return parts, list(labels)


def _class_folders(folder: Path) -> list[str]:
    names = [entry.name for entry in entries(folder) if entry.is_dir()]
    if len(names) < 2:
        came = f"only one class folder, {names[0]}/" if names else "no class folders"
        raise ValueError(
            f"{folder}: has {came}; expected a folder of images for each of two or more classes"
        )
    return names


def _check_splits(path: Path, classes: dict[str, list[str]]) -> None:
    """Refuses a class that can't be learnt, or not be tested. Training comes first in `classes`."""
    if len(classes) == 1:
        return
    train = next(iter(classes))
    for name in sorted(set().union(*classes.values())):
        has = [split for split in classes if name in classes[split]]
        lacks = [split for split in classes if name not in classes[split]]
        if train in lacks or len(has) == 1:
            raise ValueError(
                f"{path}: class {name} is in {has[0]}/ but not in {lacks[0]}/; add a folder of "
                "its images there or remove the class"
            )


def _images(folder: Path) -> list[Path]:
    """Returns the images below a folder, in the order of their names."""
    found = []
    for entry in entries(folder):
        if entry.is_dir(follow_symlinks=False):
            found += _images(Path(entry.path))
        elif entry.name.lower().endswith(SUFFIXES):
            found.append(Path(entry.path))
    return found
