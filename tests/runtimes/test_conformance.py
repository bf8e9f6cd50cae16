"""The native and the container runtime, and what only they do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conformance import RuntimeConformance, output, shell

from runtimes.container.runtime import ContainerOptions, ContainerRuntime
from runtimes.native import NativeOptions, NativeRuntime


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
            assert set(dict(instance.timeline.phases())) == {"clone", "join", "exec", "ready"}


class ContainerConformance(RuntimeConformance):
    def test_every_namespace_is_its_own(self, runtime, new_spec):
        kinds = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
        with runtime.start(new_spec()) as instance:
            for kind in kinds:
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
            settings = (Path("/proc", name) for name in ("bus", "irq", "sys", "sysrq-trigger"))
            protected = [str(path) for path in settings if path.exists()]
            assert sorted(mounts) == sorted(
                ["/", "/proc", "/sys", "/tmp", "/run", "/dev", "/dev/pts", "/dev/shm", "/scratch", *protected]
            )

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


class TestContainer(ContainerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with ContainerRuntime.open(facilities, ContainerOptions()) as opened:
            yield opened

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["network", "cgroup", "clone", "join", "mounts", "pivot", "exec", "ready"]

    def test_it_has_an_interface_with_its_address(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            interfaces = output(instance, "sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev").split()
            assert sorted(interfaces) == ["eth0", "lo"]
            assert f"{instance.address}/16" in output(instance, "ip -4 addr show eth0")


class TestContainerWithoutNetwork(ContainerConformance):
    reachable = False

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


def _bounding_set():
    status = Path("/proc/self/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
