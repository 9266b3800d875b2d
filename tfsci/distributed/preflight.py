"""Before the first step: do all processes train the same model on the same data alike?

Each process tells what it has, in one exchange, and all compare: where one differs, all end with
the same line, instead of a curve that is wrong or an exchange that never ends.
"""

import itertools
import json
import os
import platform
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfsci.data.source import Source
from tfsci.distributed import binding
from tfsci.distributed import facts as facts_of
from tfsci.distributed.conflicts import find_conflicts
from tfsci.distributed.gpus import visible_gpus
from tfsci.distributed.launch import Launch
from tfsci.distributed.strategy import Strategy, ranks_as_text

if TYPE_CHECKING:
    import keras

# What to do about a difference, by the group of facts that it is in.
_CURES = {
    "versions": "install the same versions on all nodes",
    "options": "start all ranks with the same options",
    "data": "give all nodes the same files, and prepare the set anew where they are old",
    "model": "build the same model on every rank",
    "weights": (
        "set weights before fit, which sends rank 0's to all; if nothing sets them later, this "
        "rank's node or network is at fault"
    ),
}
_PATHS = {"data_dir", "output"}  # options that may differ from node to node
_MOST = 3  # values, and hosts of each, that a message tells


def check_devices(strategy: Strategy, launch: Launch) -> None:
    """Looks for ranks that can't train beside each other: two of them on one GPU, or one without.

    Args:
        strategy: Of this process; with one process nothing is looked at.
        launch: This process's place in the job.

    Raises:
        ValueError: They can't; raised on every one.
    """
    if strategy.num_shards == 1:
        return
    rows = strategy.gather(binding.row(launch, os.sched_getaffinity(0), visible_gpus()))
    for conflict in find_conflicts(rows):
        if conflict.severity == "fatal":
            raise ValueError(f"{conflict.text}; {conflict.next_step} (see 'tfsci doctor')")


def check_setup(
    strategy: Strategy,
    options: Mapping[str, object],
    source: Source,
    steps_per_epoch: int,
    model: "keras.Model",
) -> None:
    """Compares all that can be compared before the first exchange of a training.

    Args:
        strategy: Of this process; with one process nothing is looked at.
        options: What the training was started with, by name; paths may differ.
        source: The data.
        steps_per_epoch: Batches in an epoch.
        model: Compiled and built; its weights are not looked at.

    Raises:
        ValueError: A process differs; raised on every one.
    """
    if strategy.num_shards == 1:
        return
    found = facts_of.versions() | {"python": ".".join(platform.python_version_tuple()[:2])}
    if strategy.name != "horovod":
        del found["horovod"]
    check(
        strategy,
        {
            "versions": found,
            "options": {
                f"--{key.replace('_', '-')}": value
                for key, value in options.items()
                if key not in _PATHS
            },
            "data": facts_of.data(source) | {"steps per epoch": steps_per_epoch},
            "model": facts_of.model(model),
        },
    )


def check_weights(strategy: Strategy, model: "keras.Model") -> None:
    """Compares the weights, which are to be equal once the chief's have been sent to all.

    Args:
        strategy: Of this process; with one process nothing is looked at.
        model: A model of equal structure everywhere, see `check_setup`.

    Raises:
        ValueError: A process differs; raised on every one.
    """
    if strategy.num_shards > 1:
        check(strategy, {"weights": {"weights": facts_of.weights(model)}})


def check(strategy: Strategy, facts: Mapping[str, Mapping[str, object]]) -> None:
    """Compares facts of all processes, in one exchange.

    Right is what most processes have; where as many have another value, what the lower rank has.

    Args:
        strategy: Of this process.
        facts: What JSON can hold, by group (``versions``, ``options``, ``data``, ``model``,
            ``weights`` or another) and field, as a message is to name it.

    Raises:
        ValueError: A field differs. The message names the ranks, their hosts, the field, the
            values and what to do; it is the same on every process.
    """
    if strategy.num_shards == 1:
        return
    told = strategy.gather({"host": socket.gethostname(), "facts": facts})
    every = [each["facts"] for each in told]
    fields = {  # in the order of the first rank that has them
        (group, field): None for each in every for group, values in each.items() for field in values
    }
    differences = []
    for group, field in fields:
        # As text, in which a NaN equals itself.
        texts = [json.dumps(each.get(group, {}).get(field), sort_keys=True) for each in every]
        if len(set(texts)) > 1:
            differences.append((group, field, texts))
    if differences:
        raise ValueError(_message(differences, [each["host"] for each in told]))


def _message(differences: Sequence[tuple[str, str, Sequence[str]]], hosts: Sequence[str]) -> str:
    (group, field, texts), *more = differences
    right = Counter(texts).most_common(1)[0][0]  # of equally common ones the first
    ranks_of = {}
    for rank, text in enumerate(texts):
        ranks_of.setdefault(text, []).append(rank)
    others = ranks_of.pop(right)
    parts = []
    for text, ranks in itertools.islice(ranks_of.items(), _MOST):
        where = _hosts_as_text(sorted({hosts[rank] for rank in ranks}))
        has = f"{'has' if len(ranks) == 1 else 'have'} {'' if parts else f'{field} '}"
        parts.append(f"{ranks_as_text(ranks)} on {where} {has}{_shown(text)}")
    if len(ranks_of) > _MOST:
        parts.append(f"more ranks have {len(ranks_of) - _MOST} more values")
    parts.append(f"{'the others' if len(others) > 1 else ranks_as_text(others)} {_shown(right)}")
    also = f" (and {len(more)} more difference{'s' * (len(more) > 1)})" if more else ""
    return f"{', '.join(parts)}{also}: {_CURES.get(group, 'make it the same on all ranks')}"


def _hosts_as_text(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _MOST} more" if len(hosts) > _MOST else ""
    return f"host{'s' * (len(hosts) > 1)} {', '.join(hosts[:_MOST])}{more}"


def _shown(text: str) -> str:
    value = json.loads(text)
    shown = "none" if value is None else value if isinstance(value, str) else text
    return shown if len(shown) <= 100 else f"{shown[:48]} … {shown[-48:]}"
