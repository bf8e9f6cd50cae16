"""KVM works in the lab, the project says so, and what a guest under it says of itself agrees."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance import output, processes_of

from bench.waterfall import host_total, memory_waterfall
from runtimes.base import InstanceSpec, Limits
from runtimes.vm.probe import probe_accelerator

pytestmark = pytest.mark.lab

LIMITS = Limits(cpus=1, cpuset=(), memory=256 << 20)
CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def test_the_probe_boots_a_guest(base_image):
    assert probe_accelerator(base_image).name == "kvm"


@pytest.fixture(scope="module")
def spec(facilities, tmp_path_factory):
    return InstanceSpec("bench-read-only", facilities.image, LIMITS, None, tmp_path_factory.mktemp("guest"))


@pytest.fixture(scope="module")
def guest(runtime, spec):
    """A stock guest, of which the tests only read."""
    with runtime.start(spec) as instance:
        yield instance


def test_a_guest_is_run_by_kvm_and_knows_it(guest):
    assert guest.facts["accel"] == "kvm"
    assert output(guest, f"cat {CLOCK_SOURCE}") in {"kvm-clock", "tsc"}
    assert "Hypervisor vendor:   KVM" in output(guest, "LC_ALL=C lscpu | tr -s ' ' | sed 's/: */:   /'")


def test_the_kernels_threads_for_a_guest_are_charged_to_it(guest, facilities, spec):
    """vhost moves its packets, KVM takes huge pages apart and together; both are kernel threads named after QEMU."""
    charged = processes_of(facilities, spec)
    workers = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in charged}
    (qemu,) = [pid for pid in charged if Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert {f"vhost-{qemu}", f"kvm-nx-lpage-recovery-{qemu}"} <= workers


def test_page_tables_of_kvm_are_told(guest):
    """Those that take a guest's addresses to the host's: 8 bytes a page, but for huge pages."""
    reading = guest.memory()
    assert 0 < reading.parts["sec_page_tables"] < reading.guest_memory.resident / 100


def test_the_waterfall_leaves_little_unexplained(guest):
    reading = guest.memory()
    steps = memory_waterfall(reading)
    # The counter may be above its parts by some MiB: memory that is charged, but no longer or not yet in any of them.
    assert host_total(reading) == pytest.approx(reading.charged, rel=0.2)
    assert min(steps[step] for step in ("application", "guest_kernel", "guest_page_cache", "vmm", "host_kernel")) > 0
    assert abs(steps["residual"]) < 0.05 * host_total(reading)
