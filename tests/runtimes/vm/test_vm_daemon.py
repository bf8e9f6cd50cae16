"""Guests that a libvirt daemon starts: a daemon of root's with cgroups of its own, and one that leaves them to us."""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import libvirt_daemon
import psutil
import pytest
from conformance import RuntimeConformance, SeamConformance, assert_reachable, output, shell
from libvirt_daemon import CONFIGURATION, OWN_CGROUPS, LibvirtDaemon
from standing import looking
from traces import host_traces, runs
from waiting import eventually, running

from runtimes.agent.client import AgentGone
from runtimes.base import HostError, InstanceError, Limits
from runtimes.facilities import reclaim
from runtimes.vm.daemon import open_daemon
from runtimes.vm.embedded import open_embedded
from runtimes.vm.emulator import build_emulator, find_qemu
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

pytestmark = [
    pytest.mark.host,
    pytest.mark.guest,
    pytest.mark.skipif(not libvirt_daemon.can_be_had(), reason="needs libvirtd, and root"),
]


def options(daemon, **more):
    return VmOptions(accel="tcg", connect=daemon.uri, **more)


def qemu(instance):
    """The pid of an instance's QEMU."""
    return instance._process.pid


@pytest.fixture(scope="module")
def lenient_runtime(facilities):
    with LibvirtDaemon(CONFIGURATION + OWN_CGROUPS) as daemon, VmRuntime.open(facilities, options(daemon)) as opened:
        yield opened
        assert daemon.domains() == []


@pytest.mark.slow
class TestWithOurCgroups(SeamConformance):
    """A daemon that makes no cgroups is as good as none."""

    reachable = True
    test_it_says_how_it_is_run = looking(SeamConformance.test_it_says_how_it_is_run)
    test_commands_run = looking(SeamConformance.test_commands_run)
    test_cpu_time_grows = looking(SeamConformance.test_cpu_time_grows)
    test_the_peer_side_reaches_it = looking(RuntimeConformance.test_the_peer_side_reaches_it)
    test_nothing_is_left = RuntimeConformance.test_nothing_is_left
    test_a_killed_agent_is_noticed = RuntimeConformance.test_a_killed_agent_is_noticed_and_leaves_nothing
    test_a_failed_start_leaves_nothing = RuntimeConformance.test_a_failed_start_leaves_nothing

    @pytest.fixture
    def runtime(self, lenient_runtime):
        return lenient_runtime

    @pytest.fixture(scope="class")
    @classmethod
    def standing(cls, stand, lenient_runtime, facilities):
        with stand(lenient_runtime, facilities) as one:
            yield one

    def test_its_scratch_disk_is_there(self, standing):
        assert output(standing.instance, "ls /scratch") == "lost+found"
        assert output(standing.instance, "echo kept > /scratch/file; sync; cat /scratch/file") == "kept"

    def test_memory_is_accounted_for(self, standing):
        reading = standing.instance.memory()
        assert reading.charged > reading.parts["anon"] > 0
        assert reading.pss > 64 << 20

    def test_it_is_in_the_cgroup_that_we_made(self, standing, facilities):
        processes = facilities.cgroups.directories[0] / standing.spec.name / "cgroup.procs"
        assert qemu(standing.instance) in map(int, processes.read_text().split())


@pytest.fixture(scope="module")
def daemon():
    with LibvirtDaemon() as started:
        yield started


@pytest.fixture
def runtime(daemon, facilities):
    with VmRuntime.open(facilities, options(daemon)) as opened:
        yield opened
        assert daemon.domains() == []


def test_figures_are_those_of_the_cgroup_that_libvirt_made(runtime, facilities, new_spec):
    spec = new_spec()
    with runtime.start(spec) as instance:
        assert not (facilities.cgroups.directories[0] / spec.name).exists()
        assert spec.name in Path(f"/proc/{qemu(instance)}/cgroup").read_text().replace(r"\x2d", "-")
        reading, before = instance.memory(), instance.usage()
        status = Path(f"/proc/{qemu(instance)}/status").read_text()
        resident = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("RssAnon"))
        assert reading.parts["anon"] == pytest.approx(resident, rel=0.1)
        assert reading.pss > resident
        assert before.memory_peak >= reading.parts["anon"]
        shell(instance, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done")
        spent = psutil.Process(qemu(instance)).cpu_times()
        after = instance.usage().cpu_time
        assert after > before.cpu_time + 0.1
        assert after == pytest.approx(spent.user + spent.system, abs=0.2)
        instance.stop()
        names = [name for name, _ in instance.timeline.phases("stop_requested", "stopped")]
        assert names[-2:] == ["exited", "stopped"]


def test_libvirt_gives_the_limits_of_cpus(runtime, new_spec):
    with runtime.start(new_spec(limits=Limits(cpus=0.5, cpuset=(), memory=128 << 20))) as instance:
        assert output(instance, "nproc") == "1"
        highest = max(os.sched_getaffinity(0))
        for task in Path(f"/proc/{qemu(instance)}/task").iterdir():
            assert os.sched_getaffinity(int(task.name)) == {highest}
        before, began = instance.usage(), time.monotonic()
        shell(instance, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done")
        spent = instance.usage().cpu_time - before.cpu_time
        assert spent / (time.monotonic() - began) < 0.65


def test_a_weight_is_given(daemon, runtime, new_spec):
    spec = new_spec(limits=Limits(cpus=1, cpuset=(), memory=128 << 20, cpu_weight=200))
    with runtime.start(spec):
        told = subprocess.run(
            ["virsh", "-c", daemon.uri, "schedinfo", spec.name], capture_output=True, text=True, check=True
        )
        shares = next(line.split()[-1] for line in told.stdout.splitlines() if line.startswith("cpu_shares"))
        assert shares in {"200", "2048"}  # of version 2, and of version 1


@pytest.mark.parametrize(
    ("machine", "devices", "driver"),
    [("q35", "virtio", "virtio_net"), ("q35", "emulated", "e1000"), ("pc", "emulated", "e1000")],
)
def test_a_handed_interface_is_the_one_that_was_asked_for(daemon, facilities, new_spec, machine, devices, driver):
    """libvirt cannot be told of it, so that nobody but us has it made rightly, for either machine and either model."""
    with (
        VmRuntime.open(facilities, options(daemon, machine=machine, devices=devices)) as opened,
        opened.start(new_spec()) as instance,
    ):
        assert instance.facts["machine"].startswith({"q35": "pc-q35-", "pc": "pc-i440fx-"}[machine])
        assert instance.facts["network_model"] == {"virtio": "virtio", "emulated": "e1000"}[devices]
        device = output(instance, "readlink -f /sys/class/net/eth0/device/driver")
        assert device.rpartition("/")[2] == driver
        assert_reachable(facilities, instance.address)
        # Only now: an e1000 negotiates its link for half a second, and what is sent to it meanwhile is sent again.
        assert output(instance, "cat /sys/class/net/eth0/carrier") == "1"


def test_a_killed_qemu_is_told_at_once_and_leaves_nothing(daemon, runtime, facilities, new_spec):
    before = host_traces(facilities)
    with runtime.start(new_spec()) as instance:
        began = time.monotonic()
        os.kill(qemu(instance), signal.SIGKILL)
        with pytest.raises(AgentGone):
            shell(instance, "sleep 100")
        assert instance._domain.stopped.wait(10)
        assert time.monotonic() - began < 10
    assert host_traces(facilities) == before
    assert daemon.domains() == []


def test_a_daemon_that_dies_fails_the_trial_at_once_and_the_next_goes_on(facilities, new_spec):
    with LibvirtDaemon() as daemon, VmRuntime.open(facilities, options(daemon)) as runtime:
        before = host_traces(facilities)
        began = None
        with (
            pytest.raises(InstanceError, match=r"connection to libvirt at .* was lost: the daemon ended"),
            runtime.start(new_spec()) as instance,
        ):
            pid = qemu(instance)
            began = time.monotonic()
            daemon.kill()
            shell(instance, "sleep 100", timeout=100)
        assert time.monotonic() - began < 20
        assert not runs(pid)
        assert host_traces(facilities)["cgroups"] == before["cgroups"]
        with pytest.raises(InstanceError, match=r"was lost.*cannot be had again"), runtime.start(new_spec()):
            pass
        daemon.start()
        with runtime.start(new_spec()) as instance:
            assert output(instance, "echo alive") == "alive"
            instance.stop()
        # libvirt keeps an eventfd of a connection that was lost.
        assert {**host_traces(facilities), "descriptors": 0} == {**before, "descriptors": 0}
        assert daemon.domains() == []


def test_a_daemon_that_hangs_is_noticed(facilities, new_spec, monkeypatch):
    monkeypatch.setattr("runtimes.vm.connection._KEEPALIVE", (1, 2))
    with LibvirtDaemon() as daemon, VmRuntime.open(facilities, options(daemon)) as runtime:
        with (
            pytest.raises(InstanceError, match="no longer answers"),
            runtime.start(new_spec()) as instance,
        ):
            pid = qemu(instance)
            os.kill(daemon.pid, signal.SIGSTOP)
            try:
                shell(instance, "sleep 100", timeout=100)
            finally:
                os.kill(daemon.pid, signal.SIGCONT)
        assert not runs(pid)


def test_a_daemon_that_still_hangs_lets_the_next_trial_fail_in_time(facilities, new_spec, monkeypatch):
    monkeypatch.setattr("runtimes.vm.connection._KEEPALIVE", (1, 2))
    monkeypatch.setattr("runtimes.vm.daemon._ANSWER_PATIENCE", 1.0)
    with LibvirtDaemon() as daemon, VmRuntime.open(facilities, options(daemon)) as runtime:
        before = threading.active_count()
        try:
            with pytest.raises(InstanceError, match="no longer answers"), runtime.start(new_spec()) as instance:
                os.kill(daemon.pid, signal.SIGSTOP)
                shell(instance, "sleep 100", timeout=100)
            began = time.monotonic()
            with (
                pytest.raises(InstanceError, match=r"cannot be had again: .*has not answered within 1 s"),
                runtime.start(new_spec()),
            ):
                pytest.fail("it started")
            assert time.monotonic() - began < 10
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        assert eventually(lambda: threading.active_count() == before, 10), "who asked is let go"


def test_it_is_the_daemon_also_where_the_embedded_driver_is_in_use(daemon):
    with open_embedded(build_emulator(find_qemu())) as ours, open_daemon(daemon.uri.replace("+unix", "")) as other:
        assert ours.daemon is None
        assert other.daemon == daemon.uri


FAKE_SSH = """\
#!/bin/sh
# What ssh does with the host that the daemon is on: a shell there reads what stands behind the host's name.
while [ "$1" != -- ]; do shift; done
shift 2
readlink /proc/self/ns/net > {seen}
exec nsenter --target {pid} --mount sh -c "$*"
"""


def test_by_ssh_to_this_host(daemon, facilities, new_spec, tmp_path):
    ssh = tmp_path / "ssh"
    ssh.write_text(FAKE_SSH.format(pid=daemon.pid, seen=tmp_path / "network"))
    ssh.chmod(0o755)
    uri = f"qemu+ssh://root@localhost/system?command={ssh}&proxy=native"
    with (
        VmRuntime.open(facilities, VmOptions(accel="tcg", connect=uri)) as opened,
        opened.start(new_spec()) as instance,
    ):
        # The run is in a network namespace of its own, from which nobody is reached.
        host, run = (os.readlink(f"/proc/{pid}/ns/net") for pid in (daemon.pid, "thread-self"))  # noqa: PTH115
        assert (tmp_path / "network").read_text().strip() == host != run
        assert output(instance, "echo alive") == "alive"
        assert instance.memory().pss > 64 << 20
        instance.stop()
    assert daemon.domains() == []


def test_no_daemon_is_told_with_a_remedy(facilities, tmp_path):
    uri = f"qemu+unix:///system?socket={tmp_path}/nothing"
    with (
        pytest.raises(HostError, match=rf"cannot connect to {uri.replace('+', '.').replace('?', '.')}.*virsh"),
        VmRuntime.open(facilities, VmOptions(accel="tcg", connect=uri)),
    ):
        pass


def test_a_daemon_of_another_host_is_refused(daemon, facilities, monkeypatch):
    monkeypatch.setattr("runtimes.vm.daemon.socket.gethostname", lambda: "elsewhere")
    with (
        pytest.raises(HostError, match=r"is on the host .*, and this is elsewhere: .* run bench on"),
        VmRuntime.open(facilities, options(daemon)),
    ):
        pass


HARNESS = """
import sys, time
from pathlib import Path
from runtimes.base import GuestKernel, Image, InstanceSpec, Limits
from runtimes.facilities import open_facilities
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

run, rootfs, kernel, initramfs, directory, uri = sys.argv[1:]
image = Image("id", Path(rootfs), {"image": GuestKernel("0", Path(kernel), None, Path(initramfs))})
spec = InstanceSpec("bench-victim", image, Limits(1, (), 128 << 20), None, Path(directory))
options = VmOptions(accel="tcg", connect=uri)
with open_facilities(run, image) as facilities, VmRuntime.open(facilities, options) as runtime:
    with runtime.start(spec) as instance:
        print(instance._process.pid, flush=True)
        time.sleep(100)
"""


def test_a_killed_harness_takes_its_guests_along(daemon, guest_image, tmp_path):
    run = f"bench-{secrets.token_hex(4)}"
    kernel = guest_image.kernels["image"]
    files = (guest_image.rootfs, kernel.bzimage, kernel.initramfs)
    argv = [sys.executable, "-c", HARNESS, run, *files, tmp_path, daemon.uri]
    with running(argv, stdout=subprocess.PIPE, text=True) as harness:
        fd = os.pidfd_open(int(harness.stdout.readline()))
        harness.send_signal(signal.SIGKILL)
    try:
        assert select.select([fd], [], [], 20)[0], "QEMU outlived the harness"
    finally:
        os.close(fd)
    deadline = time.monotonic() + 10
    while daemon.domains() and time.monotonic() < deadline:
        pass
    assert daemon.domains() == []
    reclaim()
    assert not Path("/run", run).exists()
