"""Images read as they lie give what the converted set gives."""

import os

import numpy as np
import pytest
from PIL import Image

from tfsci.data import catalog, pipeline
from tfsci.data.direct import Files
from tfsci.data.records import Arrays


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
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
    spec, place = f"folder:{photos},size=16", tmp_path / "prepared"
    direct = catalog.load(spec, data_dir=place)
    catalog.prepare(spec, place)
    converted = catalog.load(spec, data_dir=place)
    assert isinstance(direct.train, Files) and isinstance(converted.train, Arrays)
    assert converted.name == direct.name == spec
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
    source = catalog.load(f"folder:{photos},size=16", 20, tmp_path / "prepared")
    assert [split.num_samples for split in source.splits.values()] == [14, 4, 2]
    assert not (tmp_path / "prepared").exists()


def test_what_is_converted_counts_for_the_files_and_the_size_that_it_is_of(photos, tmp_path):
    spec, place = f"folder:{photos},size=16", tmp_path / "prepared"
    catalog.prepare(spec, place)
    assert isinstance(catalog.load(f"folder:{photos},size=8", data_dir=place).train, Files)
    assert isinstance(catalog.load(spec, data_dir=tmp_path / "elsewhere").train, Files)
    path = photos / "cat" / "0.jpg"
    os.utime(path, ns=(0, 0))
    assert isinstance(catalog.load(spec, data_dir=place).train, Files)


def test_a_file_that_can_not_be_opened_is_told_before_the_training(photos, tmp_path):
    (photos / "emu" / "none.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"none.jpg: empty \(0 bytes\)"):
        catalog.load(f"folder:{photos}", data_dir=tmp_path)


def test_it_is_said_how_to_convert_them(photos, tmp_path):
    spec = f"folder:{photos},size=16"
    decode = catalog.load(spec).train.reader()
    assert decode.kept_by == f"tfsci data prepare {spec}"
    decode = catalog.load(spec, data_dir=tmp_path / "my sets").train.reader()
    assert decode.kept_by == f"tfsci data prepare {spec} --data-dir '{tmp_path}/my sets'"
