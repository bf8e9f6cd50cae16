"""Whether this host can, and may tonight, measure: which of the doctor's findings stand in the way.

The doctor tells of much that merely widens intervals, and that is the same every night: a governor, second threads of
cores, a hypervisor below. These are no gates. A gate is what the run would fail by, or what makes tonight unlike other
nights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.finding import Check
from runtimes.base import HostError

if TYPE_CHECKING:
    from bench.suite_model import Suite

NEEDED = frozenset({"own cgroups", "user namespaces", "cgroups", "namespaces", "loop devices"})
"""Without these no instance starts. What only the building of images needs is not here: the image may be there."""

NEEDED_BY_GUESTS = frozenset({"libvirt", "qemu-system-x86_64", "tap devices"})

QUIET = frozenset({"load", "stolen time"})
"""Somebody else is at work, here or on the host below: what is measured now is no evidence about the program."""

_PATIENCE = 900.0
"""Seconds for the doctor, who boots guests: some ten, and a few minutes on a busy host with software emulation."""


def examine_apart() -> list[Check]:
    """The doctor's findings, by a process of its own.

    It opens libvirt's drivers and boots a guest to learn what works, which leaves threads behind.

    Raises:
        HostError: it could not be carried out, so that nobody knows whether this host can measure.
    """
    command = [sys.executable, "-c", "from bench.cli import main; main()", "doctor", "--format", "json"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise HostError(
            f"bench doctor has not examined this host within {_PATIENCE:g} s: something hangs; bench doctor shows what"
        ) from error
    try:
        return [Check(**check) for check in json.loads(finished.stdout)]
    except (ValueError, TypeError) as error:
        last = (finished.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HostError(
            f"bench doctor could not examine this host (exit status {finished.returncode}): {last}"
        ) from error


def obstacles(checks: Iterable[Check], suite: Suite, *, allow_noisy: bool) -> list[str]:
    """Why a suite should not be measured on this host now, a sentence each; ``allow_noisy`` overlooks others' work."""
    needed = NEEDED | NEEDED_BY_GUESTS if any(arm.runtime == "vm" for arm in suite.arms) else NEEDED
    return [
        f"{check.name}: {check.detail}" + (f" ({check.fix})" if check.fix else "")
        for check in checks
        if (check.name in needed and check.status == "missing")
        or (check.name in QUIET and check.status == "warning" and not allow_noisy)
    ]
