"""The domain's XML, without libvirt."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from runtimes.base import GuestKernel, IoLimits, Limits
from runtimes.vm.domain import (
    CpuTuning,
    DomainSpec,
    GuestNetwork,
    bare_domain_xml,
    domain_xml,
)
from runtimes.vm.hardware import choose_hardware, memory_size
from runtimes.vm.options import VmOptions

NETWORK = GuestNetwork("bench-bridge", "bench-t0-2", "02:00:0a:d5:00:02", "10.213.0.2", 16, "10.213.0.1")
KERNEL = GuestKernel("6.1.0", Path("/image/vmlinuz"), Path("/image/kernel"), Path("/image/initramfs"))
LIMITS = Limits(cpus=2, cpuset=(), memory=512 << 20)
SPEC = DomainSpec(
    name="bench-one",
    accelerator="tcg",
    emulator=Path("/cache/emulator"),
    hardware=choose_hardware(VmOptions(), LIMITS),
    cpus=(2, 3),
    memory=LIMITS.memory,
    kernel=KERNEL,
    root=Path("/image/rootfs"),
    systemd=False,
    scratch=Path("/scratch/disk"),
    network=NETWORK,
    channel=Path("/run/bench-run/agent"),
    console=Path("/trial/console.log"),
    nvram=Path("/trial/nvram.fd"),
    environment={"BENCH_SPAWN_STAMP": "/run/bench-run/spawn"},
)


def parse(**changes):
    return ElementTree.fromstring(domain_xml(dataclasses.replace(SPEC, **changes)))


def built(**options):
    """The domain of an arm with these options."""
    return parse(hardware=choose_hardware(VmOptions(**options), LIMITS))


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
    words = parse(tsc_khz=2_600_000).findtext("os/cmdline").split()
    assert {"tsc=reliable", "tsc_early_khz=2600000", "no_timer_check"} <= set(words)


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
    assert len(slots) == len(set(slots)) == 5


def test_whatever_ends_the_guest_ends_the_domain():
    domain = parse()
    assert {domain.findtext(event) for event in ("on_poweroff", "on_reboot", "on_crash")} == {"destroy"}


def test_the_environment_goes_to_the_emulator():
    variables = parse().iterfind(".//{http://libvirt.org/schemas/domain/qemu/1.0}env")
    assert {variable.get("name"): variable.get("value") for variable in variables} == SPEC.environment


def test_the_command_line_configures_the_guest():
    words = parse().findtext("os/cmdline").split()
    assert {"bench.hostname=bench-one", "bench.address=10.213.0.2/16", "bench.gateway=10.213.0.1"} <= set(words)
    assert {"quiet", "console=ttyS0", "panic=-1"} <= set(words)
    assert not {"bench.init=systemd", "bench.devices=emulated", "bench.wait=yes"} & set(words)
    told = parse(systemd=True, waits=True, hardware=choose_hardware(VmOptions(devices="emulated"), LIMITS))
    assert {"bench.init=systemd", "bench.devices=emulated", "bench.wait=yes"} <= set(
        told.findtext("os/cmdline").split()
    )


@pytest.mark.parametrize(
    ("options", "loader", "kernel"),
    [
        ({}, None, "/image/vmlinuz"),
        ({"firmware": "seabios", "tuned": True}, None, "/image/vmlinuz"),
        ({"firmware": "qboot"}, "/usr/share/qemu/qboot.rom", "/image/kernel"),
        ({"tuned": True}, "/usr/share/qemu/qboot.rom", "/image/kernel"),
        ({"firmware": "ovmf"}, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/image/vmlinuz"),
        ({"boot": "disk"}, None, None),
        ({"boot": "disk", "tuned": True}, None, None),
    ],
)
def test_the_firmware_decides_how_the_kernel_is_entered(options, loader, kernel):
    system = built(**options).find("os")
    assert system.findtext("loader") == loader
    assert system.findtext("kernel") == kernel
    assert (system.find("boot") is not None) == (kernel is None)


def test_a_guest_that_boots_from_its_disk_is_told_by_smbios_who_it_is():
    domain = built(boot="disk")
    assert domain.find("os/kernel") is None
    assert domain.find("os/boot").get("dev") == "hd"
    assert domain.find("os/smbios").get("mode") == "sysinfo"
    told = domain.findtext("sysinfo/oemStrings/entry")
    shared = "bench.hostname=bench-one bench.address=10.213.0.2/16 bench.gateway=10.213.0.1"
    assert told == f"{shared} bench.scratch=yes bench.partition=4"
    assert parse().findtext("os/cmdline").endswith(f"{shared} bench.scratch=yes")
    assert parse(scratch=None).findtext("os/cmdline").endswith(shared)
    assert built().find("sysinfo") is None


def test_a_kernel_that_cannot_be_entered_unpacked_is_entered_packed():
    hardware = choose_hardware(VmOptions(firmware="qboot"), LIMITS)
    domain = parse(hardware=hardware, kernel=dataclasses.replace(KERNEL, elf=None))
    assert domain.findtext("os/kernel") == "/image/vmlinuz"


@pytest.mark.parametrize(
    ("machine", "devices", "bus", "interface"),
    [
        ("q35", "virtio", "virtio", "virtio"),
        ("pc", "virtio", "virtio", "virtio"),
        ("q35", "emulated", "sata", "e1000"),
        ("pc", "emulated", "ide", "e1000"),
    ],
)
def test_machine_and_devices(machine, devices, bus, interface):
    domain = built(machine=machine, devices=devices)
    assert domain.find("os/type").get("machine") == machine
    assert {disk.find("target").get("bus") for disk in domain.iterfind("devices/disk")} == {bus}
    assert domain.find("devices/interface/model").get("type") == interface


def test_each_processor_is_pinned_to_a_cpu_of_its_own():
    tuning = built(pinning=True).find("cputune")
    pinned = [(pin.get("vcpu"), pin.get("cpuset")) for pin in tuning.iterfind("vcpupin")]
    assert pinned == [("0", "2"), ("1", "3")]
    assert tuning.find("emulatorpin").get("cpuset") == "2,3"
    assert built().find("cputune") is None


def test_topology_and_model():
    processor = built(topology={"sockets": 1, "cores": 1, "threads": 2}, cpu="EPYC").find("cpu")
    assert processor.find("topology").attrib == {"sockets": "1", "cores": "1", "threads": "2"}
    assert (processor.get("mode"), processor.findtext("model")) == ("custom", "EPYC")
    assert built(cpu="host-model").find("cpu").get("mode") == "host-model"


def test_memory_may_be_of_huge_pages():
    page = built(hugepages="2M").find("memoryBacking/hugepages/page")
    assert (page.get("size"), page.get("unit")) == ("2048", "KiB")
    assert built().find("memoryBacking") is None


def test_how_the_scratch_disk_is_reached():
    driver = disks(built(cache="writeback", iothreads=1))["scratch"].find("driver")
    assert (driver.get("cache"), driver.get("io"), driver.get("iothread")) == ("writeback", "threads", "1")
    assert disks(built(io="io_uring"))["scratch"].find("driver").get("io") == "io_uring"


def test_the_balloon_tells_statistics_and_gives_pages_back_if_asked():
    balloon = built().find("devices/memballoon")
    assert balloon.find("stats").get("period") == "1"
    assert balloon.get("freePageReporting") == "off"
    assert built(free_page_reporting=True).find("devices/memballoon").get("freePageReporting") == "on"
    for without in ({"balloon": False}, {"tuned": True}, {"devices": "emulated"}):
        assert built(**without).find("devices/memballoon").get("model") == "none"


def test_who_moves_packets():
    assert built().find("devices/interface/driver") is None
    assert built(vhost=True).find("devices/interface/driver").get("name") == "vhost"
    assert built(vhost=False).find("devices/interface/driver").get("name") == "qemu"


def test_libvirt_asks_for_no_more_than_it_needs_where_the_start_is_to_be_quick():
    unused = ".//{http://libvirt.org/schemas/domain/qemu/1.0}del"
    assert built().find(unused) is None
    assert built(tuned=True).find(unused).get("capability") == "cpu-unavailable-features"


SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


@pytest.mark.parametrize("accelerator", ["kvm", "tcg"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tuned": True},
        {"machine": "pc"},
        {"devices": "emulated"},
        {"machine": "pc", "devices": "emulated"},
        {"boot": "disk"},
        {"boot": "disk", "firmware": "ovmf"},
        {"firmware": "ovmf"},
        {"cpu": "EPYC", "topology": {"cores": 2}},
        {"cpu": "host-model", "vcpus": 4},
        {"pinning": True, "iothreads": 2},
        {"hugepages": "1G"},
        {"cache": "unsafe", "io": "threads"},
        {"io": "io_uring", "vhost": True},
        {"free_page_reporting": True},
    ],
    ids=str,
)
def test_libvirts_schema_has_no_objection(options, accelerator):
    spec = dataclasses.replace(
        SPEC,
        accelerator=accelerator,
        hardware=choose_hardware(VmOptions(**options), LIMITS),
        io=IoLimits(1 << 20, 2 << 20, 100, 200),
    )
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    assert schema.validate(etree.fromstring(domain_xml(spec))), schema.error_log
    assert not schema.validate(etree.fromstring(domain_xml(spec).replace("iotune", "iotuned")))


HANDED = dataclasses.replace(NETWORK, tap_descriptor=200, vhost_descriptor=201)
TUNING = CpuTuning(quota=50_000, period=100_000, shares=200)
BY_A_DAEMON = {"network": HANDED, "tuning": TUNING, "security_models": ("apparmor", "dac")}


def arguments(domain):
    return [each.get("value") for each in domain.iterfind(".//{http://libvirt.org/schemas/domain/qemu/1.0}arg")]


@pytest.mark.parametrize("options", [{}, {"pinning": True, "iothreads": 1}], ids=str)
def test_libvirts_schema_has_no_objection_to_what_a_daemon_is_told(options):
    spec = dataclasses.replace(SPEC, hardware=choose_hardware(VmOptions(**options), LIMITS), **BY_A_DAEMON)
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    assert schema.validate(etree.fromstring(domain_xml(spec))), schema.error_log


def test_a_tap_that_is_open_is_handed_to_qemu():
    domain = parse(network=HANDED)
    assert domain.find("devices/interface") is None
    netdev, backend, device, frontend = arguments(domain)
    assert (netdev, device) == ("-netdev", "-device")
    assert backend == "tap,id=bench-net,fd=200,vhost=on,vhostfd=201"
    assert f"mac={NETWORK.mac}" in frontend.split(",")
    assert arguments(parse()) == []
    emulated = choose_hardware(VmOptions(devices="emulated", machine="pc"), LIMITS)
    *_, frontend = arguments(parse(network=HANDED, hardware=emulated))
    assert frontend.startswith("e1000,")
    assert "bus=pci.0" in frontend


def test_libvirt_is_told_the_limits_only_where_the_cgroup_is_its():
    tuning = parse(tuning=TUNING)
    assert tuning.find("vcpu").get("cpuset") == "2,3"
    assert [(each.tag, each.text) for each in tuning.find("cputune")] == [
        ("shares", "200"),
        ("global_period", "100000"),
        ("global_quota", "50000"),
    ]
    assert parse().find("cputune") is None
    assert parse().find("vcpu").get("cpuset") is None
    assert parse(tuning=CpuTuning(None, 100_000, None)).find("cputune") is None


def test_security_drivers_leave_qemu_alone():
    labels = parse(security_models=("apparmor", "dac")).findall("seclabel")
    assert [dict(label.attrib) for label in labels] == [
        {"type": "none", "model": "apparmor"},
        {"type": "static", "model": "dac", "relabel": "no"},
    ]
    assert labels[1].findtext("label") == "+0:+0"


@given(st.text(st.characters(min_codepoint=32, blacklist_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_any_path_survives(name):
    path = Path("/store") / name.replace("/", "_")
    domain = parse(console=path, scratch=path)
    assert domain.find("devices/serial/source").get("path") == str(path)
    assert disks(domain)["scratch"].find("source").get("file") == str(path)
    bare = ElementTree.fromstring(bare_domain_xml("bench-bare", "qemu", path, {"BENCH_SPAWN_STAMP": str(path)}))
    assert bare.findtext("devices/emulator") == str(path)
    assert bare.find(".//{http://libvirt.org/schemas/domain/qemu/1.0}env").get("value") == str(path)


@pytest.mark.parametrize(("asked", "given"), [(256 << 20, 256), (300_000 * 1024, 293), ((100 << 20) + 1, 101)])
def test_memory_is_whole_mebibytes(asked, given):
    assert memory_size(dataclasses.replace(LIMITS, memory=asked)) == given << 20


def test_a_tuned_guest_has_huge_pages_only_if_its_memory_is_made_of_them(monkeypatch):
    monkeypatch.setattr("runtimes.vm.hardware.free_hugepages", lambda page: 1000)
    for memory, page in ((256 << 20, 2 << 20), (129 << 20, None)):
        limits = dataclasses.replace(LIMITS, memory=memory)
        assert choose_hardware(VmOptions(tuned=True), limits).hugepages == page


def test_guests_that_start_at_once_share_the_huge_pages_that_there_are(monkeypatch):
    monkeypatch.setattr("runtimes.vm.hardware.free_hugepages", lambda page: 3 * LIMITS.memory // page)
    found = [choose_hardware(VmOptions(tuned=True), LIMITS, at_once).hugepages for at_once in (1, 3, 4)]
    assert found == [2 << 20, 2 << 20, None]


@pytest.mark.parametrize("processors", [{"vcpus": 256}, {"topology": {"cores": 128, "threads": 2}}])
def test_more_processors_than_interrupts_reach_are_refused(processors):
    with pytest.raises(ValueError, match="255"):
        VmOptions(**processors)
    assert VmOptions(vcpus=255).vcpus == 255
