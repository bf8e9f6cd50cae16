"""Guests made in other ways, under KVM: what only KVM or a host's kernel with all modules can show."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from conformance import output, shell

from bench.images import as_runtime_image, prepare_image
from runtimes.base import Limits
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

MIB = 1 << 20
HUGE = 2 * MIB
LIMITS = Limits(cpus=1, cpuset=(), memory=256 * MIB)


@contextmanager
def opened(facilities, **options):
    with VmRuntime.open(facilities, VmOptions(accel="kvm", **options)) as runtime:
        yield runtime


def test_restored_guests_are_run_by_kvm_and_differ(facilities, new_spec):
    with (
        opened(facilities, tuned=True, start="restore") as runtime,
        runtime.start(new_spec()) as one,
        runtime.start(new_spec()) as other,
    ):
        assert one.facts["accel"] == other.facts["accel"] == "kvm"
        for told in ("hostname", "head -c 16 /dev/urandom | od -x", "ip -4 address show dev eth0"):
            assert output(one, told) != output(other, told)
        # Nobody listens there; that it is said proves that the other was reached.
        tried = shell(one, f"bash -c 'exec 3<>/dev/tcp/{other.address}/9'")
        assert b"Connection refused" in tried.stderr, tried
        one.stop()


def test_the_hosts_kernel_moves_packets_if_asked(facilities, new_spec):
    subprocess.run(["modprobe", "vhost_net"], check=True)
    with opened(facilities, vhost=True) as runtime, runtime.start(new_spec()) as instance:
        assert instance.facts["vhost"] == "yes"


def pages(size):
    """The kernel's pool of huge pages of ``size`` bytes."""
    return Path(f"/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB")


def free_pages(size):
    return int((pages(size) / "free_hugepages").read_text())


@pytest.fixture
def huge_pages():
    """As many free huge pages as the guest's memory has."""
    setting = pages(HUGE) / "nr_hugepages"
    before = setting.read_text()
    setting.write_text(str(LIMITS.memory // HUGE))
    assert free_pages(HUGE) == LIMITS.memory // HUGE
    yield
    setting.write_text(before)


def arguments(spec, option):
    """What QEMU was started with after each ``option``; objects where they are written so."""
    argv = (spec.directory / "qemu-argv").read_text().splitlines()
    found = [argv[place + 1] for place, word in enumerate(argv) if word == option]
    return [json.loads(word) if word.startswith("{") else word for word in found]


def processor(cpuinfo):
    """The name of the processor, by the text of a /proc/cpuinfo."""
    return next(line.partition(": ")[2] for line in cpuinfo.splitlines() if line.startswith("model name"))


def test_pages_of_2_mib_a_named_processor_and_packets_moved_by_qemu(facilities, new_spec, huge_pages):
    options = {"hugepages": "2M", "cpu": "kvm64", "vhost": False}
    with opened(facilities, **options) as runtime, runtime.start(new_spec(LIMITS)) as instance:
        assert instance.facts["memory_page"] == "2048 KiB"
        assert instance.memory().guest_memory.hugetlb == LIMITS.memory
        assert free_pages(HUGE) == 0
        assert instance.facts["cpu"] == "kvm64"
        assert processor(output(instance, "cat /proc/cpuinfo")) == "Common KVM processor"
        assert instance.facts["vhost"] == "no"


def test_one_page_of_a_gibibyte_and_the_processor_that_libvirt_takes_for_the_hosts(facilities, new_spec):
    """The lab has set the page aside when it booted."""
    size = 1 << 30
    assert free_pages(size) == 1
    limits = dataclasses.replace(LIMITS, memory=size)
    spec = new_spec(limits)
    with opened(facilities, hugepages="1G", cpu="host-model") as runtime, runtime.start(spec) as instance:
        assert instance.facts["memory_page"] == "1048576 KiB"
        reading = instance.memory()
        assert reading.guest_memory.hugetlb == size
        assert 0.8 * size < reading.guest["total"] < size
        assert free_pages(size) == 0
        seen = processor(output(instance, "cat /proc/cpuinfo"))
        assert seen != processor(Path("/proc/cpuinfo").read_text())
        assert instance.facts["cpu"] in seen
    assert arguments(spec, "-cpu")[0].startswith(f"{instance.facts['cpu']},")
    assert free_pages(size) == 1


def test_a_tuned_guest_takes_what_the_host_has_set_aside(facilities, new_spec, huge_pages):
    spec = new_spec(LIMITS)
    with opened(facilities, tuned=True) as runtime, runtime.start(spec) as instance:
        facts = instance.facts
        assert facts["memory_page"] == "2048 KiB"
        assert (facts["firmware"], facts["kernel_entry"], facts["balloon"]) == ("qboot", "elf", "none")
        assert "cryptomgr.notests" in facts["kernel_arguments"].split()
        assert facts["vcpu_cpus"] == str(max(os.sched_getaffinity(0)))
        assert instance.memory().guest_memory.hugetlb == LIMITS.memory
    disks = [device for device in arguments(spec, "-device") if device["driver"] == "virtio-blk-pci"]
    (thread,) = [made for made in arguments(spec, "-object") if made["qom-type"] == "iothread"]
    assert [disk["iothread"] for disk in disks] == [thread["id"]]


def test_a_kernel_of_the_hosts(facilities, new_spec, tmp_path):
    """Its own, and one by its path, which is that one with a byte more: all kernels here are of one release."""
    release = os.uname().release
    installed = Path(f"/boot/vmlinuz-{release}").read_bytes()
    path = tmp_path / f"vmlinuz-{release}"
    path.write_bytes(installed + bytes(1))
    image = as_runtime_image(prepare_image((), {}, lambda _: None, ("host", str(path))))
    facilities = dataclasses.replace(facilities, image=image)
    for name, content in (("host", installed), (str(path), path.read_bytes())):
        spec = dataclasses.replace(new_spec(), image=image)
        with opened(facilities, kernel=name) as runtime, runtime.start(spec) as instance:
            assert instance.facts["kernel"] == release
        booted = image.kernels[name]
        assert arguments(spec, "-kernel") == [str(booted.bzimage)]
        assert arguments(spec, "-initrd") == [str(booted.initramfs)]
        assert booted.bzimage.read_bytes() == content
        assert booted.bzimage != image.kernels["image"].bzimage
