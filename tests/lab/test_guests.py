"""Guests made in other ways, under KVM: what only KVM or a host's kernel with all modules can show."""

from __future__ import annotations

import dataclasses
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from conformance import output, shell

from bench.images import as_runtime_image, prepare_image
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

HUGE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")


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
    for vhost in (True, False):
        with opened(facilities, vhost=vhost) as runtime, runtime.start(new_spec()) as instance:
            assert instance.facts["vhost"] == ("yes" if vhost else "no")


def test_memory_of_huge_pages(facilities, new_spec):
    before = HUGE_PAGES.read_text()
    HUGE_PAGES.write_text("128")
    try:
        with opened(facilities, hugepages="2M") as runtime, runtime.start(new_spec()) as instance:
            assert instance.facts["memory_page"] == "2048 KiB"
    finally:
        HUGE_PAGES.write_text(before)


def test_the_hosts_kernel(facilities, new_spec):
    image = as_runtime_image(prepare_image((), {}, lambda _: None, ("host",)))
    spec = dataclasses.replace(new_spec(), image=image)
    facilities = dataclasses.replace(facilities, image=image)
    with opened(facilities, kernel="host") as runtime, runtime.start(spec) as instance:
        assert instance.facts["kernel"] == Path("/proc/sys/kernel/osrelease").read_text().strip()
