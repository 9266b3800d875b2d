"""Finds the objects of a class in this process, while other threads work.

`gc.get_objects` would hold a reference to each object there is, also to a tuple that another thread
is just building, which then fails with a SystemError. The collector's list of what refers to the
classes is made in one go, and holds their instances.
"""

import gc


def instances(base: type | None) -> list:
    """Returns the objects of a class and of those derived from it; none for None."""
    kinds = _derived(base) if base else set()
    return [each for each in gc.get_referrers(*kinds) if type(each) in kinds] if kinds else []


def _derived(kind: type) -> set[type]:
    return {kind}.union(*(_derived(each) for each in type.__subclasses__(kind)))
