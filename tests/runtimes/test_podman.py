"""Podman: containers by ``podman run``, in private directories."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from conformance import RuntimeConformance, agent_on_host, assert_reachable, output, processes_of, shell

from runtimes.base import HostError, InstanceError, IoLimits, Limits, NetLimits
from runtimes.engine.podman_command import Wanted, WrittenFiles, run_arguments
from runtimes.engine.programs import COMMAND_NAME
from runtimes.podman import PodmanOptions, PodmanRuntime

MIB = 1 << 20


def split(line):
    return line.split(":", 2)


def names_of(processes):
    return sorted(Path(f"/proc/{pid}/comm").read_text().strip() for pid in processes)


class TestPodman(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with PodmanRuntime.open(facilities, PodmanOptions()) as opened:
            yield opened
        assert not list(facilities.directory.glob("podman*"))
        assert not list(facilities.scratch_directory.glob("podman*"))

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["network", "podman", "conmon", "runtime", "ready"]

    def test_conmon_alone_is_left_beside_the_container(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            assert names_of(processes_of(facilities, spec)) == ["agent", "conmon"]
            reading = instance.memory()
            assert set(reading.helpers) == {"conmon"}
            assert 100_000 < reading.helpers["conmon"] < 50 * MIB

    def test_all_of_it_is_in_directories_of_the_run(self, runtime, facilities, new_spec):
        (state,) = facilities.directory.glob("podman-*")
        (library,) = facilities.scratch_directory.glob("podman-*")
        with runtime.start(new_spec()):
            for inside in ("libpod/alive", "containers/storage/overlay-containers", "configuration/containers.conf"):
                assert (state / inside).exists()
            assert [*(state / "runc").iterdir()] or [*(state / "crun").iterdir()]
            assert (library / "containers/storage/libpod/bolt_state.db").exists()
            assert str(library) not in Path("/proc/thread-self/mountinfo").read_text()

    def test_its_cgroups_are_below_the_instances_own(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec):
            membership = Path(f"/proc/{agent_on_host(facilities, spec)}/cgroup").read_text()
            assert all(f"/{spec.name}/" in line for line in membership.splitlines())

    def test_a_trial_tells_what_was_called(self, runtime, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            facts = instance.facts
        assert facts["engine"].startswith("podman version ")
        assert facts["conmon"].startswith("conmon version ")
        assert facts["oci_runtime"].startswith(("crun version ", "runc version "))
        command = (spec.directory / COMMAND_NAME).read_text().splitlines()
        assert f"--name={spec.name}" in command

    def test_what_podman_says_of_a_failure_is_told(self, runtime, new_spec):
        spec = new_spec()
        spec.scratch.write_bytes(bytes(spec.scratch.stat().st_size))
        with pytest.raises(InstanceError, match="mount"), runtime.start(spec):
            pass

    def test_a_start_that_takes_too_long_leaves_nothing_to_wait_for(self, runtime, facilities, new_spec):
        spec = replace(new_spec(), start_timeout=0.05)
        with pytest.raises(InstanceError), runtime.start(spec):
            pass
        assert not processes_of(facilities, spec)
        with runtime.start(new_spec()) as instance:
            assert output(instance, "echo alive") == "alive"

    def test_no_swap_is_given_besides(self, runtime, facilities, new_spec):
        if not facilities.cgroups.accounts_for_swap:
            pytest.skip("this kernel does not account for swap")
        spec = new_spec(scratch=False)
        with runtime.start(spec):
            membership = Path(f"/proc/{agent_on_host(facilities, spec)}/cgroup").read_text()
            paths = {name: path for _, names, path in map(split, membership.splitlines()) for name in names.split(",")}
            if "memory" in paths:
                both = Path(f"/sys/fs/cgroup/memory{paths['memory']}/memory.memsw.limit_in_bytes")
                assert int(both.read_text()) == spec.limits.memory
            else:
                assert Path(f"/sys/fs/cgroup{paths['']}/memory.swap.max").read_text() == "0\n"


@pytest.mark.host
class TestOptions:
    @pytest.fixture
    def opened(self, facilities):
        def make(**options):
            return PodmanRuntime.open(facilities, PodmanOptions(**options))

        return make

    def test_system_calls_are_filtered_unless_not_asked_for(self, opened, new_spec):
        for seccomp, mode in ((True, "2"), (False, "0")):
            with opened(seccomp=seccomp, network="none") as runtime, runtime.start(new_spec(scratch=False)) as instance:
                assert output(instance, "grep Seccomp: /proc/self/status").split()[1] == mode
                assert instance.address is None
                assert output(instance, "ls /sys/class/net") == "lo"

    def test_root_inside_is_nobody_outside(self, opened, facilities, new_spec):
        with opened(user_namespace=True) as runtime:
            spec = new_spec()
            with runtime.start(spec) as instance:
                status = Path(f"/proc/{agent_on_host(facilities, spec)}/status").read_text()
                assert f"Uid:\t{1 << 30}\t" in status
                assert output(instance, "id -u; echo x > /etc/mark; cat /etc/mark") == "0\nx"
                assert output(instance, "echo only on the disk > /scratch/mark; wc -l < /scratch/mark") == "1"
                assert not shell(instance, "mount -t tmpfs none /proc/fs").ok
                assert_reachable(facilities, instance.address)
                instance.stop()
                assert b"only on the disk" in spec.scratch.read_bytes()

    def test_the_scratch_directory_may_be_in_the_layer(self, opened, facilities, new_spec):
        spec = new_spec()
        limits = replace(spec.limits, io=IoLimits(write_bytes=4 * MIB))
        with opened(scratch="layer", network="host") as runtime:
            with runtime.start(replace(spec, limits=limits)) as instance:
                assert instance.address == facilities.network.gateway
                assert "scratch_bus" not in instance.facts
                assert not shell(instance, "grep ' /scratch ' /proc/mounts").ok
                began = time.monotonic()
                output(instance, "dd if=/dev/zero of=/scratch/a bs=64k count=64 oflag=direct 2>&1")
                assert time.monotonic() - began > 0.9
                instance.stop()
            with runtime.start(spec) as instance:
                assert output(instance, "ls /scratch") == ""

    def test_it_is_reached_behind_address_translation(self, opened, facilities, new_spec):
        with opened(network="nat") as runtime, runtime.start(new_spec(scratch=False)) as instance:
            assert_reachable(facilities, instance.address)
            assert instance.address not in output(instance, "ip addr show dev eth0")

    def test_wrong_wishes_are_refused(self):
        with pytest.raises(HostError, match=r"limits\.net"):
            PodmanRuntime.check(PodmanOptions(network="none"), Limits(1, (), 128 * MIB, net=NetLimits(ingress=1)))
        with pytest.raises(HostError, match=r"^youki is not installed$"):
            PodmanRuntime.check(PodmanOptions(program="youki"), Limits(1, (), 128 * MIB))


def wanted(**differences):
    plain = Wanted(
        name="bench-one",
        image="sha256:0",
        limits=Limits(1, (), 128 * MIB),
        cpus=(1,),
        cgroup_parent=".",
        version=1,
        swap=True,
        network="/proc/1/fd/2",
        volume=None,
        limited_disk=None,
        seccomp=True,
        owners=None,
        files=WrittenFiles.below(Path("/run"), "bench-one"),
    )
    return replace(plain, **differences)


class TestCommand:
    def test_limits_are_options_of_podman(self):
        limits = Limits(
            cpus=0.5,
            cpuset=(),
            memory=64 * MIB,
            cpu_weight=200,
            memory_swap=MIB,
            pids=10,
            io=IoLimits(read_bytes=1, write_bytes=2, read_ops=3, write_ops=4),
        )
        said = run_arguments(wanted(limits=limits, cpus=(0, 2), limited_disk=Path("/dev/loop9")))
        assert {
            "--cpuset-cpus=0,2",
            "--cpu-quota=50000",
            "--cpu-period=100000",
            "--cpu-shares=2048",
            "--memory=67108864",
            "--memory-swap=68157440",
            "--pids-limit=10",
            "--device-read-bps=/dev/loop9:1",
            "--device-write-bps=/dev/loop9:2",
            "--device-read-iops=/dev/loop9:3",
            "--device-write-iops=/dev/loop9:4",
            "--ulimit=nofile=1024:4096",
            "--ulimit=stack=8388608:-1",
        } <= set(said)

    def test_a_weight_is_one_on_version_2(self):
        said = run_arguments(wanted(limits=Limits(1, (), MIB, cpu_weight=200), version=2, cgroup_parent="/a/b"))
        assert "--cgroup-conf=cpu.weight=200" in said
        assert "--cgroup-parent=/a/b" in said
        assert not any(word.startswith("--cpu-shares") for word in said)

    def test_what_is_not_asked_for_is_not_limited(self):
        said = run_arguments(wanted(swap=False))
        assert "--pids-limit=-1" in said
        assert not any(word.startswith(("--memory-swap", "--cpu-quota", "--device-", "--volume")) for word in said)

    @pytest.mark.parametrize(("network", "word"), [(None, "host"), ("", "none"), ("/x", "ns:/x")])
    def test_networks(self, network, word):
        assert f"--network={word}" in run_arguments(wanted(network=network))

    def test_the_agent_comes_last(self):
        assert run_arguments(wanted())[-4:] == ["sha256:0", "/usr/lib/bench/agent", "--fd", "3"]
