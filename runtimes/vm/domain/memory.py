"""Memory: how much, of which pages, and the balloon."""

from __future__ import annotations

from runtimes.vm.domain.elements import Element, element, on_off, root_bus, text
from runtimes.vm.domain.spec import DomainSpec
from runtimes.vm.hardware import Hardware

_STATISTICS_PERIOD = 1
"""Seconds after which the guest's balloon driver tells its statistics anew; without a period it never does."""


def memory(spec: DomainSpec) -> list[Element]:
    """Its size, and what it is made of."""
    made = [text("memory", spec.memory, unit="b")]
    page = spec.hardware.hugepages
    if page is not None:
        pages = element("hugepages", element("page", size=str(page >> 10), unit="KiB"))
        # Without a file, so that nobody needs to have mounted hugetlbfs.
        made.append(element("memoryBacking", pages, element("source", type="memfd")))
    return made


def balloon(hardware: Hardware, slot: int) -> Element:
    """The balloon, which nobody inflates: it tells what the guest does with its memory."""
    if not hardware.balloon:
        return element("memballoon", model="none")
    return element(
        "memballoon",
        element("stats", period=str(_STATISTICS_PERIOD)),
        root_bus(slot),
        model="virtio",
        freePageReporting=on_off(hardware.free_page_reporting),
    )
