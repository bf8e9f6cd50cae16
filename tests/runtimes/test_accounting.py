"""Reading memory and usage."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runtimes.accounting import host_available, parse_meminfo, parse_process_stat, read_memory, read_usage
from runtimes.base import IoUsage, Usage
from runtimes.cgroup.figures import CpuTime

MEMINFO = b"""MemTotal:         505316 kB
MemFree:          432164 kB
MemAvailable:     450000 kB
Cached:            20000 kB
Slab:              12000 kB
HugePages_Total:       0
VmallocTotal:   34359738367 kB
"""


class FakeCgroup:
    def __init__(self, pids):
        self._pids = pids

    def pids(self):
        return self._pids

    def current(self):
        return 10

    def peak(self):
        return 20

    def split(self):
        return {"anon": 5}

    def cpu(self):
        return CpuTime(total=1.5, user=1.25, system=0.25, throttled=0.5)

    def oom_kills(self):
        return 3

    def pids_peak(self):
        return 7

    def pids_limit_hits(self):
        return 2

    def io(self):
        return IoUsage(1, 2, 3, 4)

    def pressure(self):
        return {"cpu": 0.125}


def test_meminfo_in_bytes():
    figures = parse_meminfo(MEMINFO)
    assert figures == {
        "total": 505316 << 10, "free": 432164 << 10, "available": 450000 << 10, "cached": 20000 << 10,
        "slab": 12000 << 10,
    }  # fmt: skip


@given(st.binary())
def test_meminfo_never_fails_on_what_a_guest_says(text):
    assert all(value >= 0 for value in parse_meminfo(text).values())


def test_the_host_s_own():
    assert 0 < host_available() <= parse_meminfo(Path("/proc/meminfo").read_bytes())["total"]


def test_a_reading_sums_the_processes_and_forgives_one_that_ended():
    alone = read_memory(FakeCgroup([os.getpid()]), None)
    assert alone.pss > 1 << 20
    assert (alone.charged, alone.parts, alone.guest) == (10, {"anon": 5}, {})
    assert read_memory(FakeCgroup([2**22 + 1]), None).pss == 0
    assert read_memory(FakeCgroup([]), MEMINFO).guest["total"] == 505316 << 10


def test_usage():
    assert read_usage(FakeCgroup([])) == Usage(
        cpu_time=1.5,
        cpu_user=1.25,
        cpu_system=0.25,
        memory_peak=20,
        oom_kills=3,
        throttled_time=0.5,
        pids_peak=7,
        pids_limit_hits=2,
        io=IoUsage(read_bytes=1, write_bytes=2, read_ops=3, write_ops=4),
        pressure={"cpu": 0.125},
    )


def test_a_process_may_have_any_name():
    tick = os.sysconf("SC_CLK_TCK")
    fields = ["0"] * 9 + [str(3 * tick), str(tick)] + ["0"] * 30
    stat = parse_process_stat(f"17 (a) S 9 (b c)) R 4 {' '.join(fields)}\n")
    assert (stat.parent, stat.cpu_time) == (4, 4.0)
    own = parse_process_stat(Path("/proc/self/stat").read_text())
    assert own.parent == os.getppid()
    assert own.cpu_time > 0
