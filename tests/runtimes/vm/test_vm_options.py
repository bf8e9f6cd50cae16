"""Every option of a guest's hardware takes effect: read back from the guest, from QEMU and from the host's kernel."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from conformance import output

from runtimes.base import Limits
from runtimes.vm.hardware import QBOOT
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

pytestmark = [pytest.mark.host, pytest.mark.guest]

MIB = 1 << 20
ONE = Limits(cpus=1, cpuset=(), memory=128 * MIB)
TWO = Limits(cpus=2, cpuset=(), memory=128 * MIB)
BALLOON = "0x0005"
"""Type of a balloon among virtio devices (Virtual I/O Device Version 1.1, 5)."""

GUESTS_OFFLOADS = {"tx-checksum-ip-generic", "tx-tcp-segmentation"}
"""What of the work on a packet the host leaves to the guest, as QEMU tells the tap when the guest's driver can do it
(TUNSETOFFLOAD); names as ethtool(8) has them."""


@pytest.fixture
def guest(facilities, new_spec):
    """Starts a guest with options; yields it, and the process id of QEMU."""

    @contextmanager
    def started(limits=ONE, **options):
        spec = new_spec(limits=limits)
        with VmRuntime.open(facilities, VmOptions(accel="tcg", **options)) as runtime, runtime.start(spec) as instance:
            yield instance, qemu_in(facilities.cgroups.directories[0] / spec.name), spec

    return started


def qemu_in(cgroup):
    """The one process in a cgroup that is no worker of the kernel's."""
    pids = map(int, (cgroup / "cgroup.procs").read_text().split())
    (pid,) = (pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


@pytest.fixture
def huge_pages():
    """Sets aside enough pages of 2 MiB for a guest of 128 MiB."""
    file = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    if not file.exists():
        pytest.skip("this kernel has no huge pages of 2 MiB (CONFIG_HUGETLBFS)")
    before, needed = int(file.read_text()), 128 // 2
    file.write_text(str(before + needed))
    try:
        if int(file.read_text()) < before + needed:
            pytest.skip(f"the host's memory is too fragmented for {needed} huge pages")
        yield needed
    finally:
        file.write_text(str(before))


def read(instance, path):
    return instance.agent.read_file(path).decode().strip()


def virtio_devices(instance):
    return output(instance, "cat /sys/bus/virtio/devices/*/device").split()


def open_flags(pid, path):
    """The flags of open(2) by which a process has a file open."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if os.path.realpath(link) == str(path):
            info = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
            return int(next(line for line in info.splitlines() if line.startswith("flags:")).split()[1], 8)
    raise AssertionError(f"{path} is not open")


def threads(pid):
    return {int(task.name): (task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()}


def disk_threads(spec):
    """The thread that each disk is served by, by its serial number, from the arguments of QEMU that are kept."""
    argv = (spec.directory / "qemu-argv").read_text().splitlines()
    devices = [json.loads(word) for option, word in pairwise(argv) if option == "-device" and word.startswith("{")]
    return {each["serial"]: each.get("iothread") for each in devices if "serial" in each}


def test_an_emulated_interface_leaves_all_of_it_to_the_host(guest):
    with guest(devices="emulated") as (instance, _, _):
        assert instance.facts["network_model"] == "e1000"
        assert not GUESTS_OFFLOADS & set(instance.facts["tap_offloads"].split())
        assert instance.facts["tap_mtu"] == instance.facts["guest_mtu"] == "1500"


def test_the_stock_guest(guest):
    with guest() as (instance, pid, spec):
        facts = instance.facts
        assert facts["machine"].startswith("pc-q35-")
        assert (facts["firmware"], facts["kernel_entry"], facts["init"]) == ("seabios", "bzimage", "agent")
        assert "SeaBIOS" in read(instance, "/sys/class/dmi/id/bios_vendor")
        assert (facts["cpu"], facts["vcpus"], facts["topology"], facts["iothreads"]) == ("maximum", "1", "none", "0")
        assert facts["memory_page"] == "4 KiB"
        assert (facts["scratch_bus"], facts["scratch_cache"], facts["scratch_io"]) == ("virtio", "none", "native")
        assert open_flags(pid, spec.scratch) & os.O_DIRECT
        assert facts["balloon"] == "virtio"
        assert disk_threads(spec) == {"root": None, "scratch": None}
        assert BALLOON in virtio_devices(instance)
        assert facts["network_model"] == "virtio"
        assert facts["guest_mtu"] == facts["tap_mtu"] == "1500"
        assert set(facts["guest_virtio_features"]) == {"0", "1"}
        assert set(facts["tap_offloads"].split()) >= GUESTS_OFFLOADS
        assert "cryptomgr" not in facts["kernel_arguments"]
        assert all(facts.values())


def test_machine_processors_and_where_they_run(guest):
    options = {"machine": "pc", "cpu": "Nehalem", "topology": {"cores": 1, "threads": 2}, "pinning": True}
    with guest(TWO, **options, iothreads=2) as (instance, pid, spec):
        facts = instance.facts
        assert facts["machine"].startswith("pc-i440fx-")
        assert "440FX" in read(instance, "/sys/class/dmi/id/product_name")
        assert facts["cpu"] == "Nehalem"
        assert "Nehalem" in output(instance, "grep -m1 'model name' /proc/cpuinfo")
        # No more than the host has: four of them on two CPUs, emulated, lock up now and then while the kernel starts.
        assert (facts["vcpus"], output(instance, "nproc")) == ("2", "2")
        assert facts["topology"] == "1 sockets 1 cores 2 threads"
        topology = "/sys/devices/system/cpu/cpu0/topology"
        assert read(instance, f"{topology}/thread_siblings_list") in ("0-1", "0,1")
        allowed = sorted(os.sched_getaffinity(pid))
        assert facts["vcpu_cpus"] == ", ".join(map(str, allowed))
        assert facts["iothreads"] == "2"
        assert sum(name.startswith("IO iothread") for name in threads(pid).values()) == 2
        assert disk_threads(spec) == {"root": "iothread1", "scratch": "iothread1"}


def test_more_processors_than_it_may_use_of_the_host(guest):
    with guest(vcpus=2) as (instance, pid, _):
        assert (instance.facts["vcpus"], output(instance, "nproc")) == ("2", "2")
        assert instance.facts["topology"] == "none"
        allowed = "+".join(map(str, sorted(os.sched_getaffinity(pid))))
        assert instance.facts["vcpu_cpus"] == f"{allowed}, {allowed}"


@pytest.mark.skipif(not QBOOT.exists(), reason=f"there is no {QBOOT}")
def test_the_tuned_guest(guest):
    with guest(TWO, tuned=True) as (instance, pid, _):
        facts = instance.facts
        assert (facts["firmware"], facts["kernel_entry"]) == ("qboot", "elf")
        assert read(instance, "/sys/class/dmi/id/bios_vendor") == "qboot"
        allowed = sorted(os.sched_getaffinity(pid))
        assert facts["vcpu_cpus"] == ", ".join(map(str, allowed))
        assert facts["iothreads"] == "1"
        assert facts["balloon"] == "none"
        assert BALLOON not in virtio_devices(instance)
        assert instance.memory().balloon == {}
        assert "cryptomgr.notests" in facts["kernel_arguments"]


@pytest.mark.parametrize(
    ("cache", "io", "direct", "seen"),
    [
        ("none", "io_uring", True, "write back"),
        ("directsync", "native", True, "write through"),
        ("writeback", "threads", False, "write back"),
        ("writethrough", "io_uring", False, "write through"),
        ("unsafe", "threads", False, "write back"),
    ],
)
def test_cache_mode_and_how_the_disk_is_read_and_written(guest, cache, io, direct, seen):
    with guest(cache=cache, io=io) as (instance, pid, spec):
        assert (instance.facts["scratch_cache"], instance.facts["scratch_io"]) == (cache, io)
        assert bool(open_flags(pid, spec.scratch) & os.O_DIRECT) == direct
        assert read(instance, "/sys/block/vdb/queue/write_cache") == seen
        rings = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
        assert ("anon_inode:[io_uring]" in rings) >= (io == "io_uring")
        assert output(instance, "echo written >/scratch/file; sync; cat /scratch/file") == "written"


def test_huge_pages_hold_the_guest_and_are_outside_of_the_footprint(guest, huge_pages):
    with guest(hugepages="2M") as (instance, _, spec):
        reading = instance.memory()
        assert instance.facts["memory_page"] == "2048 KiB"
        assert reading.guest_memory.hugetlb == spec.limits.memory == huge_pages * 2 * MIB
        assert reading.guest_memory.anonymous == 0
        assert reading.charged < spec.limits.memory


def test_without_vhost_qemu_moves_packets(guest):
    with guest(vhost=False) as (instance, _, _):
        assert instance.facts["vhost"] == "no"


@pytest.mark.skipif(not Path("/dev/vhost-net").exists(), reason="there is no /dev/vhost-net")
def test_with_vhost_the_kernel_moves_packets_on_the_instance_s_account(guest, facilities):
    with guest(vhost=True) as (instance, pid, spec):
        assert instance.facts["vhost"] == "yes"
        tasks = {
            int(task)
            for directory in facilities.cgroups.directories
            for file in (directory / spec.name).glob("tasks")
            for task in file.read_text().split()
        } or set(map(int, (facilities.cgroups.directories[0] / spec.name / "cgroup.threads").read_text().split()))
        workers = {task for task in tasks if Path(f"/proc/{task}/comm").read_text().strip() == f"vhost-{pid}"}
        assert workers


def assert_balloon_driver(instance):
    assert "virtio_balloon" in output(instance, "ls /sys/bus/virtio/drivers").split()


def test_the_balloon_tells_what_the_guest_does_with_its_memory(guest):
    with guest(balloon=True) as (instance, _, spec):
        assert_balloon_driver(instance)
        deadline = time.monotonic() + 20
        while not (told := instance.memory().balloon) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert told["actual"] == spec.limits.memory
        assert told["available"] == instance.memory().guest["total"]
        assert 0 < told["unused"] <= told["available"]


def test_free_pages_are_given_back(guest):
    limits = Limits(cpus=1, cpuset=(), memory=256 * MIB)
    with guest(limits, balloon=True, free_page_reporting=True) as (instance, _, _):
        assert_balloon_driver(instance)
        assert instance.facts["balloon"] == "virtio, free pages reported"
        output(instance, "dd if=/dev/zero of=/dev/shm/held bs=1M count=96 2>&1")
        held = instance.memory().guest_memory.resident
        output(instance, "rm /dev/shm/held")
        deadline = time.monotonic() + 30
        while held - instance.memory().guest_memory.resident < 64 * MIB and time.monotonic() < deadline:
            time.sleep(0.2)
        assert held - instance.memory().guest_memory.resident >= 64 * MIB
