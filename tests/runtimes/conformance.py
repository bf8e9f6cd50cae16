"""What every runtime does. Inherit ``RuntimeConformance`` and give the fixture ``runtime``: a runtime, opened.

``SeamConformance`` is the part of it that needs no host: what the runner relies on, and what a fake must do as well.

The fixtures ``facilities`` and ``new_spec`` are those of conftest.py unless the subclass, or its module, has its own.
The image needs a POSIX shell and the usual small tools.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import signal
import socket
import time
from pathlib import Path

import pytest
from limits_conformance import LimitsConformance
from traces import host_traces, pids_below

from bench.trials.parallel import start_at_once
from runtimes import page_cache
from runtimes.accounting import unreclaimable_part
from runtimes.agent.client import AgentGone, Command
from runtimes.base import AGENT_PATH, InstanceError
from runtimes.network import inside_network


def shell(instance, script, timeout=60.0):
    return instance.agent.run(Command(("sh", "-c", script), timeout=timeout))


def output(instance, script):
    completed = shell(instance, script)
    assert completed.ok, completed
    return completed.stdout.decode().strip()


def agent_on_host(facilities, spec):
    """The host's pid of an instance's agent, or where that is a guest's, of the VMM."""
    processes = processes_of(facilities, spec)
    agents = [pid for pid in processes if Path(f"/proc/{pid}/comm").read_text().strip() == Path(AGENT_PATH).name]
    return min(agents or processes)


def processes_of(facilities, spec):
    """The host's pids of an instance's processes, those that an engine has to look after it among them."""
    trees = [tree for path in facilities.cgroups.directories for tree in path.rglob(spec.name)]
    return sorted({pid for tree in trees for pid in pids_below(tree)})


def assert_reachable(facilities, address):
    """A client in the peer's place gets an answer from the kernel of the instance."""
    with facilities.network.make_namespace(routed=True) as peer:
        with inside_network(peer.fd):
            client = socket.socket()
        # It refuses for itself: nobody listens there.
        with client, pytest.raises(ConnectionRefusedError):
            client.settimeout(10)
            client.connect((address, 9))


_NONE = ("unlimited", "unlimited")

EXPECTED_LIMITS = {
    "Max cpu time": _NONE,
    "Max file size": _NONE,
    "Max data size": _NONE,
    "Max stack size": ("8388608", "unlimited"),
    "Max core file size": ("0", "unlimited"),
    "Max resident set": _NONE,
    "Max processes": ("16384", "16384"),
    "Max open files": ("1024", "4096"),
    "Max locked memory": ("8388608", "8388608"),
    "Max address space": _NONE,
    "Max file locks": _NONE,
    "Max pending signals": ("16384", "16384"),
    "Max msgqueue size": ("819200", "819200"),
    "Max nice priority": ("0", "0"),
    "Max realtime priority": ("0", "0"),
    "Max realtime timeout": _NONE,
}
"""Soft and hard limits as /proc/self/limits shows them in every arm."""


class SeamConformance:
    """What the runner relies on."""

    shares_kernel = True
    """Whether the kernel that limits memory is the host's."""

    def test_ready_comes_last_and_phases_add_up(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            stamps = instance.timeline.stamps
            names = sorted(stamps, key=stamps.__getitem__)
            assert names[0] == "requested"
            assert names[-1] == "ready"
            phases = dict(instance.timeline.phases())
            assert set(phases) == set(names[1:])
            assert sum(phases.values()) == pytest.approx(instance.timeline.seconds("requested", "ready"), abs=1e-6)
            assert all(seconds > 0 for seconds in phases.values())

    def test_it_tells_when_it_is_prepared_just_before_its_clock_starts(self, runtime, new_spec):
        told = []
        spec = dataclasses.replace(new_spec(), prepared=lambda: told.append(time.monotonic_ns()))
        with runtime.start(spec) as instance:
            (at,) = told
            assert 0 < instance.timeline.stamps["requested"] - at < 50_000_000

    def test_it_says_how_it_is_run(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert instance.facts["accel"] in {"none", "kvm", "tcg"}
            assert instance.facts["kernel"] == output(instance, "cat /proc/sys/kernel/osrelease")

    def test_commands_run(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            completed = shell(instance, "echo out; echo err >&2; exit 3")
            assert (completed.stdout, completed.stderr, completed.exit_status) == (b"out\n", b"err\n", 3)
            # SIGPIPE is as a program expects it, and so are the other signals. A shell may
            # ignore some for itself.
            status = instance.agent.run(Command(("cat", "/proc/self/status"))).stdout.decode()
            masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
            assert int(masks["SigIgn"], 16) == 0
            assert int(masks["SigBlk"], 16) == 0
            assert output(instance, "id -u") == "0"

    def test_cpu_time_grows(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            before = instance.usage().cpu_time
            assert before > 0
            completed = shell(instance, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
            spent = completed.usage.user_seconds + completed.usage.system_seconds
            # Where others want the CPU too, a guest takes what they get for its own.
            least = 0.5 if self.shares_kernel else 0.2
            assert instance.usage().cpu_time - before > least * spent > 0

    def test_stop_is_stamped(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            shell(instance, "sleep 1000 >/dev/null 2>&1 &")
            instance.stop()
            assert 0 < instance.timeline.seconds("stop_requested", "stopped") < 10
            assert instance.timeline.stamps["stop_requested"] > instance.timeline.stamps["ready"]
            phases = dict(instance.timeline.phases("stop_requested", "stopped"))
            assert next(iter(phases)) == "goodbye"
            assert list(phases)[-2:] == ["exited", "stopped"]
            assert sum(phases.values()) == pytest.approx(instance.timeline.seconds("stop_requested", "stopped"))


@pytest.mark.host
class RuntimeConformance(LimitsConformance, SeamConformance):
    """Tests that all runtimes inherit."""

    reachable = True
    """Whether instances are on the bridge."""

    def test_memory_is_accounted_for(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            before = instance.memory()
            assert before.charged > 0
            assert before.pss > 0
            assert before.parts["anon"] > 0
            assert bool(before.guest) != self.shares_kernel
            output(instance, "dd if=/dev/zero of=/dev/shm/held bs=1M count=32 2>&1")
            after = instance.memory()
            assert after.charged - before.charged > 24 << 20
            assert unreclaimable_part(after.parts) - unreclaimable_part(before.parts) > 24 << 20
            assert instance.unreclaimable() == pytest.approx(unreclaimable_part(after.parts), abs=4 << 20)
            assert instance.usage().memory_peak >= after.charged - (1 << 20)

    def test_scratch_is_an_empty_disk_every_time(self, runtime, new_spec):
        for _ in range(2):
            with runtime.start(new_spec()) as instance:
                assert output(instance, "ls /scratch") == "lost+found"
                assert output(instance, "echo kept > /scratch/file; sync; cat /scratch/file") == "kept"
                mounted = "while read -r _ at how; do if [ $at = /scratch ]; then echo $how; fi; done </proc/mounts"
                fstype, options, *_ = output(instance, mounted).split()
                # Nothing that could make one arm's disk quicker than another's; owners may be mapped.
                assert (fstype, options.removesuffix(",idmapped")) == ("ext4", "rw,relatime")

    def test_what_was_written_is_on_the_disk_once_it_has_stopped(self, runtime, new_spec):
        spec = new_spec()
        pattern = secrets.token_hex(32)
        with runtime.start(spec) as instance:
            output(instance, f"yes {pattern} | head -c 4194304 > /scratch/file")
            assert spec.scratch.read_bytes().count(pattern.encode()) < 60_000, "it was there before it was stopped"
            instance.stop()
            assert spec.scratch.read_bytes().count(pattern.encode()) >= 64_000

    def test_limits_are_those_of_every_arm(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            limits = instance.agent.run(Command(("cat", "/proc/self/limits"))).stdout.decode()
            seen = {line[:26].strip(): tuple(line[26:68].split()) for line in limits.splitlines()[1:]}
            assert seen == EXPECTED_LIMITS
            assert output(instance, "cat /proc/self/oom_score_adj") == "0"

    def test_how_its_disk_is_cached_is_told(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert instance.facts["scratch_cache"] == "none"
            assert instance.facts["scratch_bus"] == ("loop" if self.shares_kernel else "virtio")

    def test_scratch_may_be_missing(self, runtime, new_spec):
        with runtime.start(new_spec(scratch=False)) as instance:
            assert output(instance, "ls /scratch") == ""

    def test_root_can_be_written_and_is_fresh_every_time(self, runtime, new_spec):
        for _ in range(2):
            with runtime.start(new_spec()) as instance:
                assert not shell(instance, f"test -e /etc/mark || test -e /tmp/mark || test ! -e {AGENT_PATH}").ok
                output(instance, f"echo x > /etc/mark; echo x > /tmp/mark; rm {AGENT_PATH}")
                assert output(instance, "cat /etc/mark /tmp/mark") == "x\nx"

    def test_the_image_is_the_same_bytes(self, runtime, facilities, new_spec):
        with runtime.start(new_spec()) as instance:
            seen = output(instance, f"sha256sum < {AGENT_PATH}").split()[0]
        ours = Path(f"{facilities.root}{AGENT_PATH}").read_bytes()
        assert seen == hashlib.sha256(ours).hexdigest()

    def test_devices_and_kernel_file_systems_are_there(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            output(
                instance,
                "echo x > /dev/null; head -c 16 /dev/urandom > /dev/shm/noise; test -d /sys/class && test -c /dev/tty",
            )
            assert output(instance, "head -c 3 /dev/zero | wc -c") == "3"

    def test_the_peer_side_reaches_it(self, runtime, facilities, new_spec):
        with runtime.start(new_spec()) as instance:
            if not self.reachable:
                assert instance.address is None
                return
            assert instance.address is not None
            assert_reachable(facilities, instance.address)

    def test_it_sees_as_many_cpus_as_it_may_use(self, runtime, new_spec):
        with runtime.start(new_spec()) as instance:
            assert output(instance, "nproc") == "1"
            seen = int(output(instance, "grep -c ^processor /proc/cpuinfo"))
            assert seen == (os.cpu_count() if self.shares_kernel else 1)

    def test_a_hog_meets_the_memory_limit(self, runtime, new_spec):
        spec = new_spec()
        with runtime.start(spec) as instance:
            hog = shell(instance, f"exec dd if=/dev/zero of=/dev/null bs={2 * spec.limits.memory} count=1")
            assert not hog.ok, hog
            assert output(instance, "echo alive") == "alive"
            if self.shares_kernel:
                assert hog.signal == signal.SIGKILL
                assert instance.usage().oom_kills >= 1
                assert instance.usage().memory_peak <= spec.limits.memory

    def test_several_start_at_once(self, runtime, new_spec):
        specs = [new_spec(), new_spec()]
        started = start_at_once(runtime, specs)
        assert len(started.ready) == len(specs)
        assert all(started.requested < at < started.stop_requested for at in started.ready)
        assert started.stop_requested < started.stopped
        assert started.cpu_time > 0

    def test_what_a_start_reads_is_known_by_layer(self, runtime, facilities, new_spec):
        layers = runtime.start_files(facilities.image)
        assert set(layers) - {"engine"} == ({"image"} if self.shares_kernel else {"image", "kernel"})
        files = [path for paths in layers.values() for path in paths]
        for path in files:
            page_cache.drop_from_cache(path)
        with runtime.start(new_spec()) as instance:
            assert output(instance, "echo alive") == "alive"
        for path in files:
            assert path.exists()
            page_cache.read_into_cache(path)

    def test_ctrl_c_at_the_terminal_does_not_reach_it(self, runtime, facilities, new_spec):
        """It goes to the foreground process group, which is one of the runner's own session."""
        spec = new_spec()
        with runtime.start(spec) as instance:
            shell(instance, "sleep 1000 >/dev/null 2>&1 &")
            processes = processes_of(facilities, spec)
            assert processes
            assert os.getsid(0) not in {os.getsid(pid) for pid in processes}

    def test_two_at_once_are_apart(self, runtime, new_spec):
        with runtime.start(new_spec()) as one, runtime.start(new_spec()) as other:
            output(one, "echo one > /etc/mark; echo one > /scratch/mark")
            assert not shell(other, "test -e /etc/mark || test -e /scratch/mark").ok
            one.stop()
            assert output(other, "echo alive") == "alive"

    def test_nothing_is_left(self, runtime, facilities, new_spec):
        with runtime.start(new_spec()):
            pass
        before = host_traces(facilities)
        spec = new_spec()
        with runtime.start(spec) as instance:
            shell(instance, "setsid sleep 1000 >/dev/null 2>&1 &")
            instance.stop()
        assert host_traces(facilities) == before

    def test_an_exception_inside_leaves_nothing(self, runtime, facilities, new_spec):
        before = host_traces(facilities)
        with pytest.raises(ZeroDivisionError), runtime.start(new_spec()) as instance:
            shell(instance, "setsid sleep 1000 >/dev/null 2>&1 &")
            raise ZeroDivisionError
        assert host_traces(facilities) == before

    def test_a_killed_agent_is_noticed_and_leaves_nothing(self, runtime, facilities, new_spec):
        before = host_traces(facilities)
        spec = new_spec()
        with runtime.start(spec) as instance:
            os.kill(agent_on_host(facilities, spec), signal.SIGKILL)
            with pytest.raises(AgentGone):
                shell(instance, "sleep 10")
            with pytest.raises(InstanceError):
                instance.stop()
        assert host_traces(facilities) == before

    def test_a_failed_start_leaves_nothing(self, runtime, facilities, new_spec):
        before = host_traces(facilities)
        spec = new_spec()
        spec.scratch.write_bytes(bytes(spec.scratch.stat().st_size))  # no file system: it cannot be mounted
        with pytest.raises(InstanceError), runtime.start(spec):
            pass
        assert host_traces(facilities) == before

    def test_image_parts_are_told(self, runtime, facilities):
        parts = runtime.image_parts(facilities.image)
        assert parts["userland"] == facilities.image.rootfs.stat().st_size
        assert ("kernel" in parts) != self.shares_kernel
