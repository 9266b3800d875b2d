"""The inputs for which a `tf.function` was traced, each of them anew.

A trace tells that a function was traced again, not why; the process that was traced knows.
"""

import contextlib
import json
import sys

from tfsci.profile.instances import instances

_MODULE = "tensorflow.python.eager.polymorphic_function.polymorphic_function"
# So many of a function are kept, the last ones.
_KEPT = 4
_MOST_LETTERS = 120


def held() -> str:
    """Returns, as JSON, the last signatures of each function that has several, by its name."""
    found = {}
    for each in instances(getattr(sys.modules.get(_MODULE), "Function", None)):
        # One that is a method of a class, and not yet of an object, can't list them.
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            traced = each._list_all_concrete_functions()
            if len(traced) > 1:
                found[each.name] = [_signature(one) for one in traced[-_KEPT:]]
    return json.dumps(found)


def parse(text: object) -> dict[str, tuple[str, ...]]:
    """Returns the signatures by function that a trace holds; none where it holds something else."""
    try:
        return {str(name): tuple(map(str, each)) for name, each in json.loads(text).items()}
    except (TypeError, ValueError, AttributeError):
        return {}


def _signature(concrete) -> str:
    positional, named = concrete.structured_input_signature
    inputs = [_input(each) for each in positional]
    inputs += [f"{name}={_input(each)}" for name, each in named.items()]
    return ", ".join(inputs)[:_MOST_LETTERS]


def _input(value: object) -> str:
    """Returns ``float32 (32, 8)`` for a tensor, and a Python value as it is."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return repr(value)
    return f"{dtype.name} {tuple(shape) if shape.rank is not None else '(any shape)'}"
