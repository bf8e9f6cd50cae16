"""The guest's ways to the outside: network interface, the agent's channel, the serial console."""

from __future__ import annotations

from pathlib import Path

from runtimes.vm.domain.elements import Element, element, root_bus
from runtimes.vm.domain.spec import DomainSpec

CHANNEL_NAME = "org.bench.agent"
"""The name by which the guest finds the agent's channel in ``/sys/class/virtio-ports``."""


HANDED_NETWORK = "bench-net"
"""QEMU's name for the tap that it is handed."""


def interface(spec: DomainSpec, slot: int) -> list[Element]:
    """A tap on the run's bridge; none where QEMU is handed one, which libvirt cannot be told."""
    network, hardware = spec.network, spec.hardware
    if network.tap_descriptor is not None:
        return []
    made = element(
        "interface",
        element("mac", address=network.mac),
        element("source", bridge=network.bridge),
        element("target", dev=network.tap),
        element("model", type="virtio" if hardware.devices == "virtio" else "e1000"),
        type="bridge",
    )
    if hardware.vhost is not None:
        made.append(element("driver", name="vhost" if hardware.vhost else "qemu"))
    made.extend([element("rom", enabled="no"), root_bus(slot)])
    return [made]


def handed_interface(spec: DomainSpec, slot: int) -> list[str]:
    """The same interface as arguments of QEMU's, on a tap that is open already; none where libvirt makes it."""
    network = spec.network
    if network.tap_descriptor is None:
        return []
    backend = f"tap,id={HANDED_NETWORK},fd={network.tap_descriptor}"
    if network.vhost_descriptor is not None:
        backend += f",vhost=on,vhostfd={network.vhost_descriptor}"
    model = "virtio-net-pci" if spec.hardware.devices == "virtio" else "e1000"
    bus = {"q35": "pcie.0", "pc": "pci.0"}[spec.hardware.machine]
    device = f"{model},netdev={HANDED_NETWORK},mac={network.mac},rombar=0,bus={bus},addr={slot:#x}"
    return ["-netdev", backend, "-device", device]


def channel(path: Path) -> Element:
    """QEMU connects to a socket that we listen on, so that nobody has to try until QEMU listens."""
    return element(
        "channel",
        element("source", mode="connect", path=str(path)),
        element("target", type="virtio", name=CHANNEL_NAME),
        type="unix",
    )


def console(path: Path) -> Element:
    """The first serial port, into a file."""
    return element(
        "serial", element("source", path=str(path)), element("target", type="isa-serial", port="0"), type="file"
    )
