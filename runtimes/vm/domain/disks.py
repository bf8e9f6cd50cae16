"""The root disk and the scratch disk."""

from __future__ import annotations

from pathlib import Path

from runtimes.base import IoLimits
from runtimes.vm.domain.elements import Element, element, root_bus, text
from runtimes.vm.domain.spec import DomainSpec
from runtimes.vm.hardware import Hardware

_EMULATED_BUS = {"q35": "sata", "pc": "ide"}


def root_disk(spec: DomainSpec, slot: int) -> Element:
    """Through the host's page cache, which holds the image for every arm alike.

    An emulated disk cannot be read-only: it is a copy of the image that may be written, and guests share it. They
    mount it read-only.
    """
    virtio = spec.hardware.devices == "virtio"
    driver = _driver(spec.hardware, cache="writeback")
    kind = element("readonly" if virtio else "shareable")
    return _disk(spec.root, driver, "root", "a", slot, spec.hardware, kind)


def scratch_disk(spec: DomainSpec, path: Path, slot: int) -> Element:
    """As in production: direct I/O, if the arm does not say otherwise; a file system in memory may refuse it."""
    driver = _driver(spec.hardware, cache=spec.hardware.cache, io=spec.hardware.io)
    return _disk(path, driver, "scratch", "b", slot, spec.hardware, *_throttle(spec.io))


def _driver(hardware: Hardware, **modes: str) -> Element:
    """A guest is stopped on any error of the host's disk, of which libvirt tells; its trial has then failed."""
    thread = {"iothread": "1"} if hardware.iothreads else {}
    errors = {"error_policy": "stop", "rerror_policy": "stop"}
    return element("driver", name="qemu", type="raw", **errors, **modes, **thread)


def _throttle(limits: IoLimits) -> list[Element]:
    """The limits as libvirt has them, none for none.

    QEMU lets pass 100 ms of a limit at once (``throttle_compute_wait`` in util/throttle.c), so a measurement of
    T seconds may be too high by 100 ms / T.
    """
    given = {
        "read_bytes_sec": limits.read_bytes,
        "write_bytes_sec": limits.write_bytes,
        "read_iops_sec": limits.read_ops,
        "write_iops_sec": limits.write_ops,
    }
    texts = [text(name, limit) for name, limit in given.items() if limit is not None]
    return [element("iotune", *texts)] if texts else []


def _disk(
    path: Path, driver: Element, serial: str, letter: str, slot: int, hardware: Hardware, *more: Element
) -> Element:
    virtio = hardware.devices == "virtio"
    bus = "virtio" if virtio else _EMULATED_BUS[hardware.machine]
    name = {"virtio": "vd", "sata": "sd", "ide": "hd"}[bus] + letter
    address = [root_bus(slot)] if virtio else []
    return element(
        "disk",
        driver,
        element("source", file=str(path)),
        element("target", dev=name, bus=bus),
        *more,
        text("serial", serial),
        *address,
        type="file",
        device="disk",
    )
