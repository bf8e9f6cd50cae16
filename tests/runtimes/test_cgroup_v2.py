"""Cgroups of version 2 on a directory tree that looks like the kernel's."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtimes.base import HostError, IoLimits, Limits
from runtimes.cgroup import directories
from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.cgroup.v2 import CgroupV2, make_run_cgroups_v2

LIMITS = Limits(cpus=1, cpuset=(), memory=64 << 20)


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


def test_hands_controllers_down_from_our_own_cgroup(tree):
    own = fill(tree / "session", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs="")
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert cgroups.directories == [own / "bench-1"]
    for directory in (own, own / "bench-1"):
        assert (directory / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids +io"


@pytest.fixture
def changed_by_others(tree, monkeypatch):
    """A run's cgroup two levels deep, after which all controllers were switched on from the top downwards."""
    # The kernel's files do not keep a directory from being removed; these do.
    monkeypatch.setattr("runtimes.cgroup.directories._remove_tree", shutil.rmtree)
    own = fill(tree / "session", cgroup__controllers=ALL, cgroup__subtree_control="cpu memory", cgroup__procs="")
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")

    def change():
        for directory in (own, tree):
            (directory / "cgroup.subtree_control").write_text("cpu cpuset hugetlb io memory pids rdma")

    return cgroups, change, own / "cgroup.subtree_control", tree / "cgroup.subtree_control"


def test_undoes_what_an_engine_changed_all_the_way_up(changed_by_others):
    cgroups, change, own, top = changed_by_others
    cgroups.new_tree("bench-x")
    change()
    cgroups.remove()
    assert own.read_text() == "-cpuset -hugetlb -io -pids -rdma"
    assert top.read_text() == "-cpu -cpuset -hugetlb -io -memory -pids -rdma"


def test_leaves_what_others_changed_where_no_engine_was(changed_by_others):
    cgroups, change, own, top = changed_by_others
    cgroups.new("bench-x", LIMITS)
    change()
    unchanged = top.read_text()
    cgroups.remove()
    assert own.read_text() == "-cpuset -pids -io"
    assert top.read_text() == unchanged


def test_goes_above_a_cgroup_without_the_controllers(tree):
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


def test_moves_us_into_a_leaf_where_we_are_alone(tree, monkeypatch):
    own = fill(tree / "scope", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs=f"{os.getpid()}\n")
    refuse_while_occupied(monkeypatch, own)
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert cgroups.directories == [own / "bench-1"]
    assert (own / "bench-1-harness/cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.procs").read_text() == ""


def test_undoes_what_it_changed_above(tree, monkeypatch):
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
    cgroups.remove()
    assert (own / "cgroup.subtree_control").read_text() == "-cpu -cpuset -pids -io"
    assert not (own / "bench-1").exists()
    assert not leaf.exists()


def test_leaves_others_where_they_are_and_goes_above(tree, monkeypatch):
    own = fill(tree / "scope", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs=f"{os.getpid()}\n1\n")
    refuse_while_occupied(monkeypatch, own)
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    assert cgroups.directories == [tree / "bench-1"]
    assert (own / "cgroup.procs").read_text() == f"{os.getpid()}\n1\n"


def test_says_how_to_get_a_cgroup_of_ones_own(tree):
    (tree / "cgroup.controllers").write_text("pids")
    with pytest.raises(HostError, match=r"no controller cpu, cpuset, memory.*Delegate=yes"):
        make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")


def test_limits(tree):
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


def test_has_a_daemon_beside_its_instances(tree):
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


def test_cpu_time_of_a_run(tree):
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")
    (tree / "bench-1/cpu.stat").write_text("usage_usec 1250000\nuser_usec 1000000\n")
    assert cgroups.cpu_seconds() == 1.25


def test_has_every_limit(tree, monkeypatch):
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
def test_refuses_a_limit_whose_controller_it_does_not_get(tree, limits, controllers, missing):
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
def test_refuses_what_a_cgroup_above_does_not_leave(tree, file, text, told):
    own = fill(tree / "scope", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs="", **DEFAULTS)
    cgroups = make_run_cgroups_v2(Hierarchies({}, own, tree), "bench-1")
    cgroups.check_limits(Limits(2, (), 1 << 20, pids=11))
    (own / file).write_text(f"{text}\n")
    with pytest.raises(HostError, match=told):
        cgroups.check_limits(Limits(2, (), 1 << 20, pids=12))


def test_refuses_a_limit_that_its_kernel_has_no_file_for(tree):
    cgroups = make_run_cgroups_v2(Hierarchies({}, tree, tree), "bench-1")
    (tree / "bench-1/cpu.max").unlink()
    with pytest.raises(HostError, match=r"cpus cannot be enforced: this kernel has no cpu.max.*CONFIG_CFS_BANDWIDTH"):
        cgroups.check_limits(Limits(0.5, (), 1 << 20))


def test_figures(tmp_path):
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
