"""A guest's memory in QEMU's memory map."""

from __future__ import annotations

import mmap
import os

import pytest

from runtimes.base import GuestMemory, InstanceError
from runtimes.vm.live_domain import parse_balloon
from runtimes.vm.memory_map import parse_guest_memory, read_guest_memory

SMAPS = """\
7f0000000000-7f0008000000 rw-p 00000000 00:00 0
Size:             131072 kB
KernelPageSize:        4 kB
Rss:              100000 kB
Anonymous:         90000 kB
AnonHugePages:     40960 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
THPeligible:           1
VmFlags: rd wr mr mw me dd ac hg
7f0010000000-7f0018000000 ---p 00000000 00:00 0
Size:             131072 kB
KernelPageSize:        4 kB
Rss:                   0 kB
Anonymous:             0 kB
7f0020000000-7f0030000000 rw-p 00000000 00:0f 1234           /dev/hugepages/libvirt/qemu/1/ram (deleted)
Size:             262144 kB
KernelPageSize:     2048 kB
Rss:                   0 kB
Anonymous:             0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:  262144 kB
"""


def test_the_mapping_of_the_guest_s_size_that_is_used():
    assert parse_guest_memory(SMAPS, 128 << 20) == GuestMemory(
        128 << 20, 90000 << 10, 10000 << 10, 0, 4096, 40960 << 10
    )


def test_huge_pages_are_told_from_their_own_figures():
    ram = parse_guest_memory(SMAPS, 256 << 20)
    assert (ram.resident, ram.hugetlb, ram.page) == (256 << 20, 256 << 20, 2 << 20)


def test_a_size_that_is_not_there_is_an_error():
    with pytest.raises(InstanceError, match="no mapping of 4096 bytes"):
        parse_guest_memory(SMAPS, 4096)


def test_a_real_mapping():
    size = (37 << 20) + mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS) as held:
        held[: 8 << 20] = b"x" * (8 << 20)
        assert 8 << 20 <= read_guest_memory(os.getpid(), size).resident <= size


def test_a_process_that_has_ended():
    with pytest.raises(InstanceError, match="has ended"):
        read_guest_memory(2**22 + 1, 4096)


def test_what_the_balloon_driver_told():
    told = {"actual": 131072, "rss": 9, "last_update": 7, "unused": 10, "usable": 2**64 // 1024 - 1, "available": -1}
    assert parse_balloon(told) == {"actual": 128 << 20, "unused": 10240}


@pytest.mark.parametrize("never", [{"actual": 131072, "rss": 9}, {"actual": 1, "unused": 0, "last_update": 0}])
def test_a_balloon_driver_that_has_not_told_anything(never):
    assert parse_balloon(never) == {}
