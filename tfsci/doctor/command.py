"""`tfsci doctor`: whether this machine, or this job, can train, and what to do where it can't."""

import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Sequence

from tfsci.distributed.launch import detect
from tfsci.doctor import ranks
from tfsci.doctor.examination import examine
from tfsci.doctor.findings import Finding, conclude
from tfsci.training.options import Parser


def _show(finding: Finding, width: int | None) -> None:
    """Prints the lines of a finding; what is running only where the next line can replace it."""
    lines = [(finding.status, finding.name, finding.text)]
    if finding.next_step:
        lines.append(("", "next step", finding.next_step))
    for status, name, text in lines:
        line = f"{status:9}{name:12}{' '.join(text.split())[:300]}"
        if finding.status == "running":
            print(line[: width - 1] + "\r" if width else "", end="", flush=True)
            continue
        indent = " " * (21 if (width or 80) > 50 else 4)
        wrap = textwrap.TextWrapper(width or 10_000, subsequent_indent=indent)
        wrap.break_long_words = wrap.break_on_hyphens = False
        print("\x1b[K" * bool(width) + wrap.fill(line), flush=True)


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci doctor`; returns 1 where this machine can't train or something is broken."""
    about = (
        "Says whether this machine can train, and the next step for what is missing. Under a "
        "launcher: what each rank computes on, and where two get into each other's way."
    )
    ends = "Ends with exit code 0 if all is well, 1 if something is broken or ranks conflict."
    Parser("tfsci doctor", description=about, epilog=ends).parse_args(argv)
    launch = detect()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if launch.world_size > 1:
        return ranks.examine_ranks(launch, lambda finding: _show(finding, width))
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # lets `run` end what it started
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    findings = []
    for finding in examine(os.environ, launch):
        findings.append(finding)
        _show(finding, width)
    text, code = conclude(findings)
    print(f"\n{textwrap.fill(text, width or 10_000, break_on_hyphens=False)}")
    return code
