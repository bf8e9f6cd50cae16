"""The memory waterfall: whom the memory that the host holds for one instance serves, from the application outwards."""

from __future__ import annotations

from collections.abc import Mapping

from results.records import FOOTPRINT_PARTS
from runtimes.base import GuestMemory, MemoryReading


def memory_waterfall(reading: MemoryReading) -> dict[str, int]:
    """Divide what the host holds for an instance, bytes.

    What is divided is ``memory_footprint`` (anonymous memory, page cache and kernel memory of the instance's cgroup),
    for a guest also the part of its memory that no cgroup is charged for (huge pages that were set aside), and the
    helpers of a container engine. The steps always add up to that:

    * ``application``: anonymous memory and files in memory (tmpfs, shared memory) of the instance's programs, the
      agent among them; in a guest by the guest's ``AnonPages`` and ``Shmem`` (proc_meminfo(5)).
    * ``guest_kernel``: whatever is neither free in the guest nor in another step: what the guest's kernel reserved
      before ``MemTotal``, its slab, stacks, page tables and pages of its drivers.
    * ``guest_page_cache``: ``Cached``, ``Buffers`` and ``SwapCached`` of the guest without ``Shmem``.
    * ``guest_free``: what the guest has touched once and freed, and the host still holds.
    * ``vmm``: anonymous memory of the instance's processes that is no guest memory: QEMU itself.
    * ``host_kernel``: memory of the host's kernel for the instance: page tables, those of KVM, stacks, slab.
    * ``host_page_cache``: the host's page cache that the instance is charged for.
    * ``helpers``: what others hold for its sake: processes of a container engine that look after it, and by how much
      the engine's daemon has grown.
    * ``residual``: what is left: below zero where the guest counts as used what it has never touched, or changed
      between the readings.

    An instance without a kernel of its own has ``application``, ``host_kernel``, ``host_page_cache`` and ``residual``,
    and one without helpers has no such step.
    """
    charged = {part: reading.parts.get(part, 0) for part in FOOTPRINT_PARTS}
    ram = reading.guest_memory
    if ram is None:
        shared = min(reading.parts.get("shmem", 0), charged["file"])
        steps = {
            "application": charged["anon"] + shared,
            "host_kernel": charged["kernel"],
            "host_page_cache": charged["file"] - shared,
        }
    else:
        steps = {
            **_inside(reading.guest, ram),
            "vmm": max(charged["anon"] - ram.anonymous, 0),
            "host_kernel": charged["kernel"],
            "host_page_cache": max(charged["file"] - ram.file, 0),
        }
    if reading.helpers:
        steps["helpers"] = sum(reading.helpers.values())
    return {**steps, "residual": host_total(reading) - sum(steps.values())}


def host_total(reading: MemoryReading) -> int:
    """What the host holds for an instance, bytes: its footprint, and the part of a guest's memory outside of it."""
    footprint = sum(reading.parts.get(part, 0) for part in FOOTPRINT_PARTS) + sum(reading.helpers.values())
    ram = reading.guest_memory
    if ram is None:
        return footprint
    return footprint + ram.hugetlb + max(ram.file - reading.parts.get("file", 0), 0)


def _inside(guest: Mapping[str, int], ram: GuestMemory) -> dict[str, int]:
    """The guest's part, by what its kernel says of itself."""
    shared = guest.get("shmem", 0)
    application = guest.get("anon", 0) + shared
    cache = max(guest.get("cached", 0) + guest.get("buffers", 0) + guest.get("swap_cached", 0) - shared, 0)
    used = ram.size - guest.get("free", 0)
    return {
        "application": application,
        "guest_kernel": max(used - application - cache, 0),
        "guest_page_cache": cache,
        "guest_free": max(ram.resident - used, 0),
    }
