"""Check every claim, each in a process of its own: the figures as JSON, and on standard error what was seen."""

from __future__ import annotations

import json
import os
import select
import signal
import sys

from . import escapes, kernel, separation  # noqa: F401 - for the claims that they make
from .findings import CLAIMS, Claim, Finding, Host

_SECONDS = 30
"""That one claim may take; in an emulated guest some take half a second."""


def _examine(check: Claim, host: Host) -> Finding:
    """The finding of a child: what it does to itself goes with it, and a filter may kill it for a call."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            finding = check(host)
            os.write(writer, json.dumps([finding.holds, finding.evidence[:2000]]).encode())
        except BaseException as error:
            os.write(writer, json.dumps([None, f"{type(error).__name__}: {error}"[:2000]]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], _SECONDS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, ended = os.waitpid(child, 0)
    said = os.read(reader, 4096) if ready else b""
    os.close(reader)
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGSYS:
        return Finding(True, "killed by the system call filter")
    if not said:
        raise SystemExit(f"{check.__name__}: ended with status {ended} and said nothing")
    holds, evidence = json.loads(said)
    if holds is None:
        raise SystemExit(f"{check.__name__}: {evidence}")
    return Finding(holds, evidence)


def main() -> None:
    boot_id, namespaces, pid = sys.argv[1:]
    host = Host(boot_id, frozenset(namespaces.split(",")), int(pid))
    kernel_of_its_own = _examine(CLAIMS["has_its_own_kernel"], host)
    figures = {}
    for name, check in CLAIMS.items():
        finding = _examine(check, host)
        if kernel_of_its_own.holds and not finding.holds:
            finding = Finding(True, f"in a kernel of its own, not the host's: {finding.evidence}")
        figures[name] = int(finding.holds)
        print(f"{'holds ' if finding.holds else 'BROKEN'}  {name}: {finding.evidence}", file=sys.stderr)
    print(json.dumps(figures))


main()
