"""LXC, by ``lxc-start``."""

from __future__ import annotations

import dataclasses
import secrets
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from conformance import RuntimeConformance, agent_on_host, assert_reachable, output, processes_of, shell

from runtimes.base import HostError, InstanceError, NetLimits, UnavailableError
from runtimes.container.hardening import KEPT_CAPABILITIES
from runtimes.engine.programs import COMMAND_NAME
from runtimes.launcher.rootfs import FIRST_OWNER, OWNER_COUNT
from runtimes.lxc import CONFIG, LxcOptions, LxcRuntime


class TestLxc(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with LxcRuntime.open(facilities, LxcOptions()) as opened:
            yield opened

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["client", "runtime", "ready"]

    def test_its_monitor_is_counted_beside_the_container(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            agent, *others = processes_of(facilities, spec)[::-1]
            assert agent == agent_on_host(facilities, spec)
            assert [psutil.Process(pid).name() for pid in others] == ["lxc-start"]
            reading = instance.memory()
            assert 100 << 10 < reading.helpers["monitor"] < 16 << 20
            own = psutil.Process(agent).memory_full_info().pss
            assert reading.pss == pytest.approx(own, abs=64 << 10)
            assert instance.facts["engine"].startswith("LXC ")
            assert instance.facts["storage_driver"] == "overlayfs"
            assert instance.facts["network_driver"] == "veth"
            assert (spec.directory / COMMAND_NAME).read_text().startswith("/usr/bin/lxc-start\n")
            assert "lxc.net.0.type = veth\n" in (spec.directory / CONFIG).read_text()

    def test_the_agent_has_the_stream_itself_and_is_first(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            assert output(instance, "cat /proc/1/comm") == "agent"
            agent = agent_on_host(facilities, spec)
            monitor = psutil.Process(agent).ppid()
            streams = {Path(f"/proc/{pid}/fd/{number}").readlink() for pid in (agent, monitor) for number in (0, 1)}
            (stream,) = streams
            assert stream.name.startswith("socket:")

    def test_it_may_do_what_our_container_may_and_is_filtered_by_lxc(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            status = dict(line.split(":\t") for line in output(instance, "cat /proc/self/status").splitlines())
            kept = sum(1 << number for number in KEPT_CAPABILITIES.values())
            assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {kept}
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
            assert not shell(instance, "mknod /tmp/disk b 7 0 && head -c 1 /tmp/disk").ok
            assert "ro" in output(instance, "grep ^sysfs /proc/mounts").split()[3].split(",")

    def test_the_first_complaint_is_in_the_message(self, runtime, new_spec):
        spec = new_spec()
        spec.scratch.write_bytes(bytes(spec.scratch.stat().st_size))
        failed = pytest.raises(InstanceError, match="it began with: Invalid argument - Failed to mount")
        with failed as told, runtime.start(spec):
            pass
        assert "The container failed to start" in told.value.details

    def test_it_writes_nothing_to_the_hosts_own_places(self, runtime, new_spec):
        places = [Path("/run/lxc"), Path("/var/lib/lxc"), Path("/var/log/lxc"), Path("/etc/lxc")]
        before = [sorted(place.rglob("*")) for place in places]
        with runtime.start(new_spec()):
            assert [sorted(place.rglob("*")) for place in places] == before


@pytest.mark.host
class TestOptions:
    """What is not the default."""

    @pytest.fixture
    def start(self, facilities, new_spec):
        @contextmanager
        def start(spec=None, **options):
            with (
                LxcRuntime.open(facilities, LxcOptions(**options)) as runtime,
                runtime.start(spec or new_spec()) as instance,
            ):
                yield instance

        return start

    def test_no_filter_of_system_calls(self, start):
        with start(seccomp=False) as instance:
            assert "Seccomp:\t0" in output(instance, "cat /proc/self/status")

    def test_root_inside_may_be_somebody_else_outside(self, start, facilities, new_spec):
        spec = new_spec()
        with start(spec, user_namespace=True) as instance:
            assert output(instance, "cat /proc/self/uid_map").split() == ["0", str(FIRST_OWNER), str(OWNER_COUNT)]
            assert psutil.Process(agent_on_host(facilities, spec)).uids().real == FIRST_OWNER
            assert output(instance, "ls /scratch; echo x > /scratch/x; echo x > /etc/x; stat -c %u /etc/x /scratch/x")
            assert output(instance, "stat -c %u /etc/x /scratch/x / /bin/busybox").split() == ["0"] * 4
            assert_reachable(facilities, instance.address)

    @pytest.mark.parametrize("user_namespace", [False, True])
    def test_all_that_is_written_may_go_to_the_scratch_disk(self, start, new_spec, user_namespace):
        spec, pattern = new_spec(), secrets.token_hex(32)
        with start(spec, scratch="layer", user_namespace=user_namespace) as instance:
            assert output(instance, "ls /scratch") == ""
            output(instance, f"yes {pattern} | head -c 1048576 > /etc/file")
            instance.stop()
        assert spec.scratch.read_bytes().count(pattern.encode()) >= 16_000

    def test_it_may_be_behind_address_translation(self, start, facilities):
        with start(network="nat") as instance:
            assert output(instance, "ip -4 -o addr show eth0").split()[3].startswith("10.215.")
            assert instance.address.startswith("10.214.")
            assert_reachable(facilities, instance.address)

    def test_it_may_have_the_runs_network_or_none(self, start, facilities):
        with start(network="host") as instance:
            assert instance.address == facilities.network.gateway
            assert facilities.network.bridge in output(instance, "cat /proc/net/dev")
        with start(network="none") as instance:
            assert instance.address is None
            interfaces = output(instance, "cat /proc/net/dev").splitlines()[2:]
            assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]

    def test_limits_are_those_of_the_containers_cgroup(self, start, facilities, new_spec):
        spec = new_spec()
        net = NetLimits(ingress=8_000_000, egress=4_000_000)
        limits = dataclasses.replace(spec.limits, cpus=0.5, memory=64 << 20, net=net)
        with start(dataclasses.replace(spec, limits=limits)) as instance:
            assert instance.facts["cgroup_cpu_quota"] == "0.5"
            assert instance.facts["cgroup_memory_limit"] == str(64 << 20)
            shaped = subprocess.run(["tc", "qdisc", "show"], capture_output=True, text=True, check=True).stdout
            assert "rate 8Mbit" in shaped
            assert "rate 4Mbit" in shaped
        assert "tbf" not in subprocess.run(["tc", "qdisc", "show"], capture_output=True, text=True, check=True).stdout

    def test_what_cannot_be_had_is_told_before(self, monkeypatch, new_spec):
        limits = new_spec(scratch=False).limits
        with pytest.raises(HostError, match="network: bridge"):
            LxcRuntime.check(LxcOptions(user_namespace=True, network="host"), limits)
        monkeypatch.setattr("runtimes.engine.programs.shutil.which", lambda *_, **__: None)
        with pytest.raises(UnavailableError, match="apt-get install lxc"):
            LxcRuntime.check(LxcOptions(), limits)
