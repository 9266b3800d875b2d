"""The datasets that a process holds: what each stage's function is called, and where it is written.

A trace knows a stage as ``MapDataset:4``, the fifth dataset that the process made. The datasets
themselves are in that process, and what is known of them is written beside its trace.
"""

import contextlib
import difflib
import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass

from tfsci.profile.instances import instances

# Operations that call Python.
PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}

# A process that holds more is no training; a chain that is longer is no pipeline.
_MOST_CHAINS, _LONGEST = 100, 200

_NUMBERED = re.compile(r"(\w+?)Dataset(?:V\d+)?:(\d+)")


@dataclass(frozen=True)
class Link:
    """A dataset of a chain.

    Attributes:
        kind: ``Map``, as in `tf.data`, without what TensorFlow hangs on.
        function: Name of the function that it applies, empty without one.
        place: ``train.py:12``, where that is written; empty where not known.
        kept_by: Command that keeps for good what the function returns: its attribute of that name.
    """

    kind: str
    function: str = ""
    place: str = ""
    kept_by: str = ""


Chain = tuple[Link, ...]


def held() -> tuple[Chain, ...]:
    """Returns the chains of all datasets in this process."""
    ops = sys.modules.get("tensorflow.python.data.ops.dataset_ops")
    found = instances(getattr(ops, "DatasetV2", None))
    chains, inner = {}, set()
    for each in found:
        with contextlib.suppress(AttributeError):  # one that another thread is just building
            inner.update(map(id, each._inputs()))
            chains[id(each)] = _chain(each)
    return tuple(chain for key, chain in chains.items() if key not in inner)


def written(chains: Iterable[Chain]) -> str:
    """Returns what a trace holds of them, as JSON."""
    return json.dumps([[astuple(x) for x in c] for c in [*chains][:_MOST_CHAINS]])


def parse(text: object) -> tuple[Chain, ...]:
    """Returns the chains that `written` wrote; none where it was something else."""
    try:
        return tuple(tuple(Link(*map(str, link)) for link in chain) for chain in json.loads(text))
    except (TypeError, ValueError):
        return ()


def functions(chains: Iterable[Chain], names: Iterable[str]) -> dict[str, Link]:
    """Returns, for a pipeline's stages, the datasets with the functions that they apply.

    The numbers count all datasets that the process has made, so a chain is laid along them by its
    kinds; of several chains, the one that agrees best is the pipeline.

    Args:
        chains: Of all datasets.
        names: Of the stages in the trace: ``MapDataset:4``, or several that are fused,
            ``fused(MapDataset:4,BatchDatasetV2:5)``.
    """
    numbered = {}
    for name in names:
        for kind, number in _NUMBERED.findall(name):
            numbered[int(number)] = kind, name
    stages = [numbered[number] for number in sorted(numbered)]
    best, most = {}, 0
    for chain in chains:
        matcher = difflib.SequenceMatcher(
            None, [kind for kind, _ in stages], [link.kind for link in chain], autojunk=False
        )
        blocks = matcher.get_matching_blocks()
        agreeing = sum(block.size for block in blocks)
        if agreeing > most:
            pairs = ((b.a + k, b.b + k) for b in blocks for k in range(b.size))
            found = ((stages[i][1], chain[j]) for i, j in pairs if chain[j].function)
            best, most = dict(found), agreeing
    return best


def _chain(dataset) -> Chain:
    """Returns a dataset and all that feeds it, the source first."""
    order, seen = [], set()

    def visit(each):
        if id(each) not in seen and len(seen) < _LONGEST:
            seen.add(id(each))
            for source in each._inputs():
                visit(source)
            order.append(each)

    visit(dataset)
    return tuple(_link(each) for each in order)


def _link(dataset) -> Link:
    functions = dataset._functions()
    if not functions:
        return Link(kind(dataset))
    applied = functions[0]._func
    return Link(kind(dataset), *named(applied), str(getattr(applied, "kept_by", "")))


def kind(dataset: object) -> str:
    """Returns TensorFlow's name of a dataset: ``ParallelMap``."""
    return re.sub(r"Dataset(V\d+)?$", "", type(dataset).__name__).lstrip("_")


def named(function: Callable) -> tuple[str, str]:
    """Returns a function's name, and the file and line where it is written.

    Both are empty for one of TensorFlow's own.
    """
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    written = inspect.unwrap(function)
    if not inspect.isroutine(written):
        written = type(written).__call__
    code = getattr(written, "__code__", None)
    if code is None or "/tensorflow/python/" in code.co_filename:
        return "", ""
    return name, f"{code.co_filename}:{code.co_firstlineno}"
