"""The functions of a pipeline's stages, from the process that was traced."""

import functools
import json

import pytest
import tensorflow as tf

from tfsci.profile import datasets, signatures
from tfsci.profile.datasets import Link


def decode(x):
    return x + 1


class Reader:
    def __call__(self, x):
        return 2 * x


def test_the_datasets_that_a_process_holds():
    made = tf.data.Dataset.range(8).map(decode).map(Reader(), 2)
    made = made.map(functools.partial(decode)).filter(lambda x: x > 0).batch(2)
    chain = max(
        (c for c in datasets.held() if "Reader" in {x.function for x in c}),
        key=len,
    )
    assert [(link.kind, link.function) for link in chain] == [
        ("Range", ""), ("Map", "decode"), ("ParallelMap", "Reader"), ("Map", "decode"),
        ("Filter", "<lambda>"), ("Batch", ""),
    ]  # fmt: skip
    place = f"{__file__}:{decode.__code__.co_firstlineno}"
    assert chain[1].place == place
    assert made is not None


CHAIN = (Link("Range"), Link("Map", "load"), Link("ParallelMap", "decode"), Link("Batch"))


def test_a_dataset_that_is_not_yet_built_is_left_out():
    made = tf.data.Dataset.range(8).map(decode)
    begun = type(made).__new__(type(made))
    assert "decode" in {x.function for c in datasets.held() for x in c}
    assert begun is not made


def test_a_function_may_say_what_keeps_its_results():
    def load(x):
        return x

    load.kept_by = "make cache"
    made = tf.data.Dataset.range(8).map(load).batch(2)
    links = [x for c in datasets.held() for x in c if x.function == "load"]
    assert "make cache" in {link.kept_by for link in links}
    assert made is not None


def test_a_chain_is_laid_along_the_numbers_of_a_trace():
    names = ["RangeDataset:7", "MapDataset:9", "fused(ParallelMapDatasetV2:12,BatchDatasetV2:13)"]
    found = datasets.functions([CHAIN], [*names, "PrefetchDataset:14", "no/number"])
    assert {name: link.function for name, link in found.items()} == {
        "MapDataset:9": "load", names[2]: "decode",
    }  # fmt: skip


def test_of_several_chains_the_one_that_agrees_is_taken():
    other = (Link("Range"), Link("Map", "weigh"))
    names = ["RangeDataset:0", "MapDataset:1", "ParallelMapDatasetV2:2", "BatchDatasetV2:3"]
    found = datasets.functions([other, CHAIN], names)
    assert [link.function for link in found.values()] == ["load", "decode"]
    assert datasets.functions([], names) == datasets.functions([CHAIN], []) == {}


@pytest.mark.parametrize(
    "text", [None, "", "{", "7", "[[7]]", '[[["a","b","c","d","e"]]]', b"\xff"]
)
def test_what_is_no_list_of_chains_gives_none(text):
    assert datasets.parse(text) == ()
    assert signatures.parse(text) == {}


def test_signatures_of_a_function_that_was_traced_anew():
    @tf.function
    def train_step(x, number):
        return tf.reduce_sum(x) * number

    for size in (2, 3):
        train_step(tf.zeros([size, 4]), size)
    found = signatures.parse(signatures.held())
    assert found["train_step"] == ("float32 (2, 4), 2", "float32 (3, 4), 3")
    assert json.loads(signatures.held())["train_step"]


def test_a_function_that_was_traced_once_is_no_news():
    @tf.function
    def once(x):
        return x

    once(tf.zeros(3))
    assert "once" not in signatures.parse(signatures.held())
