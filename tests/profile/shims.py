"""Shims between a process and its C library, which plant what a machine at hand hasn't got."""

import subprocess
from pathlib import Path

_HEADS = ("dlfcn", "stdio", "stdlib", "string", "sys/socket", "sys/uio", "time", "unistd")


def build(folder: Path, source: str) -> str:
    """Compiles a shim and returns what LD_PRELOAD takes.

    Args:
        folder: Where it is put.
        source: C, without its includes.
    """
    heads = "".join(f"#include <{head}.h>\n" for head in _HEADS)
    (folder / "shim.c").write_text(f"#define _GNU_SOURCE\n{heads}{source}")
    build = ["gcc", "-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c", "-ldl"]
    subprocess.run(build, check=True, cwd=folder)
    return str(folder / "shim.so")
