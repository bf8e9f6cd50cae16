"""The domain's XML, without libvirt."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.base import Image, IoLimits
from runtimes.vm import domain as domain_module
from runtimes.vm.domain import DomainSpec, GuestNetwork, bare_domain_xml, domain_xml, kernel_command_line

NETWORK = GuestNetwork("bench-bridge", "bench-t0-2", "02:00:0a:d5:00:02", "10.213.0.2", 16, "10.213.0.1")
SPEC = DomainSpec(
    name="bench-one",
    accelerator="tcg",
    emulator=Path("/cache/emulator"),
    vcpus=2,
    memory=512 << 20,
    image=Image("id", Path("/image/rootfs"), Path("/image/kernel"), Path("/image/initramfs")),
    scratch=Path("/scratch/disk"),
    network=NETWORK,
    channel=Path("/run/bench-run/agent"),
    console=Path("/trial/console.log"),
    environment={"BENCH_SPAWN_STAMP": "/run/bench-run/spawn"},
)


def parse(**changes):
    return ElementTree.fromstring(domain_xml(dataclasses.replace(SPEC, **changes)))


def disks(domain):
    return {disk.findtext("serial"): disk for disk in domain.iterfind("devices/disk")}


@pytest.mark.parametrize(
    ("accelerator", "kind", "cpu"), [("kvm", "kvm", "host-passthrough"), ("tcg", "qemu", "maximum")]
)
def test_the_accelerator_decides_type_and_processor(accelerator, kind, cpu):
    domain = parse(accelerator=accelerator)
    assert domain.get("type") == kind
    assert domain.find("cpu").get("mode") == cpu


def test_the_guests_clock_is_not_left_to_chance():
    assert "tsc=reliable" in kernel_command_line("bench-one", NETWORK).split()


def test_size():
    domain = parse()
    assert domain.findtext("vcpu") == "2"
    assert (domain.findtext("memory"), domain.find("memory").get("unit")) == (str(512 << 20), "b")


def test_the_image_is_the_root_disk_and_cannot_be_written():
    root = disks(parse())["root"]
    assert root.find("source").get("file") == "/image/rootfs"
    assert root.find("readonly") is not None
    assert root.find("driver").get("cache") == "writeback"


def test_scratch_is_direct_and_can_be_written():
    scratch = disks(parse())["scratch"]
    assert scratch.find("source").get("file") == "/scratch/disk"
    assert scratch.find("readonly") is None
    assert (scratch.find("driver").get("cache"), scratch.find("driver").get("io")) == ("none", "native")


def test_scratch_may_be_missing():
    assert set(disks(parse(scratch=None))) == {"root"}


def test_the_channel_connects_to_our_socket_under_the_agreed_name():
    channel = parse().find("devices/channel")
    assert dict(channel.find("source").attrib) == {"mode": "connect", "path": "/run/bench-run/agent"}
    assert channel.find("target").get("name") == "org.bench.agent"


def test_only_the_scratch_disk_is_limited_and_only_as_asked():
    assert parse().find(".//iotune") is None
    found = disks(parse(io=IoLimits(read_bytes=10 << 20, write_ops=200)))
    limits = {limit.tag: limit.text for limit in found["scratch"].find("iotune")}
    assert limits == {"read_bytes_sec": "10485760", "write_iops_sec": "200"}
    assert found["root"].find("iotune") is None
    everything = disks(parse(io=IoLimits(1, 2, 3, 4)))["scratch"].find("iotune")
    assert [(limit.tag, limit.text) for limit in everything] == [
        ("read_bytes_sec", "1"),
        ("write_bytes_sec", "2"),
        ("read_iops_sec", "3"),
        ("write_iops_sec", "4"),
    ]


def test_the_interface_joins_the_bridge():
    interface = parse().find("devices/interface")
    assert interface.find("source").get("bridge") == "bench-bridge"
    assert interface.find("target").get("dev") == "bench-t0-2"
    assert interface.find("mac").get("address") == NETWORK.mac
    assert interface.find("model").get("type") == "virtio"


def test_every_device_has_a_slot_of_its_own_on_the_root_bus():
    addresses = list(parse().iterfind(".//address"))
    assert {address.get("bus") for address in addresses} == {"0x00"}
    slots = [address.get("slot") for address in addresses]
    assert len(slots) == len(set(slots)) == 4


def test_whatever_ends_the_guest_ends_the_domain():
    domain = parse()
    assert {domain.findtext(event) for event in ("on_poweroff", "on_reboot", "on_crash")} == {"destroy"}


def test_the_environment_goes_to_the_emulator():
    variables = parse().iterfind(".//{http://libvirt.org/schemas/domain/qemu/1.0}env")
    assert {variable.get("name"): variable.get("value") for variable in variables} == SPEC.environment


def test_the_command_line_configures_the_guest():
    words = kernel_command_line("bench-one", NETWORK).split()
    assert {"bench.hostname=bench-one", "bench.address=10.213.0.2/16", "bench.gateway=10.213.0.1"} <= set(words)
    assert {"quiet", "console=ttyS0", "panic=-1"} <= set(words)


def test_a_host_without_the_quick_firmware_uses_the_default(monkeypatch):
    monkeypatch.setattr(domain_module, "FIRMWARE", Path("/nonexistent/rom"))
    assert parse().find("os/loader") is None


@given(st.text(st.characters(min_codepoint=32, blacklist_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_any_path_survives(name):
    path = Path("/store") / name.replace("/", "_")
    domain = parse(console=path, scratch=path)
    assert domain.find("devices/serial/source").get("path") == str(path)
    assert disks(domain)["scratch"].find("source").get("file") == str(path)
    bare = ElementTree.fromstring(bare_domain_xml("bench-bare", "qemu", path, {"BENCH_SPAWN_STAMP": str(path)}))
    assert bare.findtext("devices/emulator") == str(path)
    assert bare.find(".//{http://libvirt.org/schemas/domain/qemu/1.0}env").get("value") == str(path)
