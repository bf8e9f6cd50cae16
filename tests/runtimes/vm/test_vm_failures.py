"""Guests that do not boot, die or hang: each fails with a reason in one line, in time, and leaves nothing."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
from broken import foreign_elf, image_with_agent
from conformance import output, shell
from traces import host_traces

from runtimes import syscalls
from runtimes.agent.client import Command
from runtimes.base import InstanceError
from runtimes.storage import attach_loop, make_scratch, mounted
from runtimes.vm.runtime import VmRuntime

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
    with subprocess.Popen(["sh", "-c", script]):
        error = failure(spec)
    assert re.search(r"QEMU did not answer within 3 s|no READY from the agent within 3 s", str(error))


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
