"""Cgroups: parsing anywhere, version 1 on the real host, version 2 on a directory tree that looks like it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtimes.base import HostError, IoLimits, Limits
from runtimes.cgroup import describe_version, directories, missing_controllers, open_cgroups, possible_directories
from runtimes.cgroup.base import quota
from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.cgroup.v1 import make_run_cgroups_v1
from runtimes.cgroup.v2 import CgroupV2, make_run_cgroups_v2

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


# Version 2 on a directory tree.


def fill(directory, **files):
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return directory


ALL = "cpuset cpu io memory pids"


DEFAULTS = {
    "cpu__max": "max 100000",
    "cpu__weight": "100",
    "memory__max": "max",
    "memory__swap__max": "max",
    "pids__max": "max",
    "io__max": "",
}
"""What the kernel has in a new cgroup, by file."""


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A unified hierarchy in which directories get the files that the kernel would give them."""
    top = fill(tmp_path / "cgroup", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs="")
    make = directories.make_directory

    def make_with_files(directory):
        make(directory)
        fill(directory, cpuset__cpus__effective="0-3", cgroup__procs="", **DEFAULTS)

    monkeypatch.setattr("runtimes.cgroup.v2.make_directory", make_with_files)
    return top


def test_v2_hands_controllers_down_from_our_own_cgroup(tree):
    own = fill(tree / "session", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs="")
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert cgroups.directories == [own / "bench-1"]
    for directory in (own, own / "bench-1"):
        assert (directory / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids +io"


def test_v2_hands_down_no_more_than_before(tree):
    """Whoever has switched them on: runtimes of others do so for all that there are, from the top downwards."""
    own = fill(tree / "session", cgroup__controllers=ALL, cgroup__subtree_control="cpu memory", cgroup__procs="")
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    for directory in (own, tree):
        (directory / "cgroup.subtree_control").write_text("cpu hugetlb io memory rdma")
    shutil.rmtree(own / "bench-1")
    cgroups.remove()
    assert (own / "cgroup.subtree_control").read_text() == "-hugetlb -io -rdma"
    assert (tree / "cgroup.subtree_control").read_text() == "-cpu -hugetlb -io -memory -rdma"


def test_v2_goes_above_a_cgroup_without_the_controllers(tree):
    own = fill(tree / "session", cgroup__controllers="memory pids", cgroup__subtree_control="", cgroup__procs="")
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert cgroups.directories == [tree / "bench-1"]


def refuse_while_occupied(monkeypatch, occupied):
    """Have the kernel's rule kept: what holds processes does not hand down controllers."""
    write_text = Path.write_text

    def write(path, text, *args, **kwargs):
        if path.name == "cgroup.procs" and text:
            old = occupied / "cgroup.procs"
            write_text(old, "".join(f"{pid}\n" for pid in old.read_text().split() if pid != text))
        if (
            path == occupied / "cgroup.subtree_control"
            and text.startswith("+")
            and (occupied / "cgroup.procs").read_text()
        ):
            raise OSError(errno.EBUSY, "Device or resource busy")
        return write_text(path, text, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", write)


def test_v2_moves_us_into_a_leaf_where_we_are_alone(tree, monkeypatch):
    own = fill(tree / "scope", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs=f"{os.getpid()}\n")
    refuse_while_occupied(monkeypatch, own)
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert cgroups.directories == [own / "bench-1"]
    assert (own / "bench-1-harness/cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.procs").read_text() == ""


def test_v2_undoes_what_it_changed_above(tree, monkeypatch):
    own = fill(
        tree / "scope", cgroup__controllers=ALL, cgroup__subtree_control="memory", cgroup__procs=f"{os.getpid()}\n"
    )
    refuse_while_occupied(monkeypatch, own)
    monkeypatch.setattr("runtimes.cgroup.v2.pids_below", lambda leaf: (leaf / "cgroup.procs").read_text().split())
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +cpuset +pids +io"
    # The kernel's files do not keep a directory from being removed; these do.
    monkeypatch.setattr("runtimes.cgroup.directories._remove_tree", shutil.rmtree)
    leaf = own / "bench-1-harness"
    moved = leaf / "cgroup.procs"

    def move(source, target):
        assert (source, target) == (leaf, own)
        moved.write_text("")

    monkeypatch.setattr("runtimes.cgroup.v2._move_processes", move)
    (own / "cgroup.subtree_control").write_text("cpu cpuset io memory pids")  # as the kernel tells it
    cgroups.remove()
    assert (own / "cgroup.subtree_control").read_text() == "-cpu -cpuset -io -pids"
    assert not (own / "bench-1").exists()
    assert not leaf.exists()


def test_v2_leaves_others_where_they_are_and_goes_above(tree, monkeypatch):
    own = fill(tree / "scope", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs=f"{os.getpid()}\n1\n")
    refuse_while_occupied(monkeypatch, own)
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert cgroups.directories == [tree / "bench-1"]
    assert (own / "cgroup.procs").read_text() == f"{os.getpid()}\n1\n"


def test_v2_says_how_to_get_a_cgroup_of_ones_own(tree):
    (tree / "cgroup.controllers").write_text("pids")
    with pytest.raises(HostError, match=r"no controller cpu, cpuset, memory.*Delegate=yes"):
        make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")


def test_v2_limits(tree):
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")
    made = cgroups.new("whole", Limits(2, (), 1 << 20), cpus=(2, 3))
    assert (made.memory_limit(), made.cpu_quota()) == (1 << 20, None)
    whole = tree / "bench-1/whole"
    assert (whole / "cpuset.cpus").read_text() == "2-3"
    assert (whole / "cpu.max").read_text() == DEFAULTS["cpu__max"]
    assert (whole / "memory.max").read_text() == str(1 << 20)
    assert (whole / "memory.swap.max").read_text() == "0"
    made = cgroups.new("part", Limits(1.5, (0, 1), 1 << 20), cpus=(0, 1), memory_limit=False)
    assert (made.memory_limit(), made.cpu_quota()) == (None, 1.5)
    part = tree / "bench-1/part"
    assert (part / "cpuset.cpus").read_text() == "0-1"
    assert (part / "cpu.max").read_text() == "150000 100000"
    assert (part / "memory.max").read_text() == DEFAULTS["memory__max"]
    assert (part / "memory.swap.max").read_text() == DEFAULTS["memory__swap__max"]
    cgroups.new("free", None)
    assert not (tree / "bench-1/free/cpuset.cpus").exists()


def test_v2_has_a_daemon_beside_its_instances(tree):
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-tree")
    daemon = cgroups.new_daemon_tree("engine")
    instance = cgroups.new_tree("bench-x", cpu_weight=300, daemon=daemon)
    run = cgroups.directories[0]
    assert daemon.helpers.clone_into == run / "engine/helpers"
    assert daemon.path == "/bench-tree/engine/instances"
    cgroups.keep_tree_to(daemon, (3, 4, 6))
    assert (cgroups.directories[0] / "engine/cpuset.cpus").read_text() == "3-4,6"
    assert instance.directory == f"{daemon.path}/bench-x"
    assert instance.helpers.clone_into == run / "engine/instances/bench-x/helpers"
    assert (run / "engine/instances/bench-x/cpu.weight").read_text() == "300"
    for handing_down in ("engine", "engine/instances", "engine/instances/bench-x"):
        assert "+memory" in (run / handing_down / "cgroup.subtree_control").read_text()
    with cgroups.weighed(daemon, 300), cgroups.weighed(daemon, None):
        assert [(run / path / "cpu.weight").read_text() for path in ("engine", "engine/instances")] == ["400", "400"]
        with cgroups.weighed(daemon, 10_000):
            assert (run / "engine/cpu.weight").read_text() == "10000"
    assert (run / "engine/cpu.weight").read_text() == "100"


def test_v2_cpu_time_of_a_run(tree):
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")
    (tree / "bench-1/cpu.stat").write_text("usage_usec 1250000\nuser_usec 1000000\n")
    assert cgroups.cpu_seconds() == 1.25


def test_v2_has_every_limit(tree, monkeypatch):
    monkeypatch.setattr("psutil.swap_memory", lambda: SimpleNamespace(total=1 << 30))
    io = IoLimits(read_bytes=5, write_bytes=6, read_ops=7, write_ops=8)
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")
    cgroup = cgroups.new("all", Limits(0.25, (), 1 << 20, cpu_weight=300, memory_swap=1 << 19, pids=12, io=io))
    directory = tree / "bench-1/all"
    expected = {
        "cpu.max": "25000 100000",
        "cpu.weight": "300",
        "memory.max": str(1 << 20),
        "memory.swap.max": str(1 << 19),
        "pids.max": "12",
    }
    assert {name: (directory / name).read_text() for name in expected} == expected
    monkeypatch.setattr("runtimes.cgroup.base.number_of", lambda device: "7:3")
    cgroup.limit_io(Path("/dev/loop3"), io)
    words = (directory / "io.max").read_text().split()
    assert words[0] == "7:3"
    assert set(words[1:]) == {"rbps=5", "wbps=6", "riops=7", "wiops=8"}


@pytest.mark.parametrize(
    ("limits", "controllers", "missing"),
    [
        ({"pids": 12}, "cpuset cpu memory io", "pids"),
        ({"io": IoLimits(read_ops=1)}, "cpuset cpu memory pids", "io"),
    ],
)
def test_v2_refuses_a_limit_whose_controller_it_does_not_get(tree, limits, controllers, missing):
    (tree / "cgroup.controllers").write_text(controllers)
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")
    cgroups.check_limits(Limits(1, (), 1 << 20))
    with pytest.raises(HostError, match=rf"\w+ needs the cgroup controller {missing}.*Delegate="):
        cgroups.check_limits(Limits(1, (), 1 << 20, **limits))


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("memory.max", "524288", "memory: 1048576 cannot be given; we are in the cgroup .*, which has 524288"),
        ("cpu.max", "75000 50000", r"cpus: 2 cannot be given; we are in the cgroup .*, which has 1\.5"),
        ("pids.max", "5", "pids: 12 cannot be given; we are in the cgroup .*, which has 5"),
    ],
)
def test_v2_refuses_what_a_cgroup_above_does_not_leave(tree, file, text, told):
    own = fill(tree / "scope", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs="", **DEFAULTS)
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    cgroups.check_limits(Limits(2, (), 1 << 20, pids=11))
    (own / file).write_text(f"{text}\n")
    with pytest.raises(HostError, match=told):
        cgroups.check_limits(Limits(2, (), 1 << 20, pids=12))


def test_v2_refuses_a_limit_that_its_kernel_has_no_file_for(tree):
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")
    (tree / "bench-1/cpu.max").unlink()
    with pytest.raises(HostError, match=r"cpus cannot be enforced: this kernel has no cpu.max.*CONFIG_CFS_BANDWIDTH"):
        cgroups.check_limits(Limits(0.5, (), 1 << 20))


def test_v2_figures(tmp_path):
    directory = fill(
        tmp_path / "x",
        memory__current="8192",
        memory__peak="16384",
        memory__stat="anon 4096\nfile 2048\nshmem 1024\nfile_mapped 0\nslab 512\npagetables 256\n"
        "sec_pagetables 128\nzswap 9\n",
        memory__events="low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\noom_group_kill 0\n",
        cpu__stat="usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
        cgroup__procs="12\n7\n",
    )
    cgroup = CgroupV2("x", directory)
    assert (cgroup.current(), cgroup.peak(), cgroup.oom_kills(), cgroup.cpu().total) == (8192, 16384, 1, 1.5)
    assert cgroup.split() == {
        "anon": 4096, "file": 2048, "shmem": 1024, "file_mapped": 0,
        "slab": 512, "page_tables": 256, "sec_page_tables": 128, "kernel": 512 + 256,
    }  # fmt: skip
    assert cgroup.pids() == [7, 12]
    (directory / "memory.peak").unlink()  # before Linux 5.19
    assert cgroup.peak() == 8192
    (directory / "memory.current").write_text("100")
    assert cgroup.peak() == 8192
