"""Docker, with a daemon of the run's own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from conformance import RuntimeConformance, assert_reachable, output
from traces import host_traces

from runtimes.base import HostError, InstanceError, IoLimits, Limits, NetLimits
from runtimes.docker import DockerOptions, DockerRuntime

_ITS_USUAL_PLACES = [
    Path(path)
    for path in (
        "/run/containerd",
        "/run/docker",
        "/run/docker.sock",
        "/opt/containerd",
        "/etc/docker/key.json",
        "/var/lib/docker",
        "/var/lib/containerd",
    )
]
_MIB = 1 << 20


@pytest.fixture(scope="module")
def runtime(facilities):
    with DockerRuntime.open(facilities, DockerOptions()) as opened:
        yield opened


def inspected(runtime, name):
    return runtime._daemon.api.ask("GET", f"/containers/{name}/json")


class TestDocker(RuntimeConformance):
    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["create", "daemon", "shim", "container", "runtime", "ready"]

    def test_limits_are_given_to_docker(self, runtime, new_spec):
        io = IoLimits(read_bytes=4 * _MIB, write_bytes=5 * _MIB, read_ops=60, write_ops=70)
        spec = new_spec()
        limits = replace(spec.limits, cpus=0.5, cpu_weight=200, pids=50, io=io)
        with runtime.start(replace(spec, limits=limits)) as instance:
            told = inspected(runtime, spec.name)["HostConfig"]
            assert (told["Memory"], told["PidsLimit"]) == (limits.memory, 50)
            assert told["CpuQuota"] / told["CpuPeriod"] == 0.5
            rates = [told[f"BlkioDevice{name}"] for name in ("ReadBps", "WriteBps", "ReadIOps", "WriteIOps")]
            assert [rate["Rate"] for (rate,) in rates] == [4 * _MIB, 5 * _MIB, 60, 70]
            assert instance.facts["cgroup_memory_limit"] == str(limits.memory)
            assert instance.facts["cgroup_cpu_quota"] == "0.5"

    def test_the_daemon_is_on_the_cpus_of_its_instances(self, runtime, facilities, new_spec):
        available = facilities.cgroups.cpus()
        for cpu in {available[0], available[-1]}:
            spec = new_spec(scratch=False)
            with runtime.start(replace(spec, limits=replace(spec.limits, cpus=1, cpuset=(cpu,)))):
                tree = runtime._daemon.tree
                beside = set(tree.whole.pids()) - set(tree.instances.pids())
                names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in beside}
                assert {"dockerd", "containerd", "containerd-shim"} <= names
                assert [os.sched_getaffinity(pid) for pid in beside] == [{cpu}] * len(beside)

    def test_what_looks_after_it_is_accounted_for(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            memory, usage = instance.memory(), instance.usage()
            assert memory.helpers["shim"] > _MIB
            assert memory.helpers["daemon"] > _MIB // 4, "the kernel's memory for the shim, at least"
            assert memory.helpers["daemon"] < int(instance.facts["daemon_memory"])
            inside = instance._container.cgroup.cpu().total
            assert usage.cpu_time > inside + 0.02, "the daemon, the shim and runc work for it"
            assert usage.cpu_user + usage.cpu_system == pytest.approx(usage.cpu_time)
            assert int(instance.facts["daemon_memory"]) > 10 * _MIB

    def test_every_container_is_made_of_the_images_digest(self, runtime, new_spec):
        spec = new_spec(scratch=False)
        with runtime.start(spec) as instance:
            assert inspected(runtime, spec.name)["Image"] == instance.facts["engine_image"]
            assert instance.facts["engine_image"].startswith("sha256:")
            assert instance.facts["engine"].startswith("Docker ")

    def test_a_failed_mount_is_told_in_the_daemons_words(self, runtime, new_spec):
        spec = new_spec()
        spec.scratch.write_bytes(bytes(spec.scratch.stat().st_size))
        with pytest.raises(InstanceError, match="docker: start: error while mounting volume"), runtime.start(spec):
            pass

    def test_the_daemon_outlives_a_launcher(self, runtime, facilities, new_spec):
        facilities.launcher.kill()
        with runtime.start(new_spec(scratch=False)) as instance:
            assert output(instance, "echo alive") == "alive"

    def test_nothing_of_it_is_where_the_hosts_docker_is(self, runtime, new_spec):
        there = [path for path in _ITS_USUAL_PLACES if path.exists()]
        with runtime.start(new_spec()):
            assert [path for path in _ITS_USUAL_PLACES if path.exists()] == there


@pytest.fixture
def opened(facilities):
    """Opens a runtime with options, and sees that nothing is left of it."""
    facilities.network.prepare_translation()  # which stays as long as the run
    before = host_traces(facilities)

    def open_with(**options):
        return DockerRuntime.open(facilities, DockerOptions(**options))

    yield open_with
    assert host_traces(facilities) == before


@pytest.mark.host
class TestOptions:
    def test_docker_run_behind_translation_without_a_filter_in_its_layer(self, opened, facilities, new_spec):
        options = {"client": "cli", "network": "nat", "seccomp": False, "scratch": "layer"}
        spec = new_spec()
        with opened(**options) as runtime, runtime.start(spec) as instance:
            assert [name for name, _ in instance.timeline.phases()][:2] == ["client", "daemon"]
            assert instance.memory().helpers["client"] > _MIB
            assert instance.address.startswith("10.214.")
            assert_reachable(facilities, instance.address)
            assert "Seccomp:\t0" in output(instance, "cat /proc/self/status")
            assert " /scratch " not in output(instance, "cat /proc/mounts")
            output(instance, "echo kept > /scratch/file")
            instance.stop()
            assert 0 < instance.timeline.seconds("exited", "stopped") < 10

    def test_docker_run_costs_the_first_instance_what_it_costs_the_next(self, opened, new_spec):
        held = []
        with opened(client="cli", network="none") as runtime:
            for _ in range(2):
                with runtime.start(new_spec(scratch=False)) as instance:
                    held.append(instance.memory().helpers["client"])
        assert held[0] == pytest.approx(held[1], rel=0.2), "page cache of the program is in neither"

    def test_docker_run_tells_why_it_failed(self, opened, new_spec):
        spec = new_spec()
        spec.scratch.write_bytes(bytes(spec.scratch.stat().st_size))
        with (
            opened(client="cli", network="none") as runtime,
            pytest.raises(InstanceError, match="error while mounting volume"),
            runtime.start(spec),
        ):
            pass

    def test_root_is_an_ordinary_user_outside(self, opened, facilities, new_spec):
        before = [Path(path).read_text() if Path(path).exists() else None for path in ("/etc/subuid", "/etc/subgid")]
        limits = Limits(cpus=1, cpuset=(), memory=128 * _MIB, net=NetLimits(egress=8_000_000))
        with opened(user_namespace=True) as runtime:
            with runtime.start(replace(new_spec(), limits=limits)) as instance:
                assert output(instance, "cat /proc/self/uid_map").split() == ["0", "100000", "65536"]
                assert output(instance, "echo kept > /scratch/file; cat /scratch/file") == "kept"
                pid = inspected(runtime, instance._container.tree.whole.name)["State"]["Pid"]
                assert Path(f"/proc/{pid}").stat().st_uid == 100000
                buckets = subprocess.run(["tc", "qdisc"], capture_output=True, text=True, check=True).stdout
                assert "rate 8Mbit" in buckets
            with pytest.raises(InstanceError, match="mount"), runtime.start(self._without_file_system(new_spec())):
                pass
        after = [Path(path).read_text() if Path(path).exists() else None for path in ("/etc/subuid", "/etc/subgid")]
        assert after == before

    @staticmethod
    def _without_file_system(spec):
        spec.scratch.write_bytes(bytes(spec.scratch.stat().st_size))
        return spec

    def test_the_hosts_network(self, opened, facilities, new_spec):
        with opened(network="host") as runtime, runtime.start(new_spec(scratch=False)) as instance:
            assert instance.address == facilities.network.gateway
            assert facilities.network.bridge in output(instance, "ls /sys/class/net")

    def test_no_network_and_the_daemons_end(self, opened, facilities, new_spec):
        with opened(network="none") as runtime:
            with runtime.start(new_spec(scratch=False)) as instance:
                assert instance.address is None
                assert output(instance, "ls /sys/class/net") == "lo"
            daemon = int((runtime._daemon.directory / "pid").read_text())
        assert not Path(f"/proc/{daemon}").exists() or b"dockerd" not in Path(f"/proc/{daemon}/cmdline").read_bytes()


def test_what_cannot_be_is_refused():
    if os.geteuid() == 0:
        limits = Limits(cpus=1, cpuset=(), memory=128 * _MIB)
        with pytest.raises(HostError, match="user_namespace"):
            DockerRuntime.check(DockerOptions(network="host", user_namespace=True), limits)
        with pytest.raises(HostError, match=r"limits\.net"):
            DockerRuntime.check(DockerOptions(network="none"), replace(limits, net=NetLimits(ingress=10**6)))
