"""The launcher: what it does when a start fails or somebody dies, and that it does not leak."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from traces import count, host_traces, idle_descriptors, new_run_name, runs
from waiting import eventually

from runtimes.agent.client import AgentGone, Command
from runtimes.base import HostError, InstanceError, Timeline
from runtimes.cgroup.v2 import CgroupV2
from runtimes.chroot import run_alone_in, run_in
from runtimes.container.container import Container
from runtimes.container.options import ContainerOptions
from runtimes.container.runtime import ContainerRuntime
from runtimes.facilities import open_facilities
from runtimes.launcher import limits
from runtimes.launcher.client import LaunchRequest, open_launcher
from runtimes.launcher.entry import join_network
from runtimes.launcher.instance import launched_agent
from runtimes.launcher.steps import StepError
from runtimes.native import NativeOptions, NativeRuntime

pytestmark = pytest.mark.host

UNIFIED = Path("/sys/fs/cgroup/unified")


SLEEP = ("/bin/sleep", "1000")


def plain(cgroup, argv=SLEEP, root=Path("/"), network=None):
    """A program without namespaces of its own."""
    steps = run_in(root, cgroup, (0,), argv)
    if network is None:
        return LaunchRequest(steps, cgroup)
    return LaunchRequest((join_network(), *steps), cgroup, descriptors=(network,))


def launch(facilities, request):
    """Start something and return what the launcher answers."""
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        Path("/dev/null").open("w") as log,
        facilities.launcher.begin(request, theirs, log.fileno()) as pending,
    ):
        theirs.close()
        return pending.finish()


def test_a_program_that_is_not_there_is_named(facilities):
    with facilities.new_cgroup("x", None) as cgroup:
        with pytest.raises(InstanceError, match=r"could not execute the program: execve /no/such: No such file"):
            launch(facilities, plain(cgroup, ("/no/such",)))
        assert cgroup.pids() == []


def test_a_root_that_is_not_there_is_named(facilities, tmp_path):
    container = Container(ContainerOptions(network="none"), Path("/no/such"), tmp_path, rootless=False)
    with facilities.new_cgroup("x", None) as cgroup:
        request = container.request(name="x", cgroup=cgroup, cpus=(0,))
        with pytest.raises(InstanceError, match=rf"could not mount the root: mount {tmp_path}/root: No such file"):
            launch(facilities, request)
        with pytest.raises(InstanceError, match=r"could not change the root: chroot /no/such: No such file"):
            launch(facilities, plain(cgroup, root=Path("/no/such")))


def test_a_namespace_that_is_none_is_named(facilities):
    with facilities.new_cgroup("x", None) as cgroup, Path("/dev/null").open() as null:
        with pytest.raises(InstanceError, match=r"could not join the network.*setns"):
            launch(facilities, plain(cgroup, network=null.fileno()))
        # The launcher goes on.
        launched = launch(facilities, plain(cgroup))
        os.close(launched.pidfd)


@pytest.mark.parametrize(
    ("argv", "told"),
    [(("/bin/sleep", "1000"), "no READY"), (("/bin/sh", "-c", "echo broken >&2"), "ended.*its last words: broken")],
)
def test_what_never_gets_ready_is_told_and_killed(facilities, tmp_path, argv, told):
    log = tmp_path / "log"
    with facilities.new_cgroup("x", None) as cgroup:
        request = plain(cgroup, argv)
        with (
            pytest.raises(InstanceError, match=told),
            launched_agent(facilities.launcher, request, Timeline(), log, 0.5),
        ):
            pass
    assert not cgroup.procs_files[0].exists()


def test_a_child_gets_only_what_it_needs(facilities):
    with facilities.new_cgroup("x", None) as cgroup:
        launched = launch(facilities, plain(cgroup))
        proc = Path(f"/proc/{launched.pid}")
        # the dynamic linker opens files for a while.
        deadline = time.monotonic() + 5
        while (proc / "stat").read_text().split()[2] != "S" and time.monotonic() < deadline:
            time.sleep(0.001)
        assert (proc / "cmdline").read_bytes().startswith(b"/bin/sleep")
        assert sorted(path.name for path in (proc / "fd").iterdir()) == ["0", "1", "2", "3"]
        assert str((proc / "fd/0").readlink()) == "/dev/null"
        assert (proc / "environ").read_bytes() == b""
        assert os.getsid(launched.pid) == launched.pid
        os.close(launched.pidfd)


def test_limits_that_cannot_be_had_are_told_and_leave_no_launcher(monkeypatch):
    started = []
    popen = subprocess.Popen

    def note(*arguments, **more):
        started.append(popen(*arguments, **more))
        return started[-1]

    monkeypatch.setattr("runtimes.launcher.client.subprocess.Popen", note)
    monkeypatch.setitem(limits.LIMITS, resource.RLIMIT_NOFILE, (1024, 1 << 40))  # beyond any fs.nr_open
    with pytest.raises(HostError, match=r"RLIMIT_NOFILE of getrlimit.*raise the hard limit"):
        open_launcher().__enter__()
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize(("hard", "expected"), [(100, (100, 100)), (2000, (1024, 2000)), (1 << 13, (1024, 4096))])
def test_without_root_a_lower_hard_limit_stays(hard, expected):
    # As in a user namespace: nobody may raise a hard limit, and one who could does not.
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        try:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (100, hard))
            limits.set_limits(process.pid, rootless=True)
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == expected
        finally:
            process.kill()


def test_children_die_with_a_killed_launcher(tiny_image):
    with open_facilities(new_run_name(), tiny_image) as facilities, facilities.new_cgroup("x", None) as cgroup:
        launched = launch(facilities, plain(cgroup))
        os.kill(facilities.launcher.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while cgroup.pids() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert cgroup.pids() == []
        os.close(launched.pidfd)


def test_a_killed_launcher_is_replaced_in_the_same_namespaces(tiny_image, make_spec_for):
    with (
        open_facilities(new_run_name(), tiny_image) as facilities,
        ContainerRuntime.open(facilities, ContainerOptions()) as runtime,
    ):
        old = facilities.launcher.pid
        before = host_traces(facilities)
        os.kill(old, signal.SIGKILL)
        for _ in range(2):
            with runtime.start(make_spec_for(facilities)) as instance:
                assert instance.agent.run(Command(("true",))).ok
                instance.stop()
        new = facilities.launcher.pid
        assert new != old
        assert not runs(old)
        for kind in ("mnt", "net"):
            own = Path(f"/proc/thread-self/ns/{kind}").readlink()
            assert Path(f"/proc/{new}/ns/{kind}").readlink() == own
        assert host_traces(facilities) == before
    assert not runs(new)


@contextmanager
def stopped(pid):
    """A launcher that takes requests and does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_launcher_that_dies_with_a_request_fails_that_one_only(tiny_image, tmp_path):
    with open_facilities(new_run_name(), tiny_image) as facilities, facilities.new_cgroup("x", None) as cgroup:
        launcher = facilities.launcher.pid
        with stopped(launcher):
            killer = threading.Timer(0.3, os.kill, (launcher, signal.SIGKILL))
            killer.start()
            request = plain(cgroup)
            with (
                pytest.raises(InstanceError, match="no answer from the launcher"),
                launched_agent(facilities.launcher, request, Timeline(), tmp_path / "log", 10),
            ):
                pass
            killer.join()
        launched = launch(facilities, plain(cgroup))
        assert runs(launched.pid)
        os.close(launched.pidfd)


def arguments_of(pid):
    """The arguments of a process, which the kernel sets up a moment after it has let go of the launcher."""
    cmdline = Path(f"/proc/{pid}/cmdline")
    assert eventually(lambda: cmdline.read_bytes() != b"")
    return cmdline.read_bytes().decode().split("\0")


def test_a_late_reply_is_not_taken_for_the_next(tiny_image, monkeypatch):
    monkeypatch.setattr("runtimes.launcher.client._REPLY_TIMEOUT", 0.5)
    with open_facilities(new_run_name(), tiny_image) as facilities, facilities.new_cgroup("x", None) as cgroup:
        with stopped(facilities.launcher.pid), pytest.raises(InstanceError, match="no answer from the launcher"):
            launch(facilities, plain(cgroup, ("/bin/sleep", "1")))
        launched = launch(facilities, plain(cgroup, ("/bin/sleep", "2")))
        assert cgroup.pids() == [launched.pid]
        assert arguments_of(launched.pid)[1] == "2"
        os.close(launched.pidfd)


def test_an_interruption_while_waiting_leaves_no_reply_behind(tiny_image, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with open_facilities(new_run_name(), tiny_image) as facilities, facilities.new_cgroup("x", None) as cgroup:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("runtimes.launcher.client.socket.recv_fds", interrupted)
            launch(facilities, plain(cgroup, ("/bin/sleep", "1")))
        launched = launch(facilities, plain(cgroup, ("/bin/sleep", "2")))
        assert arguments_of(launched.pid)[1] == "2"
        os.close(launched.pidfd)


def test_a_launcher_that_hangs_does_not_keep_the_run_from_ending(tiny_image, monkeypatch):
    monkeypatch.setattr("runtimes.launcher.client._END_TIMEOUT", 0.5)
    with open_facilities(new_run_name(), tiny_image) as facilities:
        launcher = facilities.launcher.pid
        os.kill(launcher, signal.SIGSTOP)
    assert not runs(launcher)


def test_ctrl_c_at_the_terminal_does_not_reach_it(facilities):
    assert os.getsid(facilities.launcher.pid) == facilities.launcher.pid != os.getsid(0)


def test_an_instance_fails_when_the_launcher_is_killed(tiny_image, make_spec_for):
    with (
        open_facilities(new_run_name(), tiny_image) as facilities,
        ContainerRuntime.open(facilities, ContainerOptions()) as runtime,
        runtime.start(make_spec_for(facilities)) as instance,
    ):
        os.kill(facilities.launcher.pid, signal.SIGKILL)
        with pytest.raises(AgentGone):
            instance.agent.run(Command(("sleep", "10")))


def test_it_is_small_and_has_one_thread(facilities):
    proc = Path(f"/proc/{facilities.launcher.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    assert status["Threads"].strip() == "1"
    assert int(status["VmRSS"].split()[0]) < 20_000
    maps = (proc / "maps").read_text()
    assert "site-packages" not in maps


@pytest.mark.parametrize("kind", ["native", "container"])
def test_two_hundred_starts_leak_nothing(facilities, new_spec, kind):
    runtimes = {
        "native": (NativeRuntime, NativeOptions()),
        "container": (ContainerRuntime, ContainerOptions()),
    }
    cls, options = runtimes[kind]
    launcher = Path(f"/proc/{facilities.launcher.pid}")
    spec = new_spec()
    with cls.open(facilities, options) as runtime:
        with runtime.start(spec) as instance:
            instance.stop()
        before = host_traces(facilities), idle_descriptors(facilities.launcher.pid), count(launcher / "task")
        for _ in range(200):
            with runtime.start(spec) as instance:
                instance.stop()
        # The launcher learns of a process's end as we do, and may close what it has of the last one only after us.
        after = host_traces(facilities), idle_descriptors(facilities.launcher.pid), count(launcher / "task")
        assert after == before


@pytest.mark.skipif(not (UNIFIED / "cgroup.procs").exists(), reason="no unified hierarchy beside version 1")
def test_a_child_can_be_started_in_a_cgroup_of_version_2(facilities):
    directory = UNIFIED / facilities.run
    directory.mkdir()
    cgroup = CgroupV2("x", directory)
    try:
        launched = launch(facilities, plain(cgroup))
        assert cgroup.pids() == [launched.pid]
        cgroup.kill()
        assert cgroup.pids() == []
        os.close(launched.pidfd)
    finally:
        cgroup.remove()
    assert not directory.exists()


@pytest.mark.skipif(not (UNIFIED / "cgroup.procs").exists(), reason="no unified hierarchy beside version 1")
def test_the_harness_can_execute_in_a_cgroup_of_version_2_itself(facilities):
    directory = UNIFIED / facilities.run
    directory.mkdir()
    cgroup = CgroupV2("x", directory)
    try:
        with socket.socket() as stream, Path("/dev/null").open("w") as log:
            steps = run_alone_in(Path("/"), SLEEP)
            pid, pidfd = facilities.launcher.execute(steps, cgroup, (stream.fileno(), log.fileno()))
        assert cgroup.pids() == [pid]
        assert os.getsid(pid) == pid
        cgroup.kill()
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
    finally:
        cgroup.remove()
    assert not directory.exists()


def test_a_step_that_fails_in_a_child_of_the_harness_is_named_and_leaves_no_child(facilities):
    before = psutil.Process().children()
    with facilities.new_cgroup("x", None) as cgroup, socket.socket() as stream, Path("/dev/null").open("w") as log:
        steps = run_alone_in(Path("/no/such"), SLEEP)
        with pytest.raises(StepError, match="could not change the root: chroot /no/such: No such file"):
            facilities.launcher.execute(steps, cgroup, (stream.fileno(), log.fileno()))
    assert psutil.Process().children() == before


def test_requests_of_several_threads_overlap_and_each_gets_its_own_reply(facilities):
    """Replies come in the order of the requests; that of the last is asked for first."""
    with facilities.new_cgroup("x", None) as cgroup, socket.socket() as stream, Path("/dev/null").open("w") as log:
        programs = [("/bin/sleep", str(1000 + number)) for number in range(3)]
        with ExitStack() as stack:
            pending = [
                stack.enter_context(facilities.launcher.begin(plain(cgroup, argv), stream, log.fileno()))
                for argv in programs
            ]
            launched = [each.finish() for each in reversed(pending)][::-1]
        commands = [tuple(psutil.Process(each.pid).cmdline()) for each in launched]
        assert commands == programs
        for each in launched:
            os.close(each.pidfd)
