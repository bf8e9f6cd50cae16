"""Cgroups: parsing anywhere, version 1 on the real host."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from runtimes.base import HostError, Limits
from runtimes.cgroup import describe_version, directories, missing_controllers, open_cgroups, possible_directories
from runtimes.cgroup.base import quota
from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.cgroup.v1 import make_run_cgroups_v1
from runtimes.cgroup.v2 import CgroupV2

UNIFIED = Path("/sys/fs/cgroup/unified")
LIMITS = Limits(cpus=1, cpuset=(), memory=64 << 20)

V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_only_a_fraction_needs_a_quota():
    assert quota(2) is None
    assert quota(1.0) is None
    assert quota(1.5) == 150_000


def test_version_2_is_found():
    found = Hierarchies.parse("0::/user.slice/a b\n", V2_MOUNT)
    assert found == Hierarchies({}, Path("/sys/fs/cgroup/user.slice/a b"), Path("/sys/fs/cgroup"))


def test_hybrid_is_version_1_with_joint_controllers_and_escapes():
    mounts = (
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 / /sys/fs/with\\040space rw shared:1 - cgroup cgroup rw,memory\n"
        "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "35 31 0:32 / /proc rw - proc proc rw\n"
    )
    found = Hierarchies.parse("3:cpu,cpuacct:/a\n2:memory:/\n1:name=systemd:/x\n0::/b\n", mounts)
    assert found.v1 == {
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct/a"),
        "cpuacct": Path("/sys/fs/cgroup/cpu,cpuacct/a"),
        "memory": Path("/sys/fs/with space"),
    }
    assert found.v2 == Path("/sys/fs/cgroup/unified/b")


def test_only_a_part_of_a_hierarchy_may_be_mounted():
    mounts = "32 31 0:29 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    assert Hierarchies.parse("2:memory:/docker/x/y\n", mounts).v1["memory"] == Path("/sys/fs/cgroup/memory/y")
    assert Hierarchies.parse("2:memory:/elsewhere\n", mounts).v1["memory"] == Path("/sys/fs/cgroup/memory")


def test_a_missing_controller_of_version_1_is_named():
    with pytest.raises(HostError, match="cpuset, freezer"):
        make_run_cgroups_v1(
            Hierarchies({"memory": Path("/x"), "cpu": Path("/x"), "cpuacct": Path("/x")}, None, None), "r"
        )


def test_version_2_goes_from_our_own_upwards_to_what_is_mounted():
    found = Hierarchies({}, Path("/sys/fs/cgroup/a/b"), Path("/sys/fs/cgroup"))
    assert list(found.own_and_above()) == [Path("/sys/fs/cgroup", path) for path in ("a/b", "a", ".")]
    assert list(Hierarchies({}, None, None).own_and_above()) == []


def have(monkeypatch, found):
    monkeypatch.setattr(Hierarchies, "of_this_thread", classmethod(lambda _: found))


def test_missing_controllers_are_named(monkeypatch, tmp_path):
    have(monkeypatch, Hierarchies({"memory": Path("/x"), "cpu": Path("/x"), "cpuset": Path("/x")}, None, None))
    assert missing_controllers() == ["cpuacct", "freezer"]
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    have(monkeypatch, Hierarchies({}, tmp_path / "own", tmp_path))
    assert missing_controllers() == ["cpuset"]
    have(monkeypatch, Hierarchies({}, None, None))
    with pytest.raises(HostError, match="no control groups are mounted"):
        missing_controllers()


@pytest.mark.parametrize(
    ("found", "version"),
    [
        (Hierarchies({"memory": Path("/x")}, None, None), "v1"),
        (Hierarchies({"memory": Path("/x")}, Path("/y"), Path("/y")), "hybrid"),
        (Hierarchies({"name=systemd": Path("/x")}, Path("/y"), Path("/y")), "v2"),
        (Hierarchies({}, Path("/y"), Path("/y")), "v2"),
        (Hierarchies({}, None, None), "none"),
    ],
)
def test_the_version_goes_by_where_the_memory_controller_is(monkeypatch, found, version):
    have(monkeypatch, found)
    assert describe_version() == version


def test_all_directories_are_removed_although_one_cannot_be(monkeypatch, tmp_path):
    monkeypatch.setattr(directories, "_PATIENCE", 0.01)
    stubborn, other = tmp_path / "stubborn", tmp_path / "other"
    for directory in (stubborn, other):
        directory.mkdir()
    (stubborn / "file").touch()
    with pytest.raises(HostError, match=r"^cannot remove cgroup \S*/stubborn: \S+ \S+ Directory not empty: \S+$"):
        directories.remove_directories([stubborn, other, tmp_path / "gone"])
    assert stubborn.exists()
    assert not other.exists()


def test_all_that_a_run_may_make_is_known_before(monkeypatch):
    joint = Path("/cgroup/cpu,cpuacct")
    by_controller = {"memory": Path("/cgroup/memory"), "cpu": joint, "cpuacct": joint, "other": Path("/cgroup/other")}
    have(monkeypatch, Hierarchies(by_controller, None, None))
    assert possible_directories("bench-1") == [
        Path("/cgroup/memory/bench-1"),
        joint / "bench-1",
        Path("/cgroup/other/bench-1"),
    ]
    have(monkeypatch, Hierarchies({}, Path("/cgroup/own"), Path("/cgroup")))
    names = ("own/bench-1", "own/bench-1-harness", "bench-1", "bench-1-harness")
    assert possible_directories("bench-1") == [Path("/cgroup", name) for name in names]


# Version 1 and version 2, whichever this host has.


@pytest.fixture
def cgroups(request):
    with open_cgroups(f"bench-{os.getpid():08x}") as opened:
        yield opened
    assert not any(path.exists() for path in opened.directories)


def join(cgroup, *argv):
    def enter():
        for file in cgroup.procs_files:
            file.write_text("0")

    return subprocess.Popen(argv, preexec_fn=enter, stdout=subprocess.DEVNULL)  # noqa: PLW1509 no threads here


@pytest.mark.host
def test_what_was_made_was_possible(cgroups):
    assert set(cgroups.directories) <= set(possible_directories(cgroups.directories[0].name))
    assert missing_controllers() == []


@pytest.mark.host
def test_processes_are_counted_and_killed(cgroups):
    cgroup = cgroups.new("x", LIMITS)
    process = join(cgroup, "sh", "-c", "sleep 1000 & sleep 1000 & head -c 1000000 /dev/urandom >/dev/null; wait")
    deadline = time.monotonic() + 10
    while len(cgroup.pids()) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid in cgroup.pids()
    assert cgroup.current() > 0
    assert cgroup.peak() >= cgroup.split()["anon"] > 0
    assert cgroup.cpu().total > 0
    assert cgroup.oom_kills() == 0
    cgroup.kill()
    assert cgroup.pids() == []
    assert process.wait() == -9
    cgroup.remove()
    cgroup.remove()  # no error


@pytest.mark.host
def test_a_daemon_and_what_it_starts_are_told_apart(cgroups):
    if describe_version() == "v2":
        pytest.skip("the tree of a daemon is tested as that of version 2")
    daemon = cgroups.new_daemon_tree("engine")
    for cpus in (cgroups.cpus()[:1], cgroups.cpus(), cgroups.cpus()[-1:]):
        cgroups.keep_tree_to(daemon, cpus)
    instance = cgroups.new_tree("bench-x", cpu_weight=300, daemon=daemon)
    # As an engine does it: below its own cgroup in each hierarchy, and in the unified one below the top.
    for top in cgroups.directories:
        inside = UNIFIED / instance.directory if top.is_relative_to(UNIFIED) else top / "engine" / instance.directory
        assert inside.is_dir()
    process = join(instance.whole, "sleep", "1000")
    try:
        assert daemon.instances.pids() == daemon.whole.pids() == [process.pid]
        assert daemon.instances.cpu().total <= daemon.whole.cpu().total
        assert os.sched_getaffinity(process.pid) == set(cgroups.cpus()[-1:])
    finally:
        process.kill()
        process.wait()
    instance.whole.remove()
    assert daemon.instances.pids() == []
    (top,) = {top for top in cgroups.directories if (top / "cpu.shares").exists()}
    with cgroups.weighed(daemon, 300), cgroups.weighed(daemon, None):
        shares = [int(file.read_text()) for file in (top / "engine").rglob("cpu.shares")]
        assert set(shares) == {4096}
        assert len(shares) == 1 + len(Path(daemon.path).parts)
    assert int((top / "engine/cpu.shares").read_text()) == 1024
    daemon.whole.remove()
    assert not [path for top in cgroups.directories for path in top.rglob("*") if path.is_dir()]


@pytest.mark.host
def test_a_fork_bomb_does_not_outrun_kill(cgroups):
    cgroup = cgroups.new("x", LIMITS)
    process = join(cgroup, "sh", "-c", "f() { sleep 0.01; f & f & wait; }; f")
    deadline = time.monotonic() + 10
    while len(cgroup.pids()) < 20 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(cgroup.pids()) >= 4, "it has not gone off"
    cgroup.kill()
    time.sleep(0.05)
    assert cgroup.pids() == []
    process.wait()
    cgroup.remove()


@pytest.mark.host
def test_leaving_kills_what_is_left():
    with open_cgroups(f"bench-{os.getpid():08x}") as opened:
        process = join(opened.new("x", None), "sleep", "1000")
    assert process.wait(5) == -9


@pytest.mark.host
def test_memory_beyond_the_limit_is_refused(cgroups):
    cgroup = cgroups.new("x", LIMITS)
    process = join(cgroup, "dd", "if=/dev/zero", "of=/dev/null", f"bs={2 * LIMITS.memory}", "count=1", "status=none")
    assert process.wait(30) == -9
    assert cgroup.oom_kills() == 1
    assert cgroup.peak() <= LIMITS.memory


@pytest.mark.host
def test_the_memory_limit_can_be_left_out(cgroups):
    cgroup = cgroups.new("x", LIMITS, memory_limit=False)
    process = join(cgroup, "dd", "if=/dev/zero", "of=/dev/null", f"bs={2 * LIMITS.memory}", "count=1", "status=none")
    assert process.wait(30) == 0


@pytest.mark.host
def test_a_fraction_of_a_cpu_is_a_quota(cgroups):
    cgroup = cgroups.new("x", Limits(cpus=0.2, cpuset=(), memory=64 << 20))
    process = join(cgroup, "sh", "-c", "while :; do :; done")
    began, spent = time.monotonic(), cgroup.cpu().total
    time.sleep(1)
    share = (cgroup.cpu().total - spent) / (time.monotonic() - began)
    cgroup.kill()
    process.wait()
    assert share < 0.6


@pytest.mark.host
def test_limits_are_read_back(cgroups):
    limited = cgroups.new("limited", Limits(cpus=0.5, cpuset=(), memory=64 << 20))
    assert (limited.memory_limit(), limited.cpu_quota()) == (64 << 20, 0.5)
    whole = cgroups.new("whole", LIMITS, memory_limit=False)
    assert (whole.memory_limit(), whole.cpu_quota()) == (None, None)


def thread_that_starts(cgroup, argv):
    """A process that a thread of ours made while it was in the cgroup, if threads can be: version 2 has no place."""
    made = []

    def start():
        with cgroup.entered():
            made.append(subprocess.Popen(argv))
            sum(range(3_000_000))  # some hundredths of a second that are not the cgroup's

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    return made


@pytest.mark.host
def test_what_a_thread_makes_is_where_the_thread_is_and_the_thread_comes_back(cgroups):
    cgroup = cgroups.new("x", LIMITS)
    before = Hierarchies.of_this_thread()
    (process,) = thread_that_starts(cgroup, ["sleep", "100"])
    assert cgroup.pids() == ([] if cgroup.clone_into else [process.pid])
    assert Hierarchies.of_this_thread() == before
    assert cgroup.cpu().total < 0.02
    process.kill()
    process.wait()


@pytest.mark.host
def test_a_thread_of_ours_that_is_still_in_the_runs_cgroup_does_not_have_us_killed(cgroups):
    cgroup, stay = cgroups.new("x", LIMITS), threading.Event()

    def linger():
        with cgroup.entered():
            pass
        stay.wait(30)

    thread = threading.Thread(target=linger)
    thread.start()
    timer = threading.Timer(0.2, stay.set)
    timer.start()
    cgroups.remove()
    thread.join()
    assert not any(directory.exists() for directory in cgroups.directories)


@pytest.mark.host
def test_processes_stay_on_the_cpus_that_they_are_given(cgroups):
    for cpu in cgroups.cpus():
        cgroup = cgroups.new(f"on-{cpu}", Limits(1, (cpu,), LIMITS.memory), cpus=(cpu,))
        process = join(cgroup, "sleep", "1000")
        assert os.sched_getaffinity(process.pid) == {cpu}
        cgroup.kill()
        process.wait()


@pytest.mark.host
@pytest.mark.skipif(describe_version() == "v2", reason="this is version 2")
@pytest.mark.skipif(not (UNIFIED / "cgroup.procs").exists(), reason="no unified hierarchy beside version 1")
def test_version_2_kills_and_removes():
    directory = UNIFIED / f"bench-{os.getpid():08x}"
    directory.mkdir()
    (directory / "below").mkdir()
    cgroup = CgroupV2("x", directory)
    process = join(cgroup, "sleep", "1000")
    (directory / "below/cgroup.procs").write_text(str(process.pid))
    assert cgroup.pids() == [process.pid]
    cgroup.kill()
    assert process.wait(5) == -9
    cgroup.remove()
    assert not directory.exists()
