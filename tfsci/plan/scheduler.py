"""How many nodes, devices and ranks a job script asks for, of Slurm, LSF or PBS."""

import re

from tfsci.plan.shell import Script

_MPI = ("mpirun", "mpiexec", "horovodrun", "orterun", "aprun")
_TORCH = ("torchrun", "torch.distributed.launch", "torch.distributed.run")
_PER_NODE = ("GPUS_PER_NODE", "NGPUS_PER_NODE", "NUM_GPUS_PER_NODE", "N_GPUS", "NUM_GPUS")


def options_of(words: list[str]) -> dict[str, str]:
    """Returns ``--name value`` and ``--name=value`` of a command; the last of each counts."""
    options, name = {}, None
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, _, value = word[2:].partition("=")
            name = name.replace("-", "_").lower()
            options[name] = value
        elif name and not re.match(r"-[A-Za-z]", word):
            options[name] = f"{options[name]} {word}".strip()
        else:
            name = None
    return options


def headers(text: str) -> dict[str, str]:
    """Returns the scheduler's options by their names."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"#(SBATCH|BSUB|PBS)\s+(.*)", line.strip())
        if not match:
            continue
        words = re.split(r"\s#", match[2])[0].split()
        for word, following in zip(words, [*words[1:], "-"], strict=True):
            given = re.match(r"(-[A-Za-z]|--?[A-Za-z][\w-]+)(?:=(.*)|(\d.*))?$", word)
            if not given:
                continue
            value = next((part for part in given.groups()[1:] if part is not None), following)
            name, value = given[1], "" if value.startswith("-") else value.strip("\"'")
            if name in ("-N", "-n") and match[1] != "SBATCH":
                continue  # PBS' -N is a name, LSF's -n are cores
            options[name] = (
                f"{options[name]},{value}" if name == "-l" and name in options else value
            )
    return options


def variables(header: dict[str, str]) -> dict[str, str]:
    """Returns the variables that the scheduler sets, as far as the headers tell."""
    chunks = re.search(r"(?:select|nodes)=([1-9]\d{0,6})", header.get("-l", ""))
    nodes = (
        header.get("-N") or header.get("--nodes") or header.get("-nnodes") or header.get("--nnodes")
    )
    nodes = (re.match(r"[1-9]\d{0,6}", nodes or "") or [chunks[1] if chunks else ""])[0]
    lsf = f"{header['-W']}:00" if "-W" in header else ""  # its time is HH:MM, or minutes
    values = {"HEADER_TIME": header.get("-t") or header.get("--time") or lsf}
    if walltime := re.search(r"walltime=([\d:]+)", header.get("-l", "")):
        values["HEADER_TIME"] = walltime[1]
    if nodes:
        for name in ("SLURM_NNODES", "SLURM_JOB_NUM_NODES", "NODES_OF_THE_JOB", "COBALT_JOBSIZE"):
            values[name] = nodes
    per_node = header.get("--ntasks-per-node", "")
    tasks = header.get("-n") or header.get("--ntasks") or ""
    if not tasks and per_node.isdigit() and nodes:
        tasks = str(int(per_node) * int(nodes))
    devices = ""
    for name in ("--gpus-per-node", "--gres"):
        if match := re.search(r"(\d+)\s*$", header.get(name, "")):
            devices = match[1]
    if match := re.search(r"n?gpus=(\d+)", header.get("-l", "")):
        devices = match[1]
    together = re.search(r"(\d+)\s*$", header.get("--gpus", "") or header.get("-G", ""))
    if together and nodes and not devices:
        devices = str(int(together[1]) // int(nodes))
    values |= {
        "SLURM_NTASKS_PER_NODE": per_node, "SLURM_NTASKS": tasks, "SLURM_NPROCS": tasks,
        "SLURM_GPUS_ON_NODE": devices, "SLURM_GPUS_PER_NODE": devices,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value}


def ranks(script: Script, header: dict[str, str]) -> tuple[int | None, int | None, int | None]:
    """Returns nodes, devices of each, and ranks of the launch."""

    def number(text: str | None) -> int | None:
        found = re.match(r"\d{1,9}", text or "")
        return int(found[0]) if found else None

    nodes = number(header.get("NODES_OF_THE_JOB"))
    per_node = number(header.get("SLURM_GPUS_ON_NODE"))
    tasks = number(header.get("SLURM_NTASKS"))
    tasks_per_node = number(header.get("SLURM_NTASKS_PER_NODE"))
    ranks = None
    for command in script.commands:
        name = command[0].rsplit("/", 1)[-1]
        own = command[: next((i for i, w in enumerate(command) if w.endswith(".py")), len(command))]
        given = options_of(own) | _short(own)
        if name == "srun" and len(command) > 2 and _trains(command):
            nodes = number(given.get("N") or given.get("nodes")) or nodes
            per_node = _last_number(given, "gpus_per_node", "gres") or per_node
            tasks_per_node = number(given.get("ntasks_per_node")) or tasks_per_node
            tasks = number(given.get("n") or given.get("ntasks")) or tasks
            ranks = tasks or (nodes * tasks_per_node if nodes and tasks_per_node else None)
        elif name in _MPI and _trains(command):
            ranks = number(given.get("n") or given.get("np")) or ranks
            tasks_per_node = number(given.get("ppn") or given.get("N")) or tasks_per_node
        elif name == "jsrun" and _trains(command):
            sets = number(given.get("n") or given.get("nrs")) or 1
            each = _last_number(given, "a", "tasks_per_rs") or 1
            ranks = sets * each
            devices = sets * (_last_number(given, "g", "gpu_per_rs") or 0)
            per_node = devices // nodes if nodes and devices else per_node
        elif name == "deepspeed":
            per_node = number(given.get("num_gpus")) or per_node
            nodes = number(given.get("num_nodes")) or nodes
        if any(word.endswith(_TORCH) for word in own):
            each = number(given.get("nproc_per_node"))
            nodes = number((given.get("nnodes") or "").split(":")[-1]) or nodes or 1
            per_node = per_node or each
            ranks = nodes * each if each else ranks
    for variable in _PER_NODE:
        per_node = per_node or number(script.variables.get(variable))
    for variable in ("NNODES", "NUM_NODES", "NODES"):
        nodes = nodes or number(script.variables.get(variable))
    if ranks is None and tasks and tasks != nodes:
        ranks = tasks
    return nodes, per_node, ranks or number(script.variables.get("WORLD_SIZE"))


def _trains(command: list[str]) -> bool:
    """Whether a launcher starts a training, by itself or through a shell."""
    text = " ".join(command)
    return ".py" in text or "pretrain" in text


def _short(words: list[str]) -> dict[str, str]:
    """Returns ``-n 4`` and ``-n4`` of a launcher, ``-np 4`` and ``-nnodes 2`` among them."""
    options = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if match := re.fullmatch(r"-([A-Za-z]+)=?(\d+)", word):
            options[match[1]] = match[2]
        elif match := re.fullmatch(r"-([A-Za-z]+)", word):
            options[match[1]] = following
    return options


def _last_number(given: dict[str, str], *names: str) -> int | None:
    for name in names:
        if match := re.search(r"(\d{1,6})\s*$", given.get(name, "").split(" ")[0]):
            return int(match[1])
    return None


def seconds(header: dict[str, str]) -> float | None:
    """Returns the job's time limit: D-HH:MM:SS, HH:MM:SS, MM:SS or minutes; LSF's HH:MM."""
    text = header.get("HEADER_TIME", "")
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not match:
        return None
    days, *parts = (int(part) if part else None for part in match.groups())
    given = [part for part in parts if part is not None]
    hours, minutes, seconds = {
        1: lambda a: (0, a, 0) if not days else (a, 0, 0),
        2: lambda a, b: (0, a, b) if not days else (a, b, 0),
        3: lambda a, b, c: (a, b, c),
    }[len(given)](*given)
    return float((days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)
