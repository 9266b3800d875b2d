"""A tf.data pipeline as its stages in order, each with the dataset up to it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfsci.profile.datasets import PYTHON, kind, named

if TYPE_CHECKING:
    import tensorflow as tf

# What these take an element from, and how many they make of it, can't be told from outside: they
# are one stage with all that comes before them.
_WHOLE = re.compile("FlatMap|Interleave|Unbatch|Group|Window|Rebatch|TextLine|Record")
# What the user has not written.
_SILENT = ("Options", "Restructured", "DenseToRagged", "Model")
_METHODS = {"tensor_slice": "from_tensor_slices", "tensor": "from_tensors"}


@dataclass(frozen=True)
class Link:
    """A stage of a pipeline.

    Attributes:
        name: As in the code: ``map(decode)``.
        where: File and line of its function, empty without one.
        dataset: The pipeline up to here.
        examples: In an element that it puts out.
        works_ahead: Whether it has threads of its own.
        function: What its function is made of, ``"graph"`` or ``"python"``; empty without one.
        buffer: Elements that a shuffle draws from, 0 for other stages.
        cache: ``"memory"`` or ``"files"`` for a cache, empty for other stages.
    """

    name: str
    where: str
    dataset: "tf.data.Dataset"
    examples: float
    works_ahead: bool
    function: str
    buffer: int
    cache: str


def links(dataset: "tf.data.Dataset", batch_size: int | None = None) -> tuple[Link, ...]:
    """Returns the stages of a pipeline, the source first.

    Args:
        dataset: The pipeline.
        batch_size: Examples in one of its elements; what its batch stages say by default, 1 where
            it has none.
    """
    stages = _stages(dataset)
    sizes = [_batch_size(stage) for stage in stages]
    examples = batch_size or 1.0
    for size in sizes if batch_size is None else ():
        examples *= size
    found = []
    for stage, size in zip(reversed(stages), reversed(sizes), strict=True):
        found.append(_link(stage, examples))
        examples = max(examples / size, 1.0)
    return tuple(reversed(found))


def _stages(dataset) -> list:
    """Returns the datasets that are stages, the source first."""
    found = []
    while True:
        if kind(dataset) not in _SILENT:
            found.append(dataset)
        inputs = dataset._inputs()[1 if _is_enumerate(dataset) else 0 :]
        if len(inputs) != 1 or _WHOLE.search(kind(dataset)):
            return found[::-1]
        dataset = inputs[0]


def _is_enumerate(dataset) -> bool:
    """Whether it is a zip of numbers without end with one other dataset."""
    inputs = dataset._inputs()
    return len(inputs) == 2 and kind(inputs[0]) == "Variant" and int(inputs[0].cardinality()) == -1


def _batch_size(dataset) -> float:
    """Returns how many elements of its input are in one of a stage; a mean where it is known."""
    size = getattr(dataset, "_batch_size", None)
    if size is None:
        return 1.0
    before, after = (int(d.cardinality()) for d in (dataset._inputs()[0], dataset))
    return before / after if before > 0 and after > 0 else float(size)


def _link(dataset, examples: float) -> Link:
    wrappers = dataset._functions()
    functions = [wrapper._func for wrapper in wrappers]
    function, where = named(functions[0]) if functions else ("", "")
    python = any(PYTHON & _operations(wrapper.function.graph) for wrapper in wrappers)
    generates = any("_from_generator." in getattr(f, "__qualname__", "") for f in functions)
    return Link(
        name="from_generator" if generates else _name(dataset, function),
        where="" if generates else Path(where).name,
        dataset=dataset,
        examples=examples,
        works_ahead=bool(re.match("Prefetch|Parallel", kind(dataset))),
        function=("python" if python else "graph") if wrappers else "",
        buffer=int(dataset._buffer_size) if kind(dataset) == "Shuffle" else 0,
        cache=_cache(dataset) if kind(dataset) == "Cache" else "",
    )


def _cache(dataset) -> str:
    return "files" if dataset._filename.numpy() else "memory"


def _name(dataset, function: str) -> str:
    """Returns the name of the method that makes it, with that of its function."""
    if _is_enumerate(dataset):
        return "enumerate"
    made = kind(dataset).removeprefix("Parallel")
    if dataset.__class__.__module__.endswith("readers"):
        return f"{made}Dataset"
    method = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", made).lower()
    method = _METHODS.get(method, method)
    return f"{method}({function.strip('<>')})" if function else method


def _operations(graph) -> set[str]:
    """Returns the types of operations in a graph and in the functions that it calls."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return {node.op for node in nodes}
