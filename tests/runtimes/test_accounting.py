"""Reading memory and usage."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runtimes.accounting import host_available, parse_meminfo, read_memory, read_usage

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

    def cpu_seconds(self):
        return 1.5

    def oom_kills(self):
        return 3


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
    usage = read_usage(FakeCgroup([]))
    assert (usage.cpu_time, usage.memory_peak, usage.oom_kills) == (1.5, 20, 3)
