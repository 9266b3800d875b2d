"""Images read as they lie give what the converted set gives."""

import numpy as np
import pytest
from PIL import Image

from tfsci.data import catalog, pipeline


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(3)
    for name in ("cat", "dog", "emu"):
        (folder / name).mkdir()
        for i in range(12):
            pixels = random.integers(0, 255, (20 + i, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.jpg")
    return folder


def batches(dataset, number):
    return [[part.numpy() for part in batch] for batch in dataset.take(number)]


def test_the_same_batches_as_of_the_converted_set(photos, tmp_path):
    specs = (f"folder:{photos},size=16", f"folder:{photos},size=16,convert=no")
    converted, direct = (catalog.load(spec, data_dir=tmp_path / "prepared") for spec in specs)
    assert converted.class_names == direct.class_names == ("cat", "dog", "emu")
    for name in ("train", "validation", "test"):
        splits = converted.splits[name], direct.splits[name]
        assert splits[0].num_samples == splits[1].num_samples
        made = (pipeline.evaluation(split, 4).dataset for split in splits)
        for one, other in zip(*(batches(dataset, 9) for dataset in made), strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)
    made = (pipeline.training(source.train, 4, seed=5).dataset for source in (converted, direct))
    for one, other in zip(*(batches(dataset, 9) for dataset in made), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nothing_is_written(photos, tmp_path):
    source = catalog.load(f"folder:{photos},convert=no,size=16", 20, tmp_path / "prepared")
    assert [split.num_samples for split in source.splits.values()] == [14, 4, 2]
    assert not (tmp_path / "prepared").exists()


def test_what_convert_can_be(photos, tmp_path):
    with pytest.raises(ValueError, match=r"convert=maybe: expected yes or no"):
        catalog.load(f"folder:{photos},convert=maybe", data_dir=tmp_path)
    source = catalog.load(f"folder:{photos},convert=yes,size=8", data_dir=tmp_path)
    assert source.input_shape == (8, 8, 3)
