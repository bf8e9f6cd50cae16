"""Guests that do not boot, die or hang: each fails with a reason in one line, in time, and leaves nothing."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import signal
import stat
import subprocess
import time
from contextlib import contextmanager

import pytest
from broken import foreign_elf, image_with_agent
from conformance import output, shell
from traces import host_traces
from waiting import running

from runtimes import syscalls
from runtimes.agent.client import AgentGone, AgentTimeoutError, Command
from runtimes.base import InstanceError, Limits
from runtimes.peer import open_peer
from runtimes.storage import attach_loop, make_scratch, mounted
from runtimes.vm.domain.disks import scratch_disk
from runtimes.vm.emulator import spawn_environment
from runtimes.vm.runtime import VmRuntime
from workloads.image.initramfs import Entry, write_cpio

pytestmark = [pytest.mark.host, pytest.mark.guest]

PATIENCE = 60.0
"""Seconds that no failure may take that is noticed by an event; a busy host needs some to boot a guest."""

WRAPPED_AGENT = b"""#!/bin/busybox sh
/usr/lib/bench/wrapped "$@"
while :; do sleep 100; done
"""
"""A first program of the guest that outlives its agent, as systemd does."""


@pytest.fixture
def failing(facilities):
    """What an instance fails in: in one line, in time, and with nothing left. Yields what holds the error."""

    @contextmanager
    def fail(spec):
        before = host_traces(facilities)
        started = time.monotonic()
        with pytest.raises(InstanceError) as caught:
            yield caught
        assert time.monotonic() - started < PATIENCE
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(spec.name)
        assert host_traces(facilities) == before

    return fail


@pytest.fixture
def failure(runtime, failing):
    """The error of an instance that does not start."""

    def fail(spec):
        with failing(spec) as caught, runtime.start(spec):
            pytest.fail("it started")
        return caught.value

    return fail


def qemu_of(spec, facilities):
    """The pid of the instance's own QEMU."""
    (pid,) = (facilities.cgroups.directories[0] / spec.name / "cgroup.procs").read_text().split()
    return int(pid)


def with_kernel(spec, **changes):
    """The same spec with another kernel or initramfs."""
    kernel = dataclasses.replace(spec.image.kernels["image"], **changes)
    return dataclasses.replace(spec, image=dataclasses.replace(spec.image, kernels={"image": kernel}))


def with_agent(spec, guest_image, directory, agent, **options):
    """The same spec with another agent in its image."""
    place = directory / "image"
    place.mkdir()
    changed = image_with_agent(guest_image, place, agent, **options)
    return dataclasses.replace(spec, image=dataclasses.replace(spec.image, rootfs=changed.rootfs))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(1 << 16), "is no kernel for x86-64"),
        (foreign_elf(), "is for AArch64, not for x86-64"),
        (bytes(56) + b"ARM\x64" + bytes(1 << 16), "is for AArch64, not for x86-64"),
    ],
)
def test_a_kernel_that_is_none_for_this_machine(failure, new_spec, tmp_path, content, said):
    kernel = tmp_path / "kernel"
    kernel.write_bytes(content)
    error = failure(with_kernel(new_spec(), bzimage=kernel))
    assert "libvirt could not start it: " in str(error)
    assert f"the kernel {kernel} {said}" in str(error).replace("; /", "; the kernel /")


def test_a_kernel_that_finds_no_root_panics(failure, new_spec, tmp_path):
    nothing = tmp_path / "initramfs"
    nothing.write_bytes(bytes(512))
    error = failure(with_kernel(new_spec(), initramfs=nothing))
    assert "did not get ready: the guest ended: Kernel panic - not syncing: VFS" in str(error)
    assert error.details.startswith("on its console:\n    ")


def test_a_guest_that_never_boots(failure, new_spec, tmp_path):
    spec = dataclasses.replace(new_spec(), start_timeout=4.0)
    image = bytearray(spec.image.kernels["image"].bzimage.read_bytes())
    image[0x200:0x202] = b"\xeb\xfe"  # its first instruction (kernel documentation, x86/boot) is now a jump to itself
    kernel = tmp_path / "kernel"
    kernel.write_bytes(image)
    error = failure(with_kernel(spec, bzimage=kernel))
    assert "did not get ready: no READY from the agent within 4 s; its console is empty" in str(error)


def test_an_agent_for_another_architecture(failure, new_spec, guest_image, tmp_path):
    error = failure(with_agent(new_spec(), guest_image, tmp_path, foreign_elf()))
    assert "Exec format error" in str(error)


def test_an_agent_that_dies_before_it_is_ready(failure, new_spec, guest_image, tmp_path):
    error = failure(with_agent(new_spec(), guest_image, tmp_path, b"#!/bin/busybox sh\nexit 3\n"))
    assert "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300" in str(error)


def test_an_agent_that_dies_while_the_guest_goes_on(runtime, failing, new_spec, guest_image, tmp_path):
    spec = with_agent(new_spec(), guest_image, tmp_path, WRAPPED_AGENT, original="wrapped")
    with failing(spec) as caught, runtime.start(spec) as instance:
        shell(instance, "kill -9 $PPID; sleep 100")
    assert "the agent in the guest has ended" in str(caught.value)


def test_a_qemu_that_hangs_before_libvirt_has_seen_it(failure, new_spec, facilities):
    spec = dataclasses.replace(new_spec(), start_timeout=3.0)
    processes = facilities.cgroups.directories[0] / spec.name / "cgroup.procs"
    script = f"until pid=$(cat {processes} 2>/dev/null) && [ $pid ]; do :; done; kill -STOP $pid"
    with running(["sh", "-c", script]):
        error = failure(spec)
    assert re.search(r"QEMU did not answer within 3 s|no READY from the agent within 3 s", str(error))


def test_an_emulator_that_hangs_before_it_is_qemu(failure, new_spec, tmp_path, monkeypatch):
    never_read = tmp_path / "never-read"
    os.mkfifo(never_read)

    def hanging(join_files, *arguments):
        return spawn_environment((*join_files, never_read), *arguments)

    monkeypatch.setattr("runtimes.vm.runtime.spawn_environment", hanging)
    error = failure(dataclasses.replace(new_spec(), start_timeout=1.0))
    assert "QEMU did not answer within 1 s" in str(error)


def test_a_kernel_that_panics_during_a_workload(runtime, failing, new_spec):
    spec = new_spec()
    with failing(spec) as caught, runtime.start(spec) as instance:
        shell(instance, "echo c > /proc/sysrq-trigger; sleep 100")
    assert str(caught.value).endswith(": the guest ended: Kernel panic - not syncing: sysrq triggered crash")
    assert "sysrq_handle_crash" in caught.value.details


def test_a_qemu_that_is_killed_during_a_workload(runtime, failing, new_spec, facilities):
    spec = new_spec()
    with failing(spec) as caught, runtime.start(spec) as instance:
        process = instance.agent.spawn(Command(("sleep", "100")))
        os.kill(qemu_of(spec, facilities), signal.SIGKILL)
        process.wait(100)
    assert str(caught.value).endswith(": the guest ended: QEMU was killed by SIGKILL")


def test_a_qemu_that_is_killed_while_it_stops(runtime, failing, new_spec, facilities, monkeypatch):
    spec = new_spec()
    with failing(spec) as caught, runtime.start(spec) as instance:
        shutdown = instance.agent.shutdown

        def killed(timeout):
            os.kill(qemu_of(spec, facilities), signal.SIGKILL)
            shutdown(timeout)

        monkeypatch.setattr(instance.agent, "shutdown", killed)
        instance.stop()
    assert "could not be stopped in order: the guest ended: QEMU was killed by SIGKILL" in str(caught.value)


@pytest.mark.parametrize("told", [True, False])
def test_a_qemu_that_is_killed_while_it_powers_off(runtime, failing, new_spec, facilities, monkeypatch, told):
    """After the goodbye nobody waits for the agent any more. Where trouble was heard of, it is we who end QEMU."""
    spec = new_spec()
    with failing(spec) as caught, runtime.start(spec) as instance:
        pid = qemu_of(spec, facilities)

        def kill(_timeout):
            if told:
                instance._domain.note_trouble("QEMU could not write")
            else:
                os.kill(pid, signal.SIGKILL)

        monkeypatch.setattr(instance.agent, "shutdown", kill)
        instance.stop()
    reason = "QEMU could not write" if told else "the guest ended: QEMU was killed by SIGKILL"
    assert f"could not be stopped in order: {reason}" in str(caught.value)
    assert "stopped" not in instance.timeline.stamps


def test_a_qemu_that_ends_by_a_signal_has_not_powered_off(runtime, failing, new_spec, facilities, monkeypatch):
    """It tells of a shutdown then too."""
    spec = new_spec()
    with failing(spec) as caught, runtime.start(spec) as instance:
        pid = qemu_of(spec, facilities)
        monkeypatch.setattr(instance.agent, "shutdown", lambda _timeout: os.kill(pid, signal.SIGTERM))
        instance.stop()
    assert "could not be stopped in order: the guest ended: QEMU exited with status 0" in str(caught.value)


def test_a_guest_that_does_not_stop_in_time(runtime, failing, new_spec, facilities):
    spec = dataclasses.replace(new_spec(), stop_timeout=0.5)
    with failing(spec) as caught, runtime.start(spec) as instance:
        os.kill(qemu_of(spec, facilities), signal.SIGSTOP)
        instance.stop()
    said = "the agent has not said goodbye within 0.5 s; QEMU is stopped by a signal; its console is empty"
    assert f"the guest could not be stopped in order: {said}" in str(caught.value)


def test_a_qemu_that_hangs_is_not_asked_for_ever(runtime, failing, new_spec, facilities, monkeypatch):
    monkeypatch.setattr("runtimes.vm.live_domain._ANSWER_TIMEOUT", 0.5)
    spec = new_spec()
    with failing(spec) as caught, runtime.start(spec) as instance:
        os.kill(qemu_of(spec, facilities), signal.SIGSTOP)
        _ = instance.facts
    assert "QEMU did not answer query-kvm within 0.5 s" in str(caught.value)


def test_a_qemu_that_is_killed_while_its_network_is_limited(runtime, failing, new_spec, facilities, monkeypatch):
    spec, entered = new_spec(), []

    def limited(*_):
        entered.append(time.monotonic_ns())
        pid = qemu_of(spec, facilities)
        os.kill(pid, signal.SIGKILL)
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(facilities.network, "limited", limited)
    with failing(spec) as caught, runtime.start(spec):
        pytest.fail("it started")
    assert str(caught.value).endswith("did not get ready: the guest ended: QEMU was killed by SIGKILL")


def test_the_limiting_of_the_network_is_after_the_guests_start(runtime, new_spec, facilities, monkeypatch):
    entered = []
    limited = facilities.network.limited

    def noted(*arguments):
        entered.append(time.monotonic_ns())
        return limited(*arguments)

    monkeypatch.setattr(facilities.network, "limited", noted)
    with runtime.start(new_spec()) as instance:
        assert instance.timeline.stamps["resume"] <= entered[0]


def test_a_scratch_disk_that_is_not_there(failure, new_spec, monkeypatch):
    def other_disk(*arguments):
        disk = scratch_disk(*arguments)
        disk.find("serial").text = "other"
        return disk

    monkeypatch.setattr("runtimes.vm.domain.scratch_disk", other_disk)
    assert "bench-init: there is no disk with serial 'scratch'" in str(failure(new_spec()))


@pytest.mark.parametrize("order", [b"always" + b" overlay.ko" * 200 + b"\n", b"always"])
def test_an_order_of_modules_that_is_cut(failure, new_spec, tmp_path, order):
    spec, changed = new_spec(), tmp_path / "initramfs"
    # What comes later takes the place of what was there (kernel documentation, driver-api/early-userspace).
    more = write_cpio([Entry("modules/order", stat.S_IFREG | 0o644, order)])
    changed.write_bytes(spec.image.kernels["image"].initramfs.read_bytes() + more)
    error = failure(with_kernel(spec, initramfs=changed))
    assert "bench-init: a line of /modules/order is longer than 1022 bytes, or does not end" in str(error)


def test_the_failures_of_another_agent_are_its_own(runtime, facilities, new_spec):
    with open_peer(facilities, "bench-other", Limits(1, (), 64 << 20)) as other, runtime.start(new_spec()) as instance:
        with pytest.raises(AgentTimeoutError), runtime_explains(instance):
            other.spawn(Command(("sleep", "100"))).wait(0.1)
        with pytest.raises(AgentGone), runtime_explains(instance):
            other.run(Command(("/bin/busybox", "sh", "-c", "kill -9 $PPID; sleep 100")))
        assert output(instance, "echo alive") == "alive"
        with pytest.raises(InstanceError, match="'sleep' has not ended"), runtime_explains(instance):
            instance.agent.spawn(Command(("sleep", "100"))).wait(0.1)


def runtime_explains(instance):
    """What a runtime has around the use of an instance."""
    return instance._traces.explained(instance._domain, instance.agent)


def test_a_full_disk_of_the_host_under_the_guests(runtime, failing, new_spec, facilities, tmp_path):
    disk, place = tmp_path / "disk", tmp_path / "place"
    make_scratch(disk, 24 << 20)
    place.mkdir()
    with attach_loop(disk, read_only=False) as device, mounted(device, place, "ext4"):
        scratch = place / "scratch"
        with scratch.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", "-E", "nodiscard", str(scratch)], check=True)
        spec = dataclasses.replace(new_spec(), scratch=scratch)
        with failing(spec) as caught, runtime.start(spec) as instance:
            shell(instance, "dd if=/dev/zero of=/scratch/file bs=1M count=40; sync; sleep 100")
    assert f"QEMU could not read or write {scratch}: No space left on device" in str(caught.value)


def test_a_full_scratch_disk_is_the_workloads_to_tell(runtime, new_spec):
    with runtime.start(new_spec()) as instance:
        assert "No space left on device" in output(instance, "dd if=/dev/zero of=/scratch/file bs=1M 2>&1 || true")
        instance.stop()


@contextmanager
def without_room(directory):
    """Have an empty file system at ``directory`` that has no room for a file."""
    syscalls.mount("tmpfs", str(directory), "tmpfs", data="nr_inodes=1")
    try:
        yield
    finally:
        syscalls.umount(str(directory))


def test_no_room_for_sockets_and_logs(runtime, facilities, new_spec, tmp_path):
    """As where /run is full."""
    full = tmp_path / "full"
    full.mkdir()
    before = host_traces(facilities)
    with without_room(full):
        cramped = dataclasses.replace(facilities, directory=full)
        with (
            pytest.raises(OSError, match=r"No space left on device: '.*/full/vm-"),
            VmRuntime(cramped, runtime._connection, runtime._arm).start(new_spec()),
        ):
            pytest.fail("it started")
    assert host_traces(facilities) == before


def test_no_room_for_libvirt(failure, runtime, new_spec):
    """Its log is what it writes first."""
    logs = runtime._connection.log_directory
    with without_room(logs):
        error = failure(new_spec())
    assert re.search("libvirt could not start it: .*No space left on device", str(error))
