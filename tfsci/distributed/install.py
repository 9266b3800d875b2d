"""`tfsci install-horovod`: build Horovod for this environment's TensorFlow, once.

Horovod must be compiled against the TensorFlow it runs with, and its last release no longer
compiles as it is. Its source is fetched (pinned by hash), mended, built with what the machine
has (MPI, CUDA with NCCL, ROCm) and kept as a wheel in the user's cache.
"""

import argparse
import contextlib
import functools
import importlib.metadata
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote, urlparse

from tfsci import cache
from tfsci.distributed.horovod_build import SITE_PACKAGES, check_tools, detect, make_flags
from tfsci.distributed.horovod_source import SHA256, VERSION, apply_mends
from tfsci.lock import locked

_TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-rocm")
_PACKAGES = ("setuptools", "wheel", "packaging", "cloudpickle", "psutil", "pyyaml")
_NOISE = re.compile(r"^\s*$|^.{300}|: (Enter|Leav)ing directory|^WARNING: Location ")
_ERROR = re.compile(r"\berror:|CMake Error|\*\*\* |^\s*ERROR|^\s*[\w.]+Error: ")


def _distribution(*names: str) -> importlib.metadata.Distribution | None:
    found = (each for name in names for each in importlib.metadata.distributions(name=name))
    return next(found, None)


def check_packages() -> str:
    """Returns TensorFlow's version; raises ModuleNotFoundError for a package that is missing."""
    pip = f"{sys.executable} -m pip install"
    tensorflow = _distribution(*_TENSORFLOWS)
    if tensorflow is None:
        raise ModuleNotFoundError(
            f"Horovod is built against TensorFlow, which this environment lacks: {pip} tensorflow"
        )
    if missing := " ".join(name for name in _PACKAGES if not _distribution(name)):
        raise ModuleNotFoundError(
            f"Horovod needs packages that this environment lacks: {pip} {missing}"
        )
    return tensorflow.version


def is_from(folder: Path, horovod: importlib.metadata.Distribution | None) -> bool:
    """Whether `horovod`, as installed, is the wheel in the cache folder `folder`."""
    text = horovod.read_text("direct_url.json") if horovod else None  # written by pip
    return bool(text) and Path(unquote(urlparse(json.loads(text)["url"]).path)).parent == folder


def cached_wheel(folder: Path, build: Callable[[Path], Path], rebuild: bool = False) -> Path:
    """Returns the wheel in `folder`, where it appears whole or not at all.

    Args:
        folder: One key's folder in the cache; the caller holds its lock.
        build: Makes the wheel in the temporary folder it is given, and returns its path.
        rebuild: Build even where there is a wheel.
    """
    for leftover in folder.glob("build-*"):  # by a build that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    wheels = sorted(folder.glob("horovod-*.whl"))
    if wheels and not rebuild:
        return wheels[0]
    with tempfile.TemporaryDirectory("", "build-", folder, ignore_cleanup_errors=True) as temporary:
        wheel = build(Path(temporary))
        return wheel.replace(folder / wheel.name)


class Progress:
    """Shows make's percentage: on a terminal one changing line, else a line each 10 %."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic):
        self._stream, self._clock, self._start = stream, clock, clock()
        self.percent = self._shown = 0

    def update(self, text: str) -> None:
        """Takes what the build has printed since the last call."""
        found = re.findall(r"^\s*\[ *(\d+)%\]", text, re.MULTILINE)
        self.percent = max(self.percent, *map(int, found), 0)
        minutes, seconds = divmod(int(self._clock() - self._start), 60)
        line = f"[{'#' * (self.percent // 4):25}] {self.percent:3} %  {minutes}:{seconds:02}"
        if self._stream.isatty():
            print(f"\r{line}", end="", file=self._stream, flush=True)
        elif self.percent // 10 > self._shown // 10:
            print(line, file=self._stream, flush=True)
            self._shown = self.percent

    def close(self) -> None:
        """Ends the changing line."""
        if self._stream.isatty():
            print(file=self._stream)


def useful_lines(text: str, count: int = 15) -> str:
    """Returns the lines of a build's log that tell why it failed: from the first error on."""
    lines = [line for line in text.splitlines() if not _NOISE.search(line)]
    first = next((i for i, line in enumerate(lines) if _ERROR.search(line)), len(lines) - count)
    shown = itertools.takewhile(lambda line: "Traceback" not in line, lines[max(first, 0) :])
    return "\n".join(itertools.islice(shown, count))


def run_logged(
    what: str,
    command: Sequence[str | Path],
    log: Path,
    environ: Mapping[str, str],
    progress: Progress | None = None,
) -> None:
    """Runs `command` with its output in `log`; its processes end with it or with this one.

    Args:
        what: What it does, for the error.
        command: Program and arguments.
        log: Written anew; its folder is the command's working directory.
        environ: The command's environment.
        progress: Is given the output as it comes.

    Raises:
        ChildProcessError: It failed; names the log and shows what matters of it.
    """
    with log.open("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=environ, cwd=log.parent, start_new_session=True,
        )  # fmt: skip
        try:
            with log.open(encoding="utf-8", errors="replace") as new:
                while process.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.5)
                    if progress:
                        progress.update(new.read())
        finally:
            if progress:
                progress.close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        words = useful_lines(log.read_text(encoding="utf-8", errors="replace"))
        raise ChildProcessError(f"{what} failed; the log is {log}:\n{words}")


def _make_wheel(folder: Path, flags: Mapping[str, str], temporary: Path) -> Path:
    cmake = check_tools(os.environ)
    cores = len(os.sched_getaffinity(0))
    environ = {name: value for name, value in os.environ.items() if name != "MAKELEVEL"}
    environ |= flags
    environ |= {
        "MAKEFLAGS": make_flags(os.environ) or f"-j{cores}",
        "HOROVOD_CMAKE": cmake,
        "CMAKE_GENERATOR": "Unix Makefiles",
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",  # CMake 4 refuses Gloo's, which is older
        "TMPDIR": str(temporary),
    }
    pip, alone = [sys.executable, "-m", "pip"], ["--no-deps", "--no-build-isolation"]
    print(f"Fetching Horovod {VERSION}", flush=True)
    requirements = temporary / "requirements.txt"
    requirements.write_text(f"horovod=={VERSION} --hash=sha256:{SHA256}\n")
    pinned = ["--no-binary", ":all:", "--require-hashes", "-r", requirements, "-d", temporary]
    command = [*pip, "download", *alone, *pinned]
    run_logged("fetching Horovod (pip download)", command, folder / "fetch.log", environ)
    with tarfile.open(temporary / f"horovod-{VERSION}.tar.gz") as sdist:
        sdist.extractall(temporary, filter="data")
    source = temporary / f"horovod-{VERSION}"
    apply_mends(source)
    minutes = max(2, round(6 / cores))  # one file alone takes a minute
    print(f"Building it with {cores} cores, about {minutes} minutes; done once", flush=True)
    target = ["--no-cache-dir", "--use-pep517", "-w", temporary, source]
    command = [*pip, "wheel", "-v", *alone, *target]
    log = folder / "build.log"
    run_logged("building Horovod", command, log, environ, Progress(sys.stdout))
    return next(temporary.glob("horovod-*.whl"))


def _features_of_installed() -> str:
    code = """import horovod.tensorflow as hvd
built = {'MPI': hvd.mpi_built(), 'Gloo': hvd.gloo_built(), 'NCCL': hvd.nccl_built()}
print(', '.join(name for name in built if built[name]))"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, cwd=SITE_PACKAGES,
    )  # fmt: skip
    if run.returncode:
        raise ChildProcessError(f"Horovod is installed but does not load:\n{run.stderr[-2000:]}")
    return run.stdout.splitlines()[-1]


def install(rebuild: bool = False) -> None:
    """Installs Horovod in this environment, from the cache or built now.

    Args:
        rebuild: Build and install although the cache or the environment has it.
    """
    tensorflow = check_packages()
    build = detect(os.environ)
    folder = cache.folder() / "horovod" / build.key(tensorflow)
    words = f"Horovod {VERSION} ({{}}) for TensorFlow {tensorflow} is installed"
    present = _distribution("horovod")
    if present and not rebuild:
        place = Path(present.locate_file("")).resolve()
        if is_from(folder, present):
            return print(words.format(", ".join(build.features)))
        if place != SITE_PACKAGES.resolve():
            return print(f"Horovod {present.version} in {place}, not in this environment, is kept")
        print(f"Horovod {present.version} in {place} was built otherwise: replacing it")
    print(*build.notes, sep="\n", flush=True)
    with locked(folder / "lock", f"Waiting for another install that uses {folder}"):
        if rebuild or not is_from(folder, _distribution("horovod")):
            make = functools.partial(_make_wheel, folder, dict(build.flags))
            wheel = cached_wheel(folder, make, rebuild)
            command = [sys.executable, "-m", "pip", "install", "--no-deps", "--force-reinstall"]
            log = folder / "install.log"
            run_logged("installing Horovod (pip install)", [*command, wheel], log, os.environ)
    print(words.format(_features_of_installed()))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `tfsci install-horovod`; returns 130 when interrupted."""
    parser = argparse.ArgumentParser("tfsci install-horovod", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--rebuild", action="store_true", help="build and install it although it is there already"
    )
    rebuild = parser.parse_args(argv).rebuild
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # a batch system's way to say Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        install(rebuild)
    except KeyboardInterrupt:
        print("interrupted; nothing was installed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ImportError, OSError, ValueError) as error:
        print(f"tfsci: error: {error}", file=sys.stderr)
        sys.exit(2)
