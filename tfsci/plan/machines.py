"""Machines as the model sees them: devices, and links that join more and more of them."""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path

# What NCCL counts on of a link: 20 of the 25 GB/s of an NVLink 2 or 3
# (github.com/NVIDIA/nccl, src/graph/topo.h, SM70_NVLINK_BW and SM80_NVLINK_BW).
LINK_EFFICIENCY = 0.8

# Of a device's memory: what training may fill. The rest is the framework's own, buffers of
# collectives, and gaps.
USABLE_MEMORY = 0.9

# What an element of a matrix product costs besides its sum, in multiplications: with the A100's
# efficiency the two constants that five rows of Narayanan 2021's Table 1 were fitted for.
OVERHEAD = 900


@dataclass(frozen=True)
class Device:
    """What computes: a GPU, or a die or tile where a card has two that programs see.

    Attributes:
        name: As the maker calls it.
        tflops: Peak in 16-bit matrix products, without sparsity, 10¹² operations/s.
        tflops_float32: Peak in single precision.
        memory: GB, 10⁹ bytes.
        bandwidth: Of the memory, GB/s.
        watts: Of the device alone, at most.
        efficiency: Share of the peak that very large matrix products reach; fitted.
        fitted: What it was fitted to.
        source: Where the other figures stand.
        overhead: Of each element of a matrix product, in multiplications; fitted on the A100.
    """

    name: str
    tflops: float
    tflops_float32: float
    memory: float
    bandwidth: float
    watts: float | None
    efficiency: float
    fitted: str
    source: str
    overhead: float = OVERHEAD

    @property
    def peak(self) -> float:
        """Operations/s in 16 bit."""
        return self.tflops * 1e12

    @property
    def usable(self) -> float:
        """Bytes that training may fill."""
        return USABLE_MEMORY * self.memory * 1e9


@dataclass(frozen=True)
class Link:
    """A level of the network.

    Attributes:
        devices: How many devices one of its blocks joins; None for any number.
        bandwidth: Of a device, in one direction, GB/s; where devices share a link, its share.
        latency: Of one message, µs.
    """

    devices: int | None
    bandwidth: float
    latency: float

    @property
    def rate(self) -> float:
        """Bytes/s that a device can count on."""
        return LINK_EFFICIENCY * self.bandwidth * 1e9


@dataclass(frozen=True)
class Machine:
    """Equal devices under links; the last link joins the nodes.

    Attributes:
        name: As `find` knows it.
        title: Whose it is.
        device: What it has of.
        links: From the nearest devices to the network.
        nodes: How many there are; None where that is no limit.
        source: Where the links stand.
    """

    name: str
    title: str
    device: Device
    links: tuple[Link, ...]
    nodes: int | None
    source: str

    @property
    def devices_per_node(self) -> int:
        """Devices that the network sees as one."""
        return self.links[-2].devices if len(self.links) > 1 else 1


def find(name: str) -> Machine:
    """Returns a machine by its name, or from a file.

    Args:
        name: A row of `table.MACHINES`, ``"local"``, or the path of a TOML file, see `read`.

    Raises:
        ValueError: There is none; the message lists near names.
    """
    from tfsci.plan.machine_table import MACHINES

    if name == "local":
        from tfsci.plan.local import machine

        return machine()
    if name in MACHINES:
        return MACHINES[name]
    if Path(name).suffix == ".toml" or "/" in name:
        return read(Path(name))
    known = [*MACHINES, "local"]
    near = difflib.get_close_matches(name.lower(), known, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise ValueError(
        f"unknown machine {name!r}; {meant}known are {', '.join(known)}, or a file, NAME.toml"
    )


def read(path: Path) -> Machine:
    """Reads a machine from a TOML file.

    `tfsci plan machines --help` shows one. Not required: in ``[device]`` ``tflops_float32``,
    ``watts`` and ``efficiency`` (0.5), and ``nodes``. The last link, the network's, has no
    ``devices``.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from None
    _expect(path, given, "the file", {"device": dict, "links": list}, {"title": str, "nodes": int})
    numbers = int | float
    required = {"name": str, "tflops": numbers, "memory": numbers, "bandwidth": numbers}
    optional = {"tflops_float32": numbers, "watts": numbers, "efficiency": numbers}
    _expect(path, given["device"], "[device]", required, optional)
    half = given["device"]["tflops"] / 2
    device = {"tflops_float32": half, "watts": None, "efficiency": 0.5, **given["device"]}
    links = []
    for row in given["links"]:
        _expect(
            path, row, "[[links]]", {"bandwidth": numbers, "latency": numbers}, {"devices": int}
        )
        links.append(Link(row.get("devices"), row["bandwidth"], row["latency"]))
    sizes = [link.devices for link in links]
    if not links or sizes[-1] is not None or None in sizes[:-1] or sizes[:-1] != sorted(sizes[:-1]):
        raise ValueError(
            f"{path}: [[links]]: expected one for each level, from few devices to many, the last, "
            f"the network's, without devices; got devices {sizes}"
        )
    told = Device(**device, fitted="not fitted: as the file says", source=str(path))
    title = given.get("title", path.stem)
    return Machine(path.stem, title, told, tuple(links), given.get("nodes"), str(path))


def _expect(path: Path, given: object, where: str, required: dict, optional: dict) -> None:
    """Raises a ValueError unless a table has what is required, and nothing that is not known."""
    if not isinstance(given, dict):
        raise ValueError(f"{path}: {where}: expected a table")
    for key in required:
        if key not in given:
            raise ValueError(f"{path}: {where} has no {key!r}; see tfsci plan machines --help")
    for key, value in given.items():
        kind = (required | optional).get(key)
        if kind is None:
            known = ", ".join(required | optional)
            raise ValueError(f"{path}: {where}: unknown key {key!r}; expected {known}")
        number = isinstance(value, int | float)
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or (number and not 0 < value < 1e15)
        ):
            raise ValueError(f"{path}: {where}: {key}: {value!r} is not what was expected")
