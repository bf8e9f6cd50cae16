"""Guests that boot Debian as it is, with systemd, and the agent as one of its services."""

from __future__ import annotations

import secrets

import pytest
from conformance import RuntimeConformance, SeamConformance, output
from start_phases import assert_phases

from bench.images import as_runtime_image, our_programs
from runtimes.facilities import open_facilities
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime
from workloads.image import ensure_image

pytestmark = [pytest.mark.host, pytest.mark.guest, pytest.mark.slow]

OPTIONS = VmOptions(accel="tcg", init="systemd")


@pytest.fixture(scope="session")
def systemd_image():
    """A real image with what the option asks for."""
    built = ensure_image(OPTIONS.packages, our_programs(), lambda _: None)
    return as_runtime_image(built)


@pytest.fixture(scope="module")
def facilities(systemd_image):
    with open_facilities(f"bench-{secrets.token_hex(4)}", systemd_image) as opened:
        yield opened


@pytest.fixture(scope="module")
def runtime(facilities):
    with VmRuntime.open(facilities, OPTIONS) as opened:
        yield opened


class TestSystemd(SeamConformance):
    """Of what every runtime does, that which an init of its own could make otherwise: a start takes some seconds."""

    reachable = True
    test_limits_are_those_of_every_arm = RuntimeConformance.test_limits_are_those_of_every_arm
    test_scratch_is_an_empty_disk_every_time = RuntimeConformance.test_scratch_is_an_empty_disk_every_time
    test_the_peer_side_reaches_it = RuntimeConformance.test_the_peer_side_reaches_it
    test_nothing_is_left = RuntimeConformance.test_nothing_is_left

    def test_the_agent_is_a_service_in_a_system_that_is_up(self, runtime, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            assert output(instance, "cat /proc/1/comm") == "systemd"
            assert output(instance, "cat /proc/self/cgroup").endswith("/system.slice/bench-agent.service")
            assert output(instance, "systemctl is-active basic.target network.target || true").split()[0] == "active"
            assert output(instance, "hostname") == spec.name
            assert output(instance, "systemctl list-units --failed --plain --no-legend") == ""
            # Nothing is due while we measure, and its interface is left alone.
            assert output(instance, "systemctl list-timers --plain --no-legend") == ""
            assert output(instance, "systemctl list-units --plain --no-legend '*getty*'") == ""
            output(instance, "udevadm settle")
            assert f"{instance.address}/16" in output(instance, "ip -4 addr show eth0")

    def test_its_start_is_told_apart_from_the_way_of_ready(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = assert_phases(instance)
            assert phases["guest_userspace"] > max(phases["guest_initramfs"], 10 * phases["ready"])

    def test_it_goes_down_in_order(self, runtime, new_spec):
        """What systemd does at the end takes its time, which is the system's, and leaves no journal to replay."""
        spec = new_spec()
        with runtime.start(spec) as instance:
            output(instance, "echo kept > /scratch/file")
            instance.stop()
        assert not _needs_recovery(spec.scratch)


def _needs_recovery(disk):
    """Whether an ext4 file system was left without being unmounted: ``s_feature_incompat`` of its superblock, 0x4."""
    superblock = disk.read_bytes()[1024:2048]
    return bool(int.from_bytes(superblock[0x60:0x64], "little") & 0x4)
