"""How much of a guest's memory the host holds, and in what pages: from QEMU's memory map (proc_pid_smaps(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtimes.base import GuestMemory, InstanceError

_HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) [rwxps-]{4} ")


@dataclass(frozen=True, slots=True)
class _Mapping:
    """One mapping: its length, and the figures that the kernel gives for it; bytes."""

    size: int
    figures: dict[str, int]


def read_guest_memory(pid: int, size: int) -> GuestMemory:
    """What the host holds of the memory of a guest.

    Args:
        pid: of QEMU.
        size: of the guest's memory, bytes.

    Raises:
        InstanceError: QEMU has no such mapping, or has ended.
    """
    try:
        text = Path(f"/proc/{pid}/smaps").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise InstanceError(f"QEMU (process {pid}) has ended") from error
    return parse_guest_memory(text, size)


def parse_guest_memory(smaps: str, size: int) -> GuestMemory:
    """The same from the text of the memory map.

    QEMU maps a guest's memory as one piece of just its size (``qemu_ram_mmap`` in util/mmap-alloc.c), with a guard page
    after it, so that it does not grow together with a neighbour.

    Raises:
        InstanceError: there is no mapping of that size.
    """
    found = [mapping for mapping in _mappings(smaps) if mapping.size == size]
    if not found:
        raise InstanceError(f"QEMU has no mapping of {size} bytes that would be the guest's memory")
    # Another mapping of that very size could only be one that is hardly used.
    ram = max(found, key=lambda mapping: _huge(mapping) + mapping.figures["Rss"]).figures
    hugetlb = ram.get("Private_Hugetlb", 0) + ram.get("Shared_Hugetlb", 0)
    return GuestMemory(
        size=size,
        anonymous=ram["Anonymous"],
        file=ram["Rss"] - ram["Anonymous"],
        hugetlb=hugetlb,
        page=ram["KernelPageSize"],
        transparent_huge=ram.get("AnonHugePages", 0),
    )


def _huge(mapping: _Mapping) -> int:
    return mapping.figures.get("Private_Hugetlb", 0) + mapping.figures.get("Shared_Hugetlb", 0)


def _mappings(smaps: str) -> Iterator[_Mapping]:
    current: _Mapping | None = None
    for line in smaps.splitlines():
        head = _HEAD.match(line)
        if head is not None:
            if current is not None:
                yield current
            current = _Mapping(int(head[2], 16) - int(head[1], 16), {})
        elif current is not None:
            name, _, rest = line.partition(":")
            value = rest.split()
            if len(value) == 2 and value[1] == "kB":
                current.figures[name] = int(value[0]) * 1024
    if current is not None:
        yield current
