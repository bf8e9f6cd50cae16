"""Guests that boot Debian as it is, with systemd, and the agent as one of its services."""

from __future__ import annotations

import secrets

import pytest
from conformance import RuntimeConformance, output
from standing import looking
from start_phases import assert_phases
from traces import host_traces

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


class TestSystemd:
    """Of what every runtime does, that which an init of its own could make otherwise, in as few starts as it takes."""

    reachable = True
    test_it_says_how_it_is_run = looking(RuntimeConformance.test_it_says_how_it_is_run)
    test_commands_run = looking(RuntimeConformance.test_commands_run)
    test_limits_are_those_of_every_arm = looking(RuntimeConformance.test_limits_are_those_of_every_arm)
    test_the_peer_side_reaches_it = looking(RuntimeConformance.test_the_peer_side_reaches_it)

    def test_the_agent_is_a_service_in_a_system_that_is_up(self, standing):
        instance, spec = standing.instance, standing.spec
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

    def test_its_scratch_disk_is_mounted_and_empty(self, standing):
        assert output(standing.instance, "ls /scratch") == "lost+found"
        mounted = output(standing.instance, "grep ' /scratch ' /proc/mounts").split()
        assert mounted[1:4] == ["/scratch", "ext4", "rw,relatime"]

    def test_its_start_is_told_apart_from_the_way_of_ready(self, standing):
        phases = assert_phases(standing.instance)
        assert phases["guest_userspace"] > max(phases["guest_initramfs"], 10 * phases["ready"])

    def test_it_goes_down_in_order_and_leaves_nothing(self, runtime, standing, facilities, new_spec):
        """What systemd does at the end takes its time, which is the system's, and leaves no journal to replay."""
        before = host_traces(facilities)
        spec = new_spec()
        with runtime.start(spec) as instance:
            output(instance, "echo kept > /scratch/file; setsid sleep 1000 >/dev/null 2>&1 &")
            instance.stop()
            phases = [name for name, _ in instance.timeline.phases("stop_requested", "stopped")]
            assert phases == ["goodbye", "powered_off", "exited", "stopped"]
        assert not _needs_recovery(spec.scratch)
        assert host_traces(facilities) == before


def _needs_recovery(disk):
    """Whether an ext4 file system was left without being unmounted: ``s_feature_incompat`` of its superblock, 0x4."""
    superblock = disk.read_bytes()[1024:2048]
    return bool(int.from_bytes(superblock[0x60:0x64], "little") & 0x4)
