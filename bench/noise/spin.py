"""A fixed amount of work on CPUs that are measured: how fast it goes, and what holds it up.

The work is in C (``spin.c``), so that neither the interpreter nor its collector is measured; the library is compiled on
the host that runs it, as the launcher's is, and kept in the cache.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from results.noise import CpuSpin
from runtimes import compiler
from runtimes.cache import cache_directory
from runtimes.topology import Topology

CHUNKS = 2000
"""Chunks of one probe of one CPU."""

ROUNDS = 70_000
"""Steps of a chunk. A step waits for a multiplication and an addition, four cycles on processors of the last decade, so
that a chunk takes some 0.1 ms at 3 GHz: short against a time slice of another process (milliseconds), and long against
the clock that times it (tens of nanoseconds)."""

LIMIT_NS = 250_000_000
"""No chunk begins later than this, so that a probe is as short on a slow or busy host; at 3 GHz all take 0.19 s."""

GAP_NS = 50_000
"""A chunk that took this much longer than the median one was held up by another process, a hypervisor, or management
firmware. The interrupt of the timer takes a tenth of it."""

_SOURCE = Path(__file__).with_name("spin.c")


@functools.cache
def _library() -> ctypes.CDLL:
    """The library, compiled if the cache does not have it.

    Raises:
        HostError: there is no compiler, or it failed, or the cache cannot be written.
    """
    parts = (compiler.COMPILER, *compiler.LIBRARY_FLAGS, _SOURCE.read_text())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    library = cache_directory("noise", digest) / "spin.so"
    if not library.exists():
        compiler.compile_library(library, [_SOURCE])
    loaded = ctypes.CDLL(str(library))
    loaded.spin.argtypes = (ctypes.c_size_t, ctypes.c_uint64, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))
    loaded.spin.restype = ctypes.c_size_t
    return loaded


def rounds_of(topology: Topology, cpus: Iterable[int]) -> list[tuple[int, ...]]:
    """CPUs in groups that are probed one after the other: those of one core are never in the same group."""
    groups: list[list[int]] = []
    for cpu in sorted(cpus):
        siblings = set(topology.threads(cpu))
        free = next((group for group in groups if not siblings & set(group)), None)
        if free is None:
            groups.append([cpu])
        else:
            free.append(cpu)
    return [tuple(group) for group in groups]


def spin_on(groups: Sequence[Sequence[int]]) -> tuple[CpuSpin, ...]:
    """Probe CPUs, those of a group at once, by threads that are kept on them.

    Returns:
        one for each CPU that could be probed, ascending: none for those that this process may not run on.

    Raises:
        HostError: the library cannot be made.
    """
    library = _library()
    found: list[CpuSpin] = []
    for group in groups:
        with ThreadPoolExecutor(len(group)) as threads:
            found += filter(None, threads.map(functools.partial(_spin, library), group))
    return tuple(sorted(found, key=lambda spin: spin.cpu))


def _spin(library: ctypes.CDLL, cpu: int) -> CpuSpin | None:
    """Probe one CPU in the calling thread, which stays on it. ctypes lets other threads of Python run meanwhile."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return None
    durations = (ctypes.c_int64 * CHUNKS)()
    done = library.spin(CHUNKS, ROUNDS, LIMIT_NS, durations)
    return summarise(cpu, durations[:done])


def summarise(cpu: int, durations: Sequence[int]) -> CpuSpin:
    """What the durations of equal chunks, nanoseconds, tell of a CPU; at least one."""
    median = statistics.median(durations)
    ordered = sorted(durations)
    return CpuSpin(
        cpu=cpu,
        chunks=len(ordered),
        median=median / 1e9,
        p99=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1e9,
        longest=ordered[-1] / 1e9,
        gaps=sum(duration - median > GAP_NS for duration in ordered),
        lost=max(0.0, 1 - median * len(ordered) / sum(ordered)),
    )
