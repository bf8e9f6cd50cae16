"""The native and the container runtime, and what only they do."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
from pathlib import Path

import pytest
from conformance import RuntimeConformance, SeamConformance, agent_on_host, output, processes_of, shell

from runtimes.agent.client import Command
from runtimes.bare import BareOptions, BareRuntime
from runtimes.base import HostError, Limits, NetLimits
from runtimes.container.options import ContainerOptions
from runtimes.container.runtime import ContainerRuntime
from runtimes.native import NativeOptions, NativeRuntime
from runtimes.network import inside_network


class TestNative(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with NativeRuntime.open(facilities, NativeOptions()) as opened:
            yield opened

    def test_it_is_on_the_bare_host(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert output(instance, "hostname") == os.uname().nodename
            assert output(instance, "readlink /proc/self/ns/pid") == str(Path("/proc/self/ns/pid").readlink())
            assert output(instance, "sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status") == _bounding_set()

    def test_its_root_is_not_on_the_clock(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert [name for name, _ in instance.timeline.phases()] == ["clone", "join", "exec", "ready"]


class TestBare(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with BareRuntime.open(facilities, BareOptions()) as opened:
            yield opened

    def test_there_is_nothing_of_ours_in_its_start(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert [name for name, _ in instance.timeline.phases()] == ["ready"]

    def test_who_executed_it_is_not_left_in_its_cgroup(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec):
            assert os.getpid() not in processes_of(facilities, spec)

    def test_its_cpu_time_is_its_own(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert 0 < instance.usage().cpu_time < 0.05


class NamespacesConformance:
    """What every container with namespaces of its own does."""

    def test_every_namespace_is_its_own(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
                assert output(instance, f"readlink /proc/self/ns/{kind}") != str(
                    Path(f"/proc/thread-self/ns/{kind}").readlink()
                )

    def test_it_sees_itself_alone(self, runtime, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            assert output(instance, "hostname") == spec.name
            assert output(instance, "readlink /proc/1/exe") == "/usr/lib/bench/agent"
            assert output(instance, "cut -d: -f3 /proc/1/cgroup | sort -u") == "/"
            mounts = output(instance, "cut -d' ' -f2 /proc/mounts").splitlines()
            own = {"/", "/proc", "/sys", "/tmp", "/run", "/dev", "/dev/pts", "/dev/shm", "/scratch"}
            assert own <= set(mounts)
            assert len(set(mounts)) == len(mounts)
            assert all(path in own or path.startswith(("/proc/", "/sys/")) for path in mounts)
            assert not output(instance, "ls /sys/firmware; cat /proc/keys /proc/timer_list")

    def test_it_cannot_set_the_hosts_kernel(self, runtime, new_spec):
        before = Path("/proc/sys/kernel/core_pattern").read_text()
        with runtime.start(new_spec()) as instance:
            pattern = "/proc/sys/kernel/core_pattern"
            # Values that would do no harm; not every kernel has the trigger.
            for file, value in ((pattern, before.strip()), ("/proc/sysrq-trigger", "h")):
                completed = shell(instance, f"test ! -e {file} || echo '{value}' > {file}")
                assert completed.ok != Path(file).exists()
                assert (b"Read-only file system" in completed.stderr) == Path(file).exists()
            assert not shell(instance, "mount -o remount,bind,rw /proc/sys").ok
            assert output(instance, f"cat {pattern}") == before.strip()

    def test_it_cannot_gain_privileges(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            status = output(instance, "cat /proc/self/status")
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert fields["NoNewPrivs"] == "1"
            effective = int(fields["CapEff"], 16)
            for forbidden in (12, 16, 17, 19, 21, 22, 25):  # net_admin, sys_module, rawio, ptrace, admin, boot, time
                assert not effective >> forbidden & 1
            assert effective >> 0 & 1  # chown
            assert output(
                instance, "mount -t tmpfs none /mnt 2>/dev/null || mount -t tmpfs none /tmp 2>&1 || echo no"
            ).endswith("no")


class TestContainer(NamespacesConformance, RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with ContainerRuntime.open(facilities, ContainerOptions()) as opened:
            yield opened

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["cgroup", "network", "clone", "join", "mounts", "pivot", "hardening", "exec", "ready"]

    def test_it_has_an_interface_with_its_address(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            interfaces = output(instance, "sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev").split()
            assert sorted(interfaces) == ["eth0", "lo"]
            assert f"{instance.address}/16" in output(instance, "ip -4 addr show eth0")


class TestContainerInAUserNamespace(NamespacesConformance, RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with ContainerRuntime.open(facilities, ContainerOptions(user_namespace=True)) as opened:
            yield opened

    def test_root_inside_is_an_ordinary_user_outside(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            assert output(instance, "id -u; id -g; id -G").split() == ["0", "0", "0"]
            status = Path(f"/proc/{agent_on_host(facilities, spec)}/status").read_text()
            (outside,) = {line for line in status.splitlines() if line.startswith("Uid:")}
            assert len(set(outside.split()[1:])) == 1
            assert int(outside.split()[1]) > 1 << 16
            assert output(instance, "readlink /proc/self/ns/user") != str(Path("/proc/self/ns/user").readlink())

    def test_files_have_the_owners_that_the_image_gives_them(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            owners = "stat -c %u:%g /etc /tmp /dev/shm /scratch /usr/bin/* | sort -u"
            assert output(instance, owners) == "0:0"
            made = "echo x > /etc/x; chown 33:33 /etc/x; echo x > /scratch/x; stat -c %u /etc/x /scratch/x"
            assert output(instance, made).split() == ["33", "0"]

    def test_two_have_namespaces_of_their_own(self, runtime, new_spec):
        with runtime.start(new_spec()) as one, runtime.start(new_spec()) as other:
            assert output(one, "readlink /proc/self/ns/user") != output(other, "readlink /proc/self/ns/user")


@pytest.mark.host
class TestContainerWithoutNetwork(NamespacesConformance, SeamConformance):
    """What a network of its own takes part in; the rest is as with a bridge."""

    reachable = False
    test_the_peer_side_reaches_it = RuntimeConformance.test_the_peer_side_reaches_it
    test_several_start_at_once = RuntimeConformance.test_several_start_at_once
    test_nothing_is_left = RuntimeConformance.test_nothing_is_left
    test_an_exception_inside_leaves_nothing = RuntimeConformance.test_an_exception_inside_leaves_nothing
    test_a_killed_agent_is_noticed = RuntimeConformance.test_a_killed_agent_is_noticed_and_leaves_nothing
    test_a_failed_start_leaves_nothing = RuntimeConformance.test_a_failed_start_leaves_nothing

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with ContainerRuntime.open(facilities, ContainerOptions(network="none")) as opened:
            yield opened

    def test_it_has_the_loopback_only(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert "UP" in output(instance, "ip link show lo")
            interfaces = output(instance, "sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev").split()
            assert interfaces == ["lo"]


@pytest.mark.host
class TestContainerBehindTranslation:
    """What another network changes; the rest is as with a bridge."""

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with ContainerRuntime.open(facilities, ContainerOptions(network="nat")) as opened:
            yield opened

    def test_its_own_address_is_not_that_by_which_it_is_reached(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            inside = output(instance, "ip -4 addr show eth0")
            assert instance.address not in inside
            assert instance.address.split(".")[2:] == re.search(r"inet ([0-9.]+)/16", inside)[1].split(".")[2:]

    def test_the_world_sees_the_address_by_which_it_is_reached(self, runtime, facilities, new_spec):
        with runtime.start(new_spec()) as instance, facilities.network.make_namespace(routed=True) as world:
            with inside_network(world.fd):
                server = socket.create_server((world.address, 7))
            with server:
                server.settimeout(20)
                process = instance.agent.spawn(Command(("/bin/sh", "-c", f"nc {world.address} 7 </dev/null")))
                accepted, (source, _) = server.accept()
                accepted.close()
                assert process.wait(20).ok
        assert source == instance.address

    def test_it_and_another_are_reached_from_the_world(self, runtime, facilities, new_spec):
        with (
            runtime.start(new_spec()) as one,
            runtime.start(new_spec()) as other,
            facilities.network.make_namespace(routed=True) as world,
        ):
            assert one.address != other.address
            for instance in (one, other):
                with inside_network(world.fd):
                    client = socket.socket()
                # The kernel of the instance refuses for itself: nobody listens there.
                with client, pytest.raises(ConnectionRefusedError):
                    client.settimeout(10)
                    client.connect((instance.address, 9))

    def test_it_can_be_limited(self, runtime, new_spec):
        spec = new_spec(limits=Limits(1, (), 64 << 20, net=NetLimits(ingress=10**7)))
        assert "tbf" not in _queues()
        with runtime.start(spec):
            assert "qdisc tbf" in _queues()
            assert "rate 10Mbit" in _queues()
        assert "tbf" not in _queues()


@pytest.mark.host
class TestContainerInTheHostsNetwork:
    """Likewise."""

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with ContainerRuntime.open(facilities, ContainerOptions(network="host")) as opened:
            yield opened

    def test_it_is_where_native_instances_are(self, runtime, facilities, new_spec):
        with runtime.start(new_spec()) as instance:
            for kind in ("mnt", "pid", "ipc", "uts", "cgroup"):
                own = str(Path(f"/proc/thread-self/ns/{kind}").readlink())
                assert output(instance, f"readlink /proc/self/ns/{kind}") != own
            assert output(instance, "readlink /proc/self/ns/net") == str(Path("/proc/thread-self/ns/net").readlink())
            assert instance.address == facilities.network.gateway

    def test_it_has_no_link_that_could_be_limited(self):
        limits = Limits(1, (), 64 << 20, net=NetLimits(ingress=10**6))
        with pytest.raises(HostError, match="network: host has no link"):
            ContainerRuntime.check(ContainerOptions(network="host"), limits)


@pytest.mark.host
class TestContainerInATimeNamespace(NamespacesConformance, SeamConformance):
    """What clocks of its own take part in."""

    test_scratch_is_an_empty_disk_every_time = RuntimeConformance.test_scratch_is_an_empty_disk_every_time
    test_nothing_is_left = RuntimeConformance.test_nothing_is_left
    test_a_killed_agent_is_noticed = RuntimeConformance.test_a_killed_agent_is_noticed_and_leaves_nothing
    test_a_failed_start_leaves_nothing = RuntimeConformance.test_a_failed_start_leaves_nothing

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with ContainerRuntime.open(facilities, ContainerOptions(time_namespace=True)) as opened:
            yield opened

    def test_the_machine_has_started_with_it(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert float(output(instance, "cut -d' ' -f1 /proc/uptime")) < 60 < _uptime()
            assert output(instance, "readlink /proc/self/ns/time") != str(Path("/proc/self/ns/time").readlink())


@pytest.mark.host
@pytest.mark.parametrize("user_namespace", [False, True])
def test_what_a_container_writes_may_be_in_its_layer(facilities, new_spec, user_namespace):
    spec, pattern = new_spec(), secrets.token_hex(32)
    options = ContainerOptions(network="none", scratch="layer", user_namespace=user_namespace)
    with ContainerRuntime.open(facilities, options) as runtime, runtime.start(spec) as instance:
        assert output(instance, "ls /scratch") == ""
        assert " /scratch " not in output(instance, "cat /proc/mounts")
        for place in ("/scratch/file", "/root/file"):
            output(instance, f"yes {pattern} | head -c 1048576 > {place}")
        instance.stop()
        assert spec.scratch.read_bytes().count(pattern.encode()) > 30_000


def _queues():
    """How packets wait at the links of the run's network namespace."""
    return subprocess.run(["tc", "qdisc", "show"], check=True, capture_output=True, text=True).stdout


def _uptime():
    return float(Path("/proc/uptime").read_text().split()[0])


_NODES = "mknod /root/loop c 10 237 2>/dev/null && head -c 0 /root/loop 2>/dev/null && echo open || echo closed"
"""Make a node of the host's loop-control, and open it."""

HARDENED = {
    "no_new_privileges": ("grep NoNewPrivs /proc/self/status; grep ' / ' /proc/mounts", r"1\n.*nosuid", r"0\n"),
    "capabilities": ("grep CapBnd /proc/self/status", "00000000a80425fb", "^CapBnd:\\s(?!00000000a80425fb)"),
    "seccomp": ("grep Seccomp: /proc/self/status", "2$", "0$"),
    "masked_paths": ("cat /proc/timer_list | wc -l; echo h 2>&1 > /proc/sys/kernel/core_pattern", "^0", "^[1-9]"),
    "device_filter": (f"{_NODES}; mknod /tmp/full c 1 7 && echo made", "^closed\nmade$", "^open\nmade$"),
}
"""By switch, what to run in an instance, what it says, and what it says if the switch is off."""


@pytest.mark.host
@pytest.mark.parametrize("switch", HARDENED)
@pytest.mark.parametrize("on", [True, False])
def test_each_part_of_the_hardening_can_be_switched_off(facilities, new_spec, switch, on):
    script, expected, expected_without = HARDENED[switch]
    options = ContainerOptions(network="none", **{switch: on})
    with ContainerRuntime.open(facilities, options) as runtime, runtime.start(new_spec(scratch=False)) as instance:
        said = shell(instance, script).stdout.decode()
        assert re.search(expected if on else expected_without, said, re.MULTILINE), said


def _bounding_set():
    status = Path("/proc/self/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
