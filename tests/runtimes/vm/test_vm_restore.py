"""Guests restored from a saved state."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import struct
import time
from pathlib import Path

import pytest
from conformance import RuntimeConformance, SeamConformance, output
from start_phases import RESTORED, assert_phases
from traces import host_traces

from runtimes.base import InstanceError, Limits
from runtimes.storage import make_scratch
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime
from runtimes.vm.saved_state import SavedState, tell_who_it_is

pytestmark = [pytest.mark.host, pytest.mark.guest]

RESTORE = VmOptions(accel="tcg", tuned=True, start="restore")


def states(facilities):
    return sorted(path.name for path in facilities.scratch_directory.glob("*.state"))


@pytest.fixture(scope="module")
def opened_runtime(facilities):
    with VmRuntime.open(facilities, RESTORE) as opened:
        yield opened


@pytest.fixture
def runtime(opened_runtime, new_spec):
    """With the states that most tests need, so that they can tell what they leave themselves."""
    if not opened_runtime._states:
        for scratch in (True, False):
            with opened_runtime.start(new_spec(scratch=scratch)):
                pass
    return opened_runtime


class TestRestored(SeamConformance):
    reachable = True
    shares_kernel = False
    test_limits_are_those_of_every_arm = RuntimeConformance.test_limits_are_those_of_every_arm
    test_what_was_written_is_on_the_disk = RuntimeConformance.test_what_was_written_is_on_the_disk_once_it_has_stopped
    test_scratch_may_be_missing = RuntimeConformance.test_scratch_may_be_missing
    test_root_can_be_written = RuntimeConformance.test_root_can_be_written_and_is_fresh_every_time
    test_the_peer_side_reaches_it = RuntimeConformance.test_the_peer_side_reaches_it
    test_it_sees_as_many_cpus = RuntimeConformance.test_it_sees_as_many_cpus_as_it_may_use
    test_two_at_once_are_apart = RuntimeConformance.test_two_at_once_are_apart
    test_nothing_is_left = RuntimeConformance.test_nothing_is_left
    test_a_killed_agent_is_noticed = RuntimeConformance.test_a_killed_agent_is_noticed_and_leaves_nothing
    test_a_failed_start_leaves_nothing = RuntimeConformance.test_a_failed_start_leaves_nothing

    def test_it_is_quick(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            # Even of a kernel that does nothing, the start takes longer.
            uptime = float(output(instance, "cut -d' ' -f1 /proc/uptime"))
            assert instance.timeline.seconds("requested", "ready") < uptime
            assert_phases(instance, RESTORED)

    def test_those_that_run_at_once_are_different(self, runtime, new_spec):
        with runtime.start(new_spec()) as one, runtime.start(new_spec()) as other:
            for told in (
                "hostname",
                "cat /proc/sys/kernel/random/uuid",
                "head -c 16 /dev/urandom | od -x",
                "cat /sys/class/net/eth0/address",
                "ip -4 address show dev eth0",
            ):
                assert output(one, told) != output(other, told)
            assert one.address != other.address
            output(one, f"ping -c 1 -w 10 {other.address}")
            assert f"{one.address}/16" in output(one, "ip -4 address show dev eth0")

    def test_its_clock_is_right(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert abs(int(output(instance, "date +%s")) - time.time()) < 5

    def test_what_is_on_its_scratch_disk_is_its_own(self, runtime, new_spec):
        for word in ("one", "other"):
            spec = new_spec()
            with runtime.start(spec) as instance:
                assert output(instance, "ls /scratch") == "lost+found"
                output(instance, f"echo {word} > /scratch/word; sync")
                instance.stop()
            assert f"{word}\n".encode() in spec.scratch.read_bytes()

    def test_each_size_has_a_state_of_its_own(self, runtime, facilities, new_spec):
        with runtime.start(new_spec()):
            before = states(facilities)
        spec = new_spec(limits=Limits(cpus=1, cpuset=(), memory=192 << 20))
        make_scratch(spec.scratch, 24 << 20)
        with runtime.start(spec) as instance:
            total = int(output(instance, "sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
            assert (140 << 10) < total < (192 << 10)
            assert int(output(instance, "cat /sys/block/vdb/size")) * 512 == 24 << 20
        assert len(states(facilities)) == len(before) + 1
        with runtime.start(new_spec()):
            assert len(states(facilities)) == len(before) + 1


def test_nothing_is_left_when_the_arm_is_closed(facilities, new_spec):
    before = states(facilities), host_traces(facilities)
    with VmRuntime.open(facilities, RESTORE) as runtime, runtime.start(new_spec(scratch=False)) as instance:
        assert output(instance, "ls /scratch") == ""
        assert len(states(facilities)) == len(before[0]) + 1
    assert (states(facilities), host_traces(facilities)) == before


def test_a_guest_that_cannot_be_saved_fails_the_trial(runtime, facilities, new_spec, tmp_path):
    before = states(facilities), host_traces(facilities)
    broken = tmp_path / "rootfs"
    broken.write_bytes(bytes(1 << 20))
    spec = new_spec()
    spec = dataclasses.replace(spec, image=dataclasses.replace(spec.image, rootfs=broken), start_timeout=30)
    with pytest.raises(InstanceError), runtime.start(spec):
        pytest.fail("it started")
    assert (states(facilities), host_traces(facilities)) == before


def test_a_guest_that_ends_before_it_knows_who_it_is(runtime, facilities, new_spec, monkeypatch):
    with runtime.start(new_spec()):
        pass
    before = host_traces(facilities)
    tell = tell_who_it_is

    def tell_the_dead(channel, spec):
        (pid,) = (facilities.cgroups.directories[0] / spec.name / "cgroup.procs").read_text().split()
        os.kill(int(pid), signal.SIGKILL)
        assert channel.recv(1) == b""
        tell(channel, spec)

    monkeypatch.setattr("runtimes.vm.runtime.tell_who_it_is", tell_the_dead)
    told = "did not get ready: the guest ended: QEMU was killed by SIGKILL"
    with pytest.raises(InstanceError, match=told), runtime.start(new_spec()):
        pytest.fail("it started")
    gc.collect()
    assert host_traces(facilities) == before


@pytest.mark.parametrize(
    "start", [b"LibvirtQemudPart" + struct.pack("=I", 2), b"LibvirtQemudSave" + struct.pack("=I", 3)]
)
def test_a_state_of_another_form_is_refused(tmp_path, start):
    file = Path(tmp_path / "state")
    file.write_bytes(start + bytes(100))
    with pytest.raises(InstanceError, match="in a form that is not known here"):
        SavedState(file)
