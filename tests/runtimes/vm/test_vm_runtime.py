"""The VM runtime: what every runtime does, and what only guests do."""

from __future__ import annotations

import dataclasses
import os
import secrets
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from conformance import RuntimeConformance, output, shell
from standing import looking
from start_phases import HOST, assert_phases
from traces import host_traces
from waiting import running

from runtimes.agent.client import AgentGone
from runtimes.base import GuestKernel, HostError, InstanceError, IoLimits, Limits, Timeline
from runtimes.facilities import reclaim
from runtimes.network import inside_network
from runtimes.vm.endings import Traces
from runtimes.vm.live_domain import Domain
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime
from workloads.image.initramfs import Entry, write_cpio

pytestmark = [pytest.mark.host, pytest.mark.guest]


def qemu_of(spec, facilities):
    """The pid of an instance's QEMU; threads of the kernel that KVM and vhost have for it are charged beside it."""
    pids = (facilities.cgroups.directories[0] / spec.name / "cgroup.procs").read_text().split()
    (pid,) = [pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(pid)


def with_kernel(spec, **changes):
    """The same spec with another kernel or initramfs."""
    kernel = dataclasses.replace(spec.image.kernels["image"], **changes)
    return dataclasses.replace(spec, image=dataclasses.replace(spec.image, kernels={"image": kernel}))


class TestVm(RuntimeConformance):
    shares_kernel = False
    cpus = 0.5
    """Emulated, a guest with half as much takes a quarter of a minute to start."""

    test_it_says_how_it_is_run = looking(RuntimeConformance.test_it_says_how_it_is_run)
    test_commands_run = looking(RuntimeConformance.test_commands_run)
    test_cpu_time_grows = looking(RuntimeConformance.test_cpu_time_grows)
    test_cpu_time_is_split = looking(RuntimeConformance.test_cpu_time_is_split)
    test_io_is_what_reached_the_disk = looking(RuntimeConformance.test_io_is_what_reached_the_disk)
    test_limits_are_those_of_every_arm = looking(RuntimeConformance.test_limits_are_those_of_every_arm)
    test_how_its_disk_is_cached_is_told = looking(RuntimeConformance.test_how_its_disk_is_cached_is_told)
    test_the_image_is_the_same_bytes = looking(RuntimeConformance.test_the_image_is_the_same_bytes)
    test_devices_and_kernel_file_systems_are_there = looking(
        RuntimeConformance.test_devices_and_kernel_file_systems_are_there
    )
    test_the_peer_side_reaches_it = looking(RuntimeConformance.test_the_peer_side_reaches_it)
    test_it_sees_as_many_cpus_as_it_may_use = looking(RuntimeConformance.test_it_sees_as_many_cpus_as_it_may_use)

    def test_memory_is_accounted_for(self, runtime, new_spec):
        """As for every runtime, save that a guest first uses again what its boot has touched and freed."""
        with runtime.start(new_spec(limits=Limits(cpus=1, cpuset=(), memory=512 << 20))) as instance:
            before = instance.memory()
            assert before.charged > before.parts["anon"] > 0
            assert before.pss > 0
            output(instance, "dd if=/dev/zero of=/dev/shm/held bs=1M count=224 2>&1")
            after = instance.memory()
            assert after.charged - before.charged > 96 << 20
            assert after.guest["shmem"] - before.guest["shmem"] == pytest.approx(224 << 20, rel=0.05)
            assert instance.usage().memory_peak >= after.charged - (1 << 20)

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert [name for name, _ in instance.timeline.phases()] == [*HOST, "ready"], "the guest is not asked yet"
            assert_phases(instance)
            instance.stop()
            shutdown = [name for name, _ in instance.timeline.phases("stop_requested", "stopped")]
            assert shutdown == ["goodbye", "powered_off", "exited", "stopped"]

    def test_facts_are_read_back(self, standing, facilities, accel):
        facts = standing.instance.facts
        assert facts["accel"] == accel
        assert facts["kernel"] == facilities.image.kernels["image"].release
        assert facts["machine"].startswith("pc-q35-")
        assert all(facts.values())

    def test_nothing_is_asked_of_qemu_before_facts_are_read(self, runtime, new_spec, monkeypatch):
        asked = []
        monitor = Domain.monitor
        monkeypatch.setattr(
            Domain, "monitor", lambda domain, command: asked.append(command) or monitor(domain, command)
        )
        with runtime.start(new_spec()) as instance:
            instance.memory()
            assert asked == []
            assert instance.facts is instance.facts
            assert asked[0] == "query-kvm"

    def test_another_accelerator_than_was_asked_for_fails_the_trial(self, runtime, new_spec, accel, monkeypatch):
        with runtime.start(new_spec()) as instance:
            monkeypatch.setattr(Domain, "monitor", lambda *_: {"enabled": accel == "tcg"})
            with pytest.raises(InstanceError, match=f"asked for {accel}, but QEMU runs it by"):
                _ = instance.facts

    def test_its_clock_stays_the_processors(self, standing, accel):
        source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        deadline = time.monotonic() + 20
        while (seen := output(standing.instance, f"cat {source}")) == "tsc-early" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert seen in {"tcg": {"tsc"}, "kvm": {"kvm-clock", "tsc"}}[accel]

    def test_it_sees_its_processors_and_no_others(self, runtime, new_spec):
        with runtime.start(new_spec(limits=Limits(cpus=2, cpuset=(), memory=128 << 20))) as instance:
            assert output(instance, "grep -c ^processor /proc/cpuinfo") == "2"
            assert output(instance, "nproc") == "2"

    def test_xml_and_argv_are_saved(self, runtime, new_spec, accel):
        spec = new_spec()
        with runtime.start(spec):
            pass
        assert ElementTree.parse(spec.directory / "domain.xml").findtext("name") == spec.name
        argv = (spec.directory / "qemu-argv").read_text().splitlines()
        assert {"-accel", accel} <= set(argv)
        assert "terminating on signal" in (spec.directory / "qemu.log").read_text()

    def test_all_of_qemu_is_charged(self, standing, facilities):
        reading = standing.instance.memory()
        pid = qemu_of(standing.spec, facilities)
        status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        anonymous = int(status["RssAnon"].split()[0]) * 1024
        assert reading.parts["anon"] == pytest.approx(anonymous, rel=0.05)
        assert 0 < reading.guest["total"] < standing.spec.limits.memory

    def test_the_guest_is_named_and_quiet(self, standing):
        assert output(standing.instance, "hostname") == standing.spec.name
        console = (standing.spec.directory / "console.log").read_text(errors="replace")
        assert "Linux version" not in console

    def test_a_fraction_of_a_cpu_is_one_processor_and_a_quota(self, runtime, facilities, new_spec):
        spec = new_spec(limits=Limits(cpus=0.5, cpuset=(), memory=128 << 20))
        with runtime.start(spec) as instance:
            assert output(instance, "nproc") == "1"
            before, started = instance.usage().cpu_time, time.monotonic()
            shell(instance, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done")
            spent, took = instance.usage().cpu_time - before, time.monotonic() - started
            assert spent / took < 0.65

    def test_its_clock_keeps_time_although_a_quota_held_its_start_up(self, runtime, new_spec, accel):
        spec = new_spec(limits=Limits(cpus=0.25, cpuset=(), memory=128 << 20))
        with runtime.start(spec) as instance:
            assert ("tsc_early_khz=" in instance.facts["kernel_arguments"]) == (accel == "tcg")

            def clocks():
                return float(output(instance, "cut -d' ' -f1 /proc/uptime")), time.monotonic()

            (guest, host), started = clocks(), instance.timeline.seconds("resume", "ready")
            assert instance.agent.hello.boottime / 1e9 < 1.1 * started
            time.sleep(2)
            later_guest, later_host = clocks()
            assert (later_guest - guest) / (later_host - host) == pytest.approx(1, rel=0.25)

    def test_its_scratch_disk_is_limited(self, runtime, new_spec):
        limits = Limits(cpus=1, cpuset=(), memory=128 << 20, io=IoLimits(read_bytes=4 << 20))
        with runtime.start(new_spec(limits=limits)) as instance:
            started = time.monotonic()
            output(instance, "dd if=/dev/vdb of=/dev/null bs=1M count=14 2>&1")
            given = (14 << 20) / (time.monotonic() - started)
            # QEMU lets 100 ms pass at once, and what was read to mount it need not be read again.
            assert 0.9 * (4 << 20) < given < 1.15 * (4 << 20)
            started = time.monotonic()
            output(instance, "dd if=/dev/zero of=/scratch/file bs=1M count=8 2>&1; sync")
            assert (8 << 20) / (time.monotonic() - started) > 6 << 20

    def test_a_panic_is_told_at_once(self, runtime, facilities, new_spec, tmp_path):
        before = host_traces(facilities)
        spec = with_init(new_spec(), tmp_path, "exit 7")
        started = time.monotonic()
        with pytest.raises(InstanceError, match="Kernel panic - not syncing: Attempted to kill init") as caught:
            start(runtime, spec)
        assert "the guest did not get ready: the guest ended" in str(caught.value)
        assert time.monotonic() - started < spec.start_timeout / 2
        assert host_traces(facilities) == before

    def test_an_init_that_fails_is_quoted(self, runtime, new_spec):
        spec = dataclasses.replace(new_spec(), image=dataclasses.replace(new_spec().image, rootfs=os.devnull))
        broken = new_spec().directory / "rootfs"
        broken.write_bytes(bytes(1 << 20))
        spec = dataclasses.replace(spec, image=dataclasses.replace(spec.image, rootfs=broken))
        with pytest.raises(InstanceError, match="bench-init: "):
            start(runtime, spec)

    def test_a_guest_that_never_gets_ready_is_given_up_in_time(self, runtime, facilities, new_spec, tmp_path):
        before = host_traces(facilities)
        spec = with_init(new_spec(), tmp_path, "echo stuck >/dev/console; exec /bin/busybox sleep 1000")
        spec = dataclasses.replace(spec, start_timeout=8.0)
        started = time.monotonic()
        with pytest.raises(InstanceError, match="no READY from the agent within 8 s; last on its console: stuck"):
            start(runtime, spec)
        assert 7.9 < time.monotonic() - started < new_spec().start_timeout
        assert host_traces(facilities) == before

    def test_a_qemu_that_cannot_start_is_told_at_once(self, runtime, facilities, new_spec, tmp_path):
        before = host_traces(facilities)
        spec = new_spec()
        kernel = tmp_path / "kernel"
        kernel.write_bytes(b"no kernel")
        started = time.monotonic()
        with pytest.raises(InstanceError, match="libvirt could not start it"):
            start(runtime, with_kernel(spec, bzimage=kernel))
        assert time.monotonic() - started < spec.start_timeout / 2
        assert host_traces(facilities) == before

    def test_a_qemu_that_is_killed_while_starting_is_told_at_once(self, runtime, facilities, new_spec, tmp_path):
        spec = with_init(new_spec(), tmp_path, "echo up >/dev/console; exec /bin/busybox sleep 1000")
        processes = facilities.cgroups.directories[0] / spec.name / "cgroup.procs"
        poll = f"until [ -s {spec.directory}/console.log ]; do sleep 0.05; done; kill -9 $(cat {processes})"
        started = time.monotonic()
        with running(["sh", "-c", poll]) as killer:
            with pytest.raises(InstanceError, match="QEMU was killed by SIGKILL"):
                start(runtime, spec)
            assert time.monotonic() - started < spec.start_timeout / 2
            assert killer.wait(10) == 0

    def test_a_guest_that_powers_off_by_itself_is_gone(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            with pytest.raises(AgentGone):
                shell(instance, "poweroff -f; sleep 10")
            with pytest.raises(InstanceError):
                instance.stop()

    def test_scratch_without_direct_io_is_refused(self, runtime, new_spec, monkeypatch):
        real = os.open

        def refuse(path, flags, *rest, **more):
            if flags & os.O_DIRECT:
                raise OSError(22, "Invalid argument", path)
            return real(path, flags, *rest, **more)

        monkeypatch.setattr("runtimes.storage.os.open", refuse)
        with pytest.raises(HostError, match=r"with direct I/O: Invalid argument; set BENCH_SCRATCH"):
            start(runtime, new_spec())


def connection_from(peer, address):
    with inside_network(peer.fd):
        return socket.create_connection((address, 7), timeout=30)


def start(runtime, spec):
    with runtime.start(spec):
        pytest.fail("it started")


def with_init(spec, tmp_path, script):
    """The same instance with another program as the guest's first."""
    initramfs = tmp_path / f"initramfs-{spec.name}"
    busybox = Path("/bin/busybox").read_bytes()
    initramfs.write_bytes(
        write_cpio(
            [
                *(Entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "dev")),
                Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
                Entry("bin/busybox", stat.S_IFREG | 0o755, busybox),
                Entry("init", stat.S_IFREG | 0o755, f"#!/bin/busybox sh\n{script}\n".encode()),
            ]
        )
    )
    return with_kernel(spec, initramfs=initramfs)


def test_there_is_one_deadline_for_all_of_a_start(new_spec):
    ours, theirs = socket.socketpair()
    given = []
    spec = new_spec()

    class LateProcess:
        pid = None
        exited = threading.Event()

        def take_channel(self, timeout):
            time.sleep(0.6)
            given.append(timeout)
            return ours

        def kill(self):
            pass

    traces = Traces(
        spec, LateProcess(), SimpleNamespace(console=spec.directory / "console.log", waits=False), spec.directory
    )
    started = time.monotonic()
    with (
        theirs,
        pytest.raises(InstanceError, match="did not get ready"),
        VmRuntime(None, None, None)._connected(traces, SimpleNamespace(trouble=None), started + 1, Timeline()),
    ):
        pass
    # Not 0.6 s and then the whole time once more.
    assert time.monotonic() - started >= 1
    assert 0 < given[0] <= 1


def test_without_a_kernel_the_host_is_told(facilities, tmp_path):
    missing = GuestKernel("0", tmp_path / "missing", None, tmp_path / "missing")
    image = dataclasses.replace(facilities.image, kernels={"image": missing})
    with (
        pytest.raises(HostError, match="bench image build"),
        VmRuntime.open(dataclasses.replace(facilities, image=image), VmOptions(accel="tcg")),
    ):
        pass


HARNESS = """
import sys, time
from pathlib import Path
from runtimes.base import GuestKernel, Image, InstanceSpec, IoLimits, Limits, NetLimits
from runtimes.facilities import open_facilities
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

run, accel, rootfs, kernel, initramfs, directory = sys.argv[1:]
image = Image("id", Path(rootfs), {"image": GuestKernel("0", Path(kernel), None, Path(initramfs))})
limits = Limits(0.5, (), 128 << 20, io=IoLimits(write_ops=100), net=NetLimits(10**7, 10**7))
spec = InstanceSpec("bench-victim", image, limits, None, Path(directory))
with open_facilities(run, image) as facilities, VmRuntime.open(facilities, VmOptions(accel=accel)) as runtime:
    with runtime.start(spec):
        pids = (facilities.cgroups.directories[0] / spec.name / "cgroup.procs").read_text().split()
        print(*(pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes()), flush=True)
        time.sleep(100)
"""


def interfaces():
    return {line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]}


def test_a_killed_harness_takes_its_guests_along_and_what_limits_them(guest_image, accel, tmp_path):
    before = interfaces()
    run = f"bench-{secrets.token_hex(4)}"
    kernel = guest_image.kernels["image"]
    argv = [sys.executable, "-c", HARNESS, run, accel, guest_image.rootfs, kernel.bzimage, kernel.initramfs, tmp_path]
    with running(argv, stdout=subprocess.PIPE, text=True) as harness:
        fd = os.pidfd_open(int(harness.stdout.readline()))
        harness.send_signal(signal.SIGKILL)
    try:
        assert select.select([fd], [], [], 10)[0], "QEMU outlived the harness"
    finally:
        os.close(fd)
    reclaim()
    # Where ifb is a module, it comes with two of its own.
    assert interfaces() - before <= {"ifb0", "ifb1"}
    assert not Path("/run", run).exists()
    assert not Path(f"/run/bench-libvirt-{harness.pid}").exists()
