"""What a guest is made of, read back from QEMU, the host's kernel and the guest: not what was asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from runtimes.base import GuestMemory, InstanceError
from runtimes.network import INTERFACE
from runtimes.vm.domain.ports import HANDED_NETWORK

if TYPE_CHECKING:
    from runtimes.agent.client import AgentClient
    from runtimes.vm.live_domain import Domain

_ELF = b"\x7fELF"
_FIRMWARE = {"qboot": "qboot", "OVMF": "ovmf"}
_VHOST_DEVICE = "/dev/vhost-net"
_OF_INSTANCE = "bench."
"""What arguments of the kernel start with that differ from guest to guest."""


def read_facts(domain: Domain, pid: int, ram: GuestMemory, agent: AgentClient) -> dict[str, str]:
    """What is recorded of a guest with its trial.

    To be read by the thread that opened the facilities, in whose network namespace the tap is.

    Args:
        domain: the guest.
        pid: of QEMU.
        ram: what the host holds of the guest's memory.
        agent: in the guest.

    Raises:
        InstanceError: the domain is gone, or QEMU does not answer.
    """
    description = ElementTree.fromstring(domain.description())
    return {
        **_boot_facts(description),
        **_guest_facts(agent),
        **_processor_facts(description, domain.monitor("query-cpus-fast")),
        "iothreads": str(len(domain.monitor("query-iothreads"))),
        "memory_page": f"{ram.page >> 10} KiB",
        "memory_transparent_huge": share(ram.transparent_huge, ram.resident),
        "balloon": _balloon(description),
        **_disk_facts(description, domain.monitor("query-block"), _arguments(pid)),
        **_network_facts(description, pid),
    }


def share(part: int, whole: int) -> str:
    """How much of the whole, in per cent, to the next ten of them."""
    return f"{10 * round(10 * part / max(whole, 1))} %"


def cache_mode(cache: Mapping[str, bool]) -> str:
    """The cache mode, as QEMU's manual names them, of its flags ``direct``, ``no-flush`` and ``writeback``."""
    if cache["no-flush"]:
        return "unsafe"
    if cache["direct"]:
        return "none" if cache["writeback"] else "directsync"
    return "writeback" if cache["writeback"] else "writethrough"


def asynchronous_io(arguments: Iterable[str], file: str) -> str:
    """How QEMU reads and writes a file, by the block device on its command line; ``threads`` is its default.

    Raises:
        InstanceError: no block device has the file.
    """
    for argument in arguments:
        if argument.startswith("{"):
            node = json.loads(argument)
            if node.get("filename") == file:
                return str(node.get("aio", "threads"))
    raise InstanceError(f"QEMU has no block device for {file}")


def _boot_facts(description: ElementTree.Element) -> dict[str, str]:
    machine = description.find("os/type")
    loader = description.findtext("os/loader", "")
    kernel = description.findtext("os/kernel")
    entry = "disk"
    if kernel is not None:
        with Path(kernel).open("rb") as file:
            entry = "elf" if file.read(len(_ELF)) == _ELF else "bzimage"
    return {
        "machine": "unknown" if machine is None else machine.get("machine", "unknown"),
        "firmware": next((name for word, name in _FIRMWARE.items() if word in loader), "seabios"),
        "kernel_entry": entry,
    }


def _guest_facts(agent: AgentClient) -> dict[str, str]:
    def read(path: str) -> str:
        try:
            return agent.read_file(path).decode(errors="replace").strip()
        except FileNotFoundError:
            return "none"

    arguments = read("/proc/cmdline").split()
    return {
        "kernel": read("/proc/sys/kernel/osrelease"),
        "kernel_arguments": " ".join(argument for argument in arguments if not argument.startswith(_OF_INSTANCE)),
        "init": read("/proc/1/comm"),
        "guest_mtu": read(f"/sys/class/net/{INTERFACE}/mtu"),
        "guest_virtio_features": read(f"/sys/class/net/{INTERFACE}/device/features"),
    }


def _processor_facts(description: ElementTree.Element, processors: list[Mapping[str, Any]]) -> dict[str, str]:
    model = description.find("cpu")
    topology = description.find("cpu/topology")
    layout = {} if topology is None else topology.attrib
    return {
        "cpu": "unknown" if model is None else model.findtext("model", model.get("mode", "unknown")),
        "vcpus": str(len(processors)),
        "topology": " ".join(f"{layout[name]} {name}" for name in ("sockets", "cores", "threads") if name in layout)
        or "none",
        "vcpu_cpus": ", ".join(_allowed(processor["thread-id"]) for processor in processors),
    }


def _allowed(thread: int) -> str:
    """The host's CPUs that a thread may run on."""
    try:
        return "+".join(map(str, sorted(os.sched_getaffinity(thread))))
    except ProcessLookupError as error:
        raise InstanceError(f"the guest's processor (thread {thread}) is gone") from error


def _balloon(description: ElementTree.Element) -> str:
    balloon = description.find("devices/memballoon")
    if balloon is None or balloon.get("model") == "none":
        return "none"
    reporting = balloon.get("freePageReporting") == "on"
    return f"{balloon.get('model')}{', free pages reported' if reporting else ''}"


def _disk_facts(
    description: ElementTree.Element, devices: list[Mapping[str, Any]], arguments: list[str]
) -> dict[str, str]:
    """Of the scratch disk; none without one."""
    disks = {disk.findtext("serial"): disk for disk in description.iterfind("devices/disk")}
    scratch = disks.get("scratch")
    if scratch is None:
        return {}
    source, target = scratch.find("source"), scratch.find("target")
    file = "" if source is None else source.get("file", "")
    inserted = next(
        (
            device["inserted"]
            for device in devices
            if device.get("inserted", {}).get("image", {}).get("filename") == file
        ),
        None,
    )
    if inserted is None:
        raise InstanceError(f"QEMU has no disk with {file}")
    return {
        "scratch_bus": "unknown" if target is None else target.get("bus", "unknown"),
        "scratch_cache": cache_mode(inserted["cache"]),
        "scratch_io": asynchronous_io(arguments, file),
    }


def _network_facts(description: ElementTree.Element, pid: int) -> dict[str, str]:
    model = description.find("devices/interface/model")
    return {
        "network_model": _handed_model(_arguments(pid)) if model is None else model.get("type", "unknown"),
        "vhost": "yes" if _VHOST_DEVICE in _open_files(pid) else "no",
        **_tap_facts(_tap(pid)),
    }


def _handed_model(arguments: list[str]) -> str:
    """The model of an interface that is in QEMU's arguments, as libvirt names it."""
    model = next((each.partition(",")[0] for each in arguments if f"netdev={HANDED_NETWORK}" in each.split(",")), "")
    return {"virtio-net-pci": "virtio"}.get(model, model or "unknown")


def _tap(pid: int) -> str:
    """The name of the tap that QEMU has open (``iff`` in the fdinfo of tun_chr_show_fdinfo in drivers/net/tun.c).

    Raises:
        InstanceError: it has none.
    """
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = file.read_text().splitlines()
        except FileNotFoundError:  # closed meanwhile
            continue
        for line in lines:
            name, _, value = line.partition(":\t")
            if name == "iff":
                return value
    raise InstanceError("QEMU has no tap open")


def _tap_facts(name: str) -> dict[str, str]:
    """MTU of the host's end, and what work on packets it takes over; names of features as ethtool(8) has them."""
    from pyroute2 import IPRoute
    from pyroute2.ethtool.ethtool import Ethtool
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as route:
            (link,) = route.link("get", ifname=name)
    except NetlinkError as error:
        raise InstanceError(f"the tap {name} is gone: {error}") from error
    ethtool = Ethtool()
    try:
        features = ethtool.get_features(name).features
    finally:
        ethtool.close()
    return {
        "tap_mtu": str(link.get_attr("IFLA_MTU")),
        "tap_offloads": " ".join(sorted(name for name, feature in features.items() if feature.enable)) or "none",
    }


def _open_files(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(link.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


def _arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
