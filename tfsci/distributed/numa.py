"""NUMA: which cores and GPUs are near to each other, as Linux tells it.

A core reaches the memory and the GPUs of its own node (mostly a socket) faster than another's.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from tfsci.distributed.cores import from_ranges

_NVIDIA, _AMD, _INTEL = "0x10de", "0x1002", "0x8086"
# Classes of the PCI code list: 3D controller, other display controller (AMD Instinct MI200, Intel
# Max), processing accelerator (AMD Instinct MI300). Intel's VGA controllers are small ones that
# come with the processor.
_GPU_CLASSES = ("0x0302", "0x0380", "0x1200")
_VGA = "0x0300"


def numa_nodes(root: Path = Path("/")) -> dict[int, list[int]]:
    """Returns the cores of each NUMA node; {} where the system does not tell.

    Args:
        root: Where ``sys`` is.
    """
    nodes = {}
    for path in (root / "sys/devices/system/node").glob("node[0-9]*"):
        try:
            nodes[int(path.name[4:])] = from_ranges((path / "cpulist").read_text())
        except (OSError, ValueError):
            continue
    return dict(sorted(nodes.items()))


def nodes_of_cores(cores: Collection[int], nodes: Mapping[int, Collection[int]]) -> list[int]:
    """Returns the NUMA nodes that these cores are of."""
    return [node for node, its in nodes.items() if set(its) & set(cores)]


def node_of_device(pci: str | None, root: Path = Path("/")) -> int | None:
    """Returns the NUMA node of a device at this PCI address; None where the system does not tell.

    Args:
        pci: Such as ``"0000:18:00.0"``.
        root: Where ``sys`` is.
    """
    if not pci:
        return None
    node = _read(root / "sys/bus/pci/devices" / pci.lower() / "numa_node")
    return int(node) if node.isdecimal() else None  # -1: not told


def gpu_nodes(root: Path = Path("/")) -> dict[str, int | None]:
    """Returns the PCI addresses of the machine's GPUs, with their NUMA nodes.

    Args:
        root: Where ``sys`` is.
    """
    found = {}
    for path in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor, kind = _read(path / "vendor"), _read(path / "class")[:6]
        usable = kind in _GPU_CLASSES or (kind == _VGA and vendor != _INTEL)
        if vendor in (_NVIDIA, _AMD, _INTEL) and usable:
            found[path.name] = node_of_device(path.name, root)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
