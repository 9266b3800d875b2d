"""Where two ranks of a job get into each other's way, and what to do about it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tfsci.distributed.cores import UNBOUND, as_ranges
from tfsci.distributed.devices import MASKS

_BIND = {
    "srun": "srun --cpus-per-task={} --cpu-bind=cores",
    "jsrun": "jsrun -a 1 -c {} -b packed:{}",
    "mpirun": "mpirun --map-by slot:PE={} --bind-to core",
    "pals": "mpiexec --cpu-bind depth -d {}",
    "alps": "aprun -cc depth -d {}",
    "mpich": "mpiexec -bind-to core:{}",
    "mvapich": "MV2_CPU_BINDING_POLICY=scatter",
}
_GPU_EACH = {
    "srun": "srun --gpus-per-task=1",
    "jsrun": "jsrun -a 1 -g 1",
    "pals": "a mask set from PALS_LOCAL_RANKID",
}


@dataclass(frozen=True)
class Conflict:
    """What gets ranks into each other's way.

    Attributes:
        severity: ``"fatal"`` (no training should start so), ``"conflict"`` (slow, or not what was
            meant) or ``"note"``.
        subject: ``"GPU"``, ``"versions"``, ``"cores"``, ``"local rank"`` or ``"NUMA"``.
        text: Which ranks, and what.
        next_step: What to do about it.
    """

    severity: str
    subject: str
    text: str
    next_step: str


def find_conflicts(rows: Sequence[Mapping]) -> list[Conflict]:
    """Returns what is wrong between the ranks, the worst first.

    Args:
        rows: Every rank's `binding.row`.
    """
    hosts = defaultdict(list)
    for each in rows:
        hosts[each["host"], each["boot"]].append(each)
    found = [*_shared_gpus(rows), *_without_gpu(rows), *_versions(rows)]
    for here in hosts.values():
        for check in (_refused_gpus, _local_ranks, _shared_cores, _threads, _unbound, _numa):
            found += check(here)
    return sorted(found, key=lambda each: ("fatal", "conflict", "note").index(each.severity))


def named(rows: Sequence[Mapping]) -> str:
    """Returns the ranks of some rows and their hosts: ``"ranks 0-2 on node1"``."""
    ranks = [each["rank"] for each in rows]
    hosts = list(dict.fromkeys(each["host"] for each in rows))
    where = ", ".join(hosts[:3]) + ", …" * (len(hosts) > 3)
    return f"rank{'s' * (len(ranks) > 1)} {as_ranges(ranks)} on {where}"


def _shared_gpus(rows: Sequence[Mapping]) -> Iterator[Conflict]:
    users = defaultdict(list)
    for each in rows:
        if gpu := each["gpu"]:
            # An address may be that of several partitions of a GPU; a UUID is of one alone.
            key = gpu["uuid"] or (gpu["pci"] and (each["host"], each["boot"], gpu["pci"]))
            users[key].append(each)
    for key, sharing in users.items():
        if key and len(sharing) > 1:
            severity = "fatal" if isinstance(key, str) else "conflict"
            gpu = sharing[0]["gpu"]
            text = f"{named(sharing)} use one and the same: {gpu['name']} at {gpu['pci']}"
            step = _GPU_EACH.get(sharing[0]["launcher"], "CUDA_VISIBLE_DEVICES=$LOCAL_RANK")
            step = f"show all GPUs of a node to all its ranks, or each rank one of its own ({step})"
            yield Conflict(severity, "GPU", text + _masks(sharing), step)


def _without_gpu(rows: Sequence[Mapping]) -> Iterator[Conflict]:
    without = [each for each in rows if not each["gpu"] and not each["gpu_refusal"]]
    if without and len(without) < len(rows):
        text = f"{named(without)} see{'s' * (len(without) == 1)} none, other ranks do"
        step = "give every rank one, or hide all with CUDA_VISIBLE_DEVICES= for every rank"
        yield Conflict("fatal", "GPU", text + _masks(without), step)


def _refused_gpus(here: Sequence[Mapping]) -> Iterator[Conflict]:
    refused = [each for each in here if each["gpu_refusal"]]
    if refused:
        text, _, step = refused[0]["gpu_refusal"].partition(": ")
        yield Conflict("fatal", "GPU", f"{named(refused)}: {text}{_masks(refused)}", step)


def _versions(rows: Sequence[Mapping]) -> Iterator[Conflict]:
    for name in rows[0]["versions"]:
        groups = defaultdict(list)
        for each in rows:
            groups[each["versions"].get(name)].append(each)
        usual, *others = sorted(groups, key=lambda version: -len(groups[version]))
        for version in others:
            there = groups[version]
            text = f"{named(there)}: {name} {version or 'missing'}; most have {usual or 'none'}"
            step = f"install the same {name} on all hosts"
            yield Conflict("fatal", "versions", text, step)


def _local_ranks(here: Sequence[Mapping]) -> Iterator[Conflict]:
    size = len(here)
    right = sorted(each["local_rank"] for each in here) == list(range(size))
    if right and all(each["local_size"] == size for each in here):
        return
    told = ",".join(str(each["local_rank"]) for each in here)
    sizes = as_ranges(each["local_size"] for each in here)
    text = f"{named(here)} are local ranks {told} of {sizes}, expected 0-{size - 1} of {size}"
    step = "start the job anew with its launcher"
    if here[0]["launcher"] == "torchrun":
        step = "set LOCAL_RANK and LOCAL_WORLD_SIZE besides RANK and WORLD_SIZE"
    if here[0]["launcher"] == "TF_CONFIG":
        step = "name every worker of a host alike in TF_CONFIG's cluster"
    yield Conflict("conflict", "local rank", text, step)


def _shared_cores(here: Sequence[Mapping]) -> Iterator[Conflict]:
    users = Counter(core for each in here for core in each["cores"])
    shared = {core for core, number in users.items() if number > 1}
    if not shared:
        return
    sharing = [each for each in here if shared & set(each["cores"])]
    cores = f"core{'s' * (len(shared) > 1)} {as_ranges(shared)}"
    usable = {core for each in here for core in each["allowed"] or each["cores"]}
    step = _bind(here, len(usable) // len(here))
    if len(here) > len(usable):
        step = f"start at most {len(usable)} on this host, or ask for more cores"
    yield Conflict("conflict", "cores", f"{named(sharing)} share {cores}", step)


def _threads(here: Sequence[Mapping]) -> Iterator[Conflict]:
    over = [each for each in here if each["threads"] > len(each["cores"])]
    if over:
        threads = f"{over[0]['threads']} threads on {len(over[0]['cores'])} core(s)"
        step = "start fewer ranks on this host, or ask for more cores"
        yield Conflict("conflict", "cores", f"{named(over)}: {threads} each", step)
    # Ranks of one cgroup share the time that it grants.
    for quota in {each.get("quota") for each in here} - {None}:
        within = [each for each in here if each.get("quota") == quota]
        threads = sum(each["threads"] for each in within)
        if threads > quota:
            text = f"{named(within)}: {threads} threads, but a cgroup grants {quota:g} cores' time"
            fitting = max(1, int(quota))
            step = f"put 'taskset -c 0-{fitting - 1}' before the launcher's command"
            yield Conflict("note", "cores", text, step)


def _unbound(here: Sequence[Mapping]) -> Iterator[Conflict]:
    if len(here) == 1 or here[0]["launcher"] in UNBOUND or not here[0]["allowed"]:
        return
    if all(each["allowed"] == here[0]["allowed"] for each in here):
        cores = as_ranges(here[0]["allowed"])
        text = f"{named(here)} are not bound: each may use {cores}, which tfsci deals out to them"
        step = _bind(here, len(here[0]["allowed"]) // len(here))
        yield Conflict("note", "cores", text, step)


def _numa(here: Sequence[Mapping]) -> Iterator[Conflict]:
    across = [each for each in here if len(each["numa"]) > 1]
    if across:
        nodes = as_ranges(node for each in across for node in each["numa"])
        text = f"{named(across)}: cores of several NUMA nodes ({nodes}) each"
        step = "start as many ranks on a host as it has NUMA nodes, or a multiple"
        yield Conflict("note", "NUMA", text, step)
    far = [
        each
        for each in here
        if each["gpu"] and each["gpu"]["numa"] not in (None, *each["numa"]) and each["numa"]
    ]
    if far:
        pairs = Counter((as_ranges(each["numa"]), each["gpu"]["numa"]) for each in far)
        told = ", ".join(f"cores at {cores} and GPU at {gpu}" for cores, gpu in sorted(pairs))
        text = f"{named(far)}: cores and GPU at different NUMA nodes ({told})"
        srun = here[0]["launcher"] == "srun"
        step = "srun --gpu-bind=closest" if srun else "bind each rank to cores near its GPU"
        yield Conflict("note", "NUMA", text, step)


def _bind(here: Sequence[Mapping], cores: int) -> str:
    how = _BIND.get(here[0]["launcher"], "taskset -c")
    return f"bind each rank to its own: {how.replace('{}', str(max(1, cores)))}"


def _masks(rows: Sequence[Mapping]) -> str:
    """The masks that all these ranks have, in brackets."""
    masks = {f"{n}={v}" for each in rows for n, v in each["masks"].items() if n != MASKS[-1]}
    alike = all(each["masks"] == rows[0]["masks"] for each in rows)
    return f" (with {', '.join(sorted(masks))})" if masks and alike else ""
