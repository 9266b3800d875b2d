"""The most memory that TensorFlow's allocators held, as the trace of a process tells.

TensorFlow 2.21 notes each ``MemoryAllocation`` and ``MemoryDeallocation`` with ``allocator_name``
(``mklcpu``, ``GPU_0_bfc``) and ``peak_bytes_in_use``, the highest since the process began.
"""

from pathlib import Path

from tfsci.profile import xplane

_EVENTS = ("MemoryAllocation", "MemoryDeallocation")


def peaks(path: str | Path) -> dict[str, int]:
    """Returns the most bytes that each allocator held, of those that the trace tells of.

    Args:
        path: A ``*.xplane.pb`` that `reading.load` reads.
    """
    space = xplane.messages().XSpace.FromString(Path(path).read_bytes())
    found: dict[str, int] = {}
    for plane in space.planes:
        names = {key: value.name for key, value in plane.stat_metadata.items()}
        events = {key for key, value in plane.event_metadata.items() if value.name in _EVENTS}
        for line in plane.lines if events else ():
            for event in line.events:
                if event.metadata_id in events:
                    stats = {names.get(stat.metadata_id): stat for stat in event.stats}
                    _note(found, stats, names)
    return found


def _note(found: dict[str, int], stats: dict, names: dict) -> None:
    peak, allocator = stats.get("peak_bytes_in_use"), stats.get("allocator_name")
    if peak is not None and allocator is not None:
        name = allocator.str_value or names.get(allocator.ref_value, "")
        found[name] = max(found.get(name, 0), peak.int64_value, peak.uint64_value)
