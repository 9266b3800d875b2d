"""Horovod over Gloo under any launcher: ranks find each other without horovodrun, MPI or ssh.

Rank 0 serves at an address that every rank works out from its environment; every rank reports
there, and is told its place among hosts. Ranks that never come are named before Horovod starts,
which would abort the process without a word about which.
"""

import ipaddress
import json
import os
import re
import socket
import time
from collections.abc import Mapping, MutableMapping
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from tfsci.distributed.coordinator import Coordinator, find_coordinator, job_token, resolve
from tfsci.distributed.launch import Launch

_SECONDS_TO_START = 60.0
_PATIENCE = 5.0  # seconds for an earlier job to leave the port, or for rank 0 to answer again
_MAX_ANSWER = 1 << 20  # bytes; it may list missing ranks

# What MPI hears nothing of the other ranks from, and what an srun that tells it sets.
_NOT_MPI = ("torchrun", "TF_CONFIG")
_SRUN_TELLS_MPI = ("SLURM_MPI_TYPE", "PMIX_NAMESPACE", "PMI_RANK", "PMI_FD", "I_MPI_PMI_LIBRARY")

# What Horovod reads as HOROVOD_RANK and so on.
_PLACE = ("rank", "size", "local_rank", "local_size", "cross_rank", "cross_size", "hostname")


def is_needed(launch: Launch, with_mpi: bool, environ: Mapping[str, str] = os.environ) -> bool:
    """Returns whether Horovod can't find the other ranks by itself.

    Args:
        launch: This process's place in the job; horovodrun has made a rendezvous already.
        with_mpi: Whether Horovod was built with MPI, which knows of the others where an MPI
            launcher, or srun by ``--mpi=…``, tells it.
        environ: The process's environment; ``HOROVOD_CONTROLLER=gloo`` does without MPI, ``mpi``
            insists on it.
    """
    if launch.launcher in ("none", "horovodrun") or launch.world_size == 1:
        return False
    controller = environ.get("HOROVOD_CONTROLLER", "").lower()
    if not with_mpi or controller == "gloo":
        return True
    told = launch.launcher not in _NOT_MPI
    if launch.launcher == "srun":  # without a plugin OpenMPI would abort the process
        told = any(name in environ for name in _SRUN_TELLS_MPI)
    return not told and controller != "mpi"


def prepare(launch: Launch, environ: MutableMapping[str, str] = os.environ) -> None:
    """Sets what ``hvd.init()`` needs to connect this rank to the others over Gloo.

    Call it on every rank, before ``hvd.init()``. The chief says in one line which network
    interface was taken.

    Args:
        launch: This process's place in the job.
        environ: The process's environment. Read: ``TFSCI_COORDINATOR=host:port``, or
            ``MASTER_ADDR`` and ``MASTER_PORT``, else the node list and the job's number;
            ``TFSCI_START_TIMEOUT`` (seconds), ``HOROVOD_GLOO_IFACE``. Written: ``HOROVOD_*``.

    Raises:
        TimeoutError: Ranks did not come in time.
        ConnectionError: Rank 0 can't be reached, or another job has its port.
        ValueError: A variable is not what it should be.
    """
    timeout = start_timeout(environ)
    coordinator = find_coordinator(launch, environ)
    address = resolve(coordinator)
    wanted = environ.get("HOROVOD_GLOO_IFACE")
    if wanted and wanted not in _interfaces():
        raise ValueError(
            f"HOROVOD_GLOO_IFACE={wanted}: {socket.gethostname()} has no such network interface, "
            f"only {', '.join(_interfaces())}"
        )
    token = job_token(launch, environ)
    server = _serve(launch, coordinator, address, token, timeout) if launch.rank == 0 else None
    report = {"token": token, "rank": launch.rank, "host": socket.gethostname()[:200]}
    try:
        place = report_to(coordinator, address, report, timeout)
    except OSError:
        if server:  # the others hear the reason from this process
            server.wait_until_told(_PATIENCE)
        raise
    interface = wanted or _interface_towards(place["peer"], address)
    environ.update({f"HOROVOD_{name.upper()}": str(place[name]) for name in _PLACE})
    environ.update(
        HOROVOD_GLOO_RENDEZVOUS_ADDR=address,
        HOROVOD_GLOO_RENDEZVOUS_PORT=str(coordinator.port),
        HOROVOD_CONTROLLER="gloo",
        HOROVOD_CPU_OPERATIONS="gloo",
        HOROVOD_GLOO_IFACE=interface,
    )
    if server:
        other = "" if wanted else "; HOROVOD_GLOO_IFACE=name takes another"
        print(f"ranks met at {address}:{coordinator.port}, network interface {interface}{other}",
              flush=True)  # fmt: skip


def start_timeout(environ: Mapping[str, str]) -> float:
    """Returns the seconds that ranks wait for each other; raises a ValueError for no number."""
    text = environ.get("TFSCI_START_TIMEOUT", str(_SECONDS_TO_START))
    if not re.fullmatch(r"\d{1,6}(\.\d*)?", text) or not float(text):
        raise ValueError(f"TFSCI_START_TIMEOUT={text!r}: expected a number of seconds above 0")
    return float(text)


def report_to(
    coordinator: Coordinator, address: str, report: Mapping[str, object], timeout: float
) -> dict:
    """Reports this rank until it is given its place.

    Args:
        coordinator: Where rank 0 listens.
        address: Its host's IP address.
        report: ``token``, ``rank`` and ``host``.
        timeout: Seconds in which rank 0 must appear; from then on it counts the time.

    Returns:
        The fields of Horovod's `SlotInfo`, and ``peer``.

    Raises:
        TimeoutError: Rank 0 says that ranks are missing.
        ConnectionError: It can't be reached, or is another job's.
    """
    opener = build_opener(ProxyHandler({}))  # compute nodes tend to have http_proxy set
    body = json.dumps({**report, "id": os.urandom(8).hex()}).encode()
    request = Request(f"http://{address}:{coordinator.port}/tfsci/gather", body, method="POST")
    who = f"rank {report['rank']} on {report['host']}"
    unreached = time.monotonic() + timeout  # when to give up on a rank 0 that does not answer
    refused = None  # and on one that does not know this rank
    pause = 0.05
    while True:
        answer = _ask(opener, request)
        now = time.monotonic()
        if "place" in answer:
            return answer["place"]
        if "error" in answer:
            raise TimeoutError(answer["error"])
        if "refused" in answer:
            refused = refused or now + _PATIENCE
            if now > refused:
                raise ConnectionError(
                    f"{who} is not wanted at {coordinator}: {answer['refused']}; set "
                    "TFSCI_COORDINATOR=host:port with a free port, another for each job"
                )
        else:
            refused = None
            if "wait" in answer:
                unreached = now + _PATIENCE
            elif now > unreached:
                raise ConnectionError(
                    f"{who} could not reach rank 0 at {coordinator} ({answer['unreached']}): see "
                    "what rank 0's output says, or set TFSCI_COORDINATOR=host:port with its host"
                )
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def _ask(opener, request: Request) -> dict:
    """Returns rank 0's answer, or why there is none."""
    stranger = {"refused": "what answers is no rank 0"}
    try:
        with opener.open(request, timeout=_PATIENCE) as response:
            answer = json.loads(response.read(_MAX_ANSWER))
    except HTTPError as error:
        error.close()
        return stranger
    except (TimeoutError, ConnectionError) as error:
        return {"unreached": str(error) or type(error).__name__}
    except OSError as error:  # urllib's URLError
        reason = getattr(error, "reason", error)
        return {"unreached": getattr(reason, "strerror", None) or str(reason)}
    except Exception:  # no HTTP, no JSON
        return stranger
    known = {"place": dict, "error": str, "refused": str, "wait": list}
    if not isinstance(answer, dict) or not any(type(answer.get(k)) is t for k, t in known.items()):
        return stranger
    if "place" in answer and not {*_PLACE, "peer"} <= set(answer["place"]):
        return stranger
    return answer


def _serve(launch: Launch, coordinator: Coordinator, address: str, token: str, timeout: float):
    from tfsci.distributed.rendezvous_server import serve  # Horovod's, which may not be installed

    # Some systems' /etc/hosts give a host's own name a loopback address, where no other gets to.
    named = coordinator.host not in (address, "localhost")
    everywhere = named and ipaddress.ip_address(address).is_loopback
    bound = ("" if everywhere else address, coordinator.port)
    try:
        return serve(bound, token, launch.world_size, timeout, _PATIENCE)
    except OSError as error:
        raise ConnectionError(
            f"rank 0 on {socket.gethostname()} can't listen at {coordinator} ({error.strerror}): "
            "set TFSCI_COORDINATOR=host:port for every rank, with rank 0's host and a free port"
        ) from None


def _interfaces() -> dict[str, list[str]]:
    import psutil  # comes with Horovod

    return {name: [a.address for a in each] for name, each in psutil.net_if_addrs().items()}


def _interface_towards(peer: str | None, coordinator: str) -> str:
    """The interface towards another host's rank; the loopback where there is one host."""
    target = peer or "127.0.0.1"
    if peer and ipaddress.ip_address(peer).is_loopback:
        target = coordinator  # rank 0's host, as it sees itself
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((target, 9))  # sends nothing, only picks the route
        mine = probe.getsockname()[0]
    found = (name for name, addresses in _interfaces().items() if mine in addresses)
    if name := next(found, None):
        return name
    raise ConnectionError(
        f"{socket.gethostname()} reaches {target} from {mine}, which is none of its network "
        f"interfaces' addresses: set HOROVOD_GLOO_IFACE to one of {', '.join(_interfaces())}"
    )
