"""OCI runtimes, called by their command lines."""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from conformance import RuntimeConformance, agent_on_host, output, processes_of, shell

from runtimes.base import HostError, Limits, NetLimits, UnavailableError
from runtimes.cgroup import describe_version
from runtimes.engine.programs import COMMAND_NAME
from runtimes.oci import CONFIG, OciOptions, OciRuntime

pytestmark = pytest.mark.host


class TestRunc(RuntimeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        with OciRuntime.open(facilities, OciOptions(program="runc")) as opened:
            yield opened

    def test_its_phases(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            phases = [name for name, _ in instance.timeline.phases()]
            assert phases == ["network", "bundle", "runtime", "ready"]

    def test_how_it_was_made_is_kept(self, runtime, new_spec):
        spec = new_spec()
        with runtime.start(spec):
            argv = (spec.directory / COMMAND_NAME).read_text().splitlines()
            assert Path(argv[0]).name == "runc"
            assert "--detach" in argv
            assert json.loads((spec.directory / CONFIG).read_text())["hostname"] == spec.name

    def test_nothing_of_the_runtime_is_beside_the_container(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            assert processes_of(facilities, spec) == [agent_on_host(facilities, spec)]
            reading = instance.memory()
            assert set(reading.helpers) == {"runtime"}
            assert reading.pss > 0

    def test_its_cgroups_are_below_the_instances_own(self, runtime, facilities, new_spec):
        spec = new_spec()
        with runtime.start(spec):
            membership = Path(f"/proc/{agent_on_host(facilities, spec)}/cgroup").read_text()
            assert all(f"/{spec.name}/" in line for line in membership.splitlines())

    def test_limits_are_the_runtimes_own(self, runtime, new_spec):
        with runtime.start(new_spec(limits=Limits(0.5, (), 64 << 20))) as instance:
            assert instance.facts["cgroup_memory_limit"] == str(64 << 20)
            assert instance.facts["cgroup_cpu_quota"] == "0.5"
            assert instance.facts["engine"].startswith("runc version")


class TestCrun(RuntimeConformance):
    """On hosts with version 2 of control groups alone, such as the lab."""

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, facilities):
        if describe_version() != "v2":
            pytest.skip("crun refuses hybrid hosts: see test_oci_program.py")
        with OciRuntime.open(facilities, OciOptions(program="crun")) as opened:
            yield opened


@pytest.fixture
def started(facilities, new_spec):
    """Starts an instance of an arm with options; yields it and its spec."""

    @contextmanager
    def start(**options):
        spec = new_spec()
        with OciRuntime.open(facilities, OciOptions(**options)) as runtime, runtime.start(spec) as instance:
            yield instance, spec

    return start


def test_root_inside_may_be_an_ordinary_user_outside(started, facilities):
    with started(user_namespace=True) as (instance, spec):
        assert output(instance, "id -u; id -g").split() == ["0", "0"]
        status = Path(f"/proc/{agent_on_host(facilities, spec)}/status").read_text()
        (owner,) = {line.split()[1] for line in status.splitlines() if line.startswith("Uid:")}
        assert int(owner) >= 1 << 30
        # All that is there is root's own, and can be written to.
        assert (
            output(
                instance, "stat -c %u /bin/busybox /scratch /tmp; echo x > /scratch/file; echo y > /etc/file"
            ).split()
            == ["0"] * 3
        )
        assert not shell(instance, "echo h > /proc/sysrq-trigger").ok
        pattern = secrets.token_hex(32)
        output(instance, f"yes {pattern} | head -c 1048576 > /scratch/file")
        instance.stop()
        assert spec.scratch.read_bytes().count(pattern.encode()) > 15_000


def test_system_calls_may_go_unfiltered(started):
    for filtered, mode in ((True, "2"), (False, "0")):
        with started(seccomp=filtered) as (instance, _):
            assert output(instance, "grep Seccomp: /proc/self/status").split()[1] == mode


def test_what_is_written_may_be_in_the_layer(started):
    pattern = secrets.token_hex(32)
    with started(scratch="layer") as (instance, spec):
        assert output(instance, "ls /scratch") == ""
        assert " /scratch " not in output(instance, "cat /proc/mounts")
        for place in ("/scratch/file", "/root/file"):
            output(instance, f"yes {pattern} | head -c 1048576 > {place}")
        instance.stop()
        assert spec.scratch.read_bytes().count(pattern.encode()) > 30_000


def test_it_may_have_the_network_of_the_run_or_none(started, facilities):
    with started(network="host") as (instance, _):
        assert output(instance, "readlink /proc/self/ns/net") == str(Path("/proc/thread-self/ns/net").readlink())
        assert instance.address == facilities.network.gateway
    with started(network="none") as (instance, _):
        assert output(instance, "sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev").split() == ["lo"]
        assert instance.address is None


def test_a_link_that_is_not_there_cannot_be_limited():
    limits = Limits(1, (), 64 << 20, net=NetLimits(ingress=10**6))
    with pytest.raises(HostError, match="network: host has no link"):
        OciRuntime.check(OciOptions(network="host"), limits)


def test_a_runtime_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UnavailableError, match="youki is not installed"):
        OciRuntime.check(OciOptions(program="youki"), Limits(1, (), 64 << 20))
    broken = tmp_path / "runc"
    shutil.copy("/bin/false", broken)
    with pytest.raises(UnavailableError, match="fails here"):
        OciRuntime.check(OciOptions(program=str(broken)), Limits(1, (), 64 << 20))
