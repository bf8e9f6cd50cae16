"""How fast the host's time stamp counter counts, which in software emulation is the guest's too.

A guest's kernel finds out by itself, against the timer of an emulated PC. Where QEMU is held up meanwhile, by a CPU
quota or on a busy host, the result may be wrong by any factor, and the guest's clock is so for its whole life.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path

from runtimes import compiler
from runtimes.base import HostError
from runtimes.cache import cache_directory

_SOURCE = Path(__file__).with_name("tsc.c")
_STEADY = {"constant_tsc", "nonstop_tsc"}
"""Flags in ``/proc/cpuinfo`` of a counter that counts alike at any speed of the processor, and while it idles."""


@functools.cache
def counter_frequency() -> int | None:
    """Of the time stamp counter, kHz; None where it has none that stays the same.

    Raises:
        HostError: the program that reads it could not be built or run.
    """
    if not _processor_flags() >= _STEADY:
        return None
    binary = cache_directory("tsc", hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]) / "tsc"
    if not binary.exists():
        compiler.compile_program(binary, [_SOURCE])
    try:
        result = subprocess.run([binary], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise HostError(f"cannot read the time stamp counter: {error}; remove {binary}") from error
    return int(result.stdout)


def _processor_flags() -> set[str]:
    """Those of the host's first processor; none where it is no x86."""
    with Path("/proc/cpuinfo").open() as lines:
        flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return set(flags.split())
