"""What a cgroup's files say, on directories as the kernel fills them, of version 1 and version 2."""

from __future__ import annotations

import errno
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtimes.accounting import unreclaimable_part
from runtimes.base import HostError, IoLimits, IoUsage, Limits
from runtimes.cgroup import directories, disks
from runtimes.cgroup.directories import settled_memory_statistics
from runtimes.cgroup.figures import CpuTime, parse_blkio, parse_io_stat, parse_pressure
from runtimes.cgroup.v1 import CgroupV1, RunCgroupsV1
from runtimes.cgroup.v2 import CgroupV2

ALL = ("cpuset", "cpu", "io", "memory", "pids")


def fill(directory, files):
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


@pytest.fixture
def devices(tmp_path, monkeypatch):
    """The host's disks: 254:0 with a partition 254:1, a mapped 253:0 on that, and a loop device 7:0."""
    real = tmp_path / "devices"
    known = fill(tmp_path / "block", {})
    for number, name in (("254:0", "vda"), ("254:1", "vda/vda1"), ("253:0", "dm-0"), ("7:0", "loop0")):
        fill(real / name, {"dev": f"{number}\n"})
        (known / number).symlink_to(real / name)
    (real / "vda/slaves").mkdir()
    (real / "vda/vda1/partition").write_text("1\n")
    fill(real / "dm-0/slaves", {})
    (real / "dm-0/slaves/vda1").symlink_to(real / "vda/vda1")
    monkeypatch.setattr(disks, "SYS_DEVICES", known)
    return known


def test_disks_at_the_bottom(devices):
    assert disks.is_at_the_bottom("254:0")
    assert not disks.is_at_the_bottom("253:0")
    assert not disks.is_at_the_bottom("7:0")


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        (["254:0"], {"254:0"}),
        (["254:1"], {"254:0"}),
        (["253:0"], {"254:0"}),
        (["7:0", "253:0"], {"254:0"}),
        (["0:9"], set()),
    ],
    ids=["disk", "partition", "mapped", "loop device on a file on the mapped one", "in memory"],
)
def test_the_disk_that_holds_a_file_is_found_through_all_that_is_put_together(
    devices, tmp_path, monkeypatch, numbers, found
):
    """``numbers`` are those of the file systems that the file lies on, and the files that hold these, in turn."""
    (tmp_path / "disk.ext4").touch()
    fill(devices / "7:0/loop", {"backing_file": f"{tmp_path}/disk.ext4\n"})
    monkeypatch.setattr(disks, "_number", lambda _: numbers.pop(0))
    assert disks.disks_that_hold(tmp_path) == found


def test_cpu_time_is_divided_as_it_was_sampled():
    assert CpuTime.divided(10, 3, 1, 0.5) == CpuTime(total=10, user=7.5, system=2.5, throttled=0.5)
    assert CpuTime.divided(10, 0, 0, 0) == CpuTime(total=10, user=10, system=0, throttled=0)
    assert CpuTime.divided(10, 0, 2, 0) == CpuTime(total=10, user=0, system=10, throttled=0)


def test_io_of_version_2_is_summed_over_disks_with_and_without_other_figures():
    text = (
        "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=512 dios=1\n"
        "7:0 rbytes=1 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n"
        "259:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0 cost.usage=9\n"
        "8:0\n"
    )
    counted = {"254:0", "259:0", "8:0"}
    assert parse_io_stat(text, counted.__contains__) == IoUsage(4097, 8194, 4, 6)
    assert parse_io_stat("", counted.__contains__) == IoUsage(0, 0, 0, 0)


def test_io_of_version_1_is_summed_over_disks():
    service_bytes = "254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 1\n254:0 Total 12288\n7:0 Read 9\nTotal 12297\n"
    serviced = "254:0 Read 1\n254:0 Write 2\n7:0 Read 9\nTotal 12\n"
    assert parse_blkio(service_bytes, serviced, "254:0".__eq__) == IoUsage(4096, 8192, 1, 2)
    assert parse_blkio("Total 0\n", "Total 0\n", "254:0".__eq__) == IoUsage(0, 0, 0, 0)


def test_pressure_is_that_of_some():
    some, full = ("some avg10=0.10 avg60=0.00 avg300=0.00 total=1250000", "full avg10=0.00 total=9")
    assert parse_pressure(f"{some}\n{full}\n") == 1.25
    assert parse_pressure("") is None


STAT = "anon 4096\nfile 0\n"


def read_paths(monkeypatch):
    """The files that are read from now on, in order."""
    read: list[Path] = []
    read_bytes, read_text = Path.read_bytes, Path.read_text
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))
    monkeypatch.setattr(Path, "read_text", lambda path, *_, **__: read.append(path) or read_text(path))
    return read


def test_memory_is_read_after_the_kernel_was_made_to_add_it_up(tmp_path, monkeypatch):
    top, own, instance = tmp_path / "cgroup", tmp_path / "cgroup/own", tmp_path / "cgroup/own/instance"
    for directory in (top, own, instance):
        fill(directory, {"memory.stat": STAT})
    read = read_paths(monkeypatch)
    assert settled_memory_statistics(instance) == {"anon": 4096, "file": 0}
    assert read == [top / "memory.stat", instance / "memory.stat"]


def test_memory_is_added_up_on_version_2_by_the_file_that_always_does(tmp_path, monkeypatch):
    instance = fill(tmp_path / "cgroup/instance", {"memory.stat": STAT, "cpu.stat": "usage_usec 0\n"})
    read = read_paths(monkeypatch)
    assert CgroupV2("instance", instance).split() == {"anon": 4096, "file": 0, "kernel": 0}
    assert read[0] == instance / "cpu.stat"
    assert read[-1] == instance / "memory.stat"


def test_what_can_be_reclaimed_is_told_without_having_anything_added_up(tmp_path, monkeypatch):
    stat = "anon 60\nfile 30\nshmem 5\nkernel 10\nslab 7\nslab_reclaimable 4\nslab_unreclaimable 3\n"
    instance = fill(tmp_path / "cgroup/instance", {"memory.stat": stat})
    fill(tmp_path / "cgroup", {"memory.stat": STAT})
    read = read_paths(monkeypatch)
    assert unreclaimable_part(CgroupV2("instance", instance).quick_split()) == 60 + 5 + 10 - 4
    assert read == [instance / "memory.stat"]


def test_before_linux_5_18_the_kernels_own_memory_is_added_up(tmp_path):
    stat = "anon 60\nfile 30\nshmem 5\nkernel_stack 2\nslab 7\nslab_reclaimable 4\nslab_unreclaimable 3\npercpu 1\n"
    cgroup = CgroupV2("instance", fill(tmp_path / "cgroup/instance", {"memory.stat": stat, "cpu.stat": ""}))
    assert cgroup.split()["kernel"] == 2 + 7 + 1
    assert unreclaimable_part(cgroup.quick_split()) == 60 + 5 + 10 - 4


def test_version_1_has_all_kernel_memory_for_what_cannot_be_reclaimed(tmp_path):
    stat = "cache 1\ntotal_cache 30\ntotal_rss 60\ntotal_shmem 5\ntotal_mapped_file 2\n"
    directory = fill(tmp_path / "memory/instance", {"memory.stat": stat, "memory.kmem.usage_in_bytes": "10\n"})
    directories = dict.fromkeys(("memory", "cpu", "cpuacct"), directory)
    assert unreclaimable_part(CgroupV1("instance", directories).quick_split()) == 60 + 5 + 10


V2 = {
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n"
    "nr_periods 9\nnr_throttled 3\nthrottled_usec 250000\nnr_bursts 0\nburst_usec 0\n",
    "pids.peak": "17\n",
    "pids.events": "max 3\n",
    "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
    "7:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\nfull avg10=0.00 avg60=0.00 total=0\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 total=0\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 total=0\n",
}


def test_figures_of_version_2(tmp_path, devices):
    cgroup = CgroupV2("x", fill(tmp_path / "x", V2), ALL)
    assert cgroup.cpu() == CpuTime(total=1.5, user=1.0, system=0.5, throttled=0.25)
    assert cgroup.pids_peak() == 17
    assert cgroup.pids_limit_hits() == 3
    assert cgroup.io() == IoUsage(4096, 8192, 1, 2)
    assert cgroup.pressure() == {"cpu": 0.5, "memory": 0.0, "io": 1e-6}


def test_refused_processes_are_counted_wherever_they_were(tmp_path):
    cgroup = CgroupV2("x", fill(tmp_path / "x", V2), ALL)
    fill(tmp_path / "x/below/farther", {"pids.events": "max 4\n"})
    assert cgroup.pids_limit_hits() == 7


def test_what_a_kernel_or_a_host_of_version_2_does_not_have_is_not_told(tmp_path):
    older = CgroupV2("x", fill(tmp_path / "x", {"pids.events": "max 0\n", "cpu.stat": "usage_usec 1000000\n"}), ALL)
    assert older.pids_peak() is None
    assert older.pressure() == {}
    assert older.cpu().throttled == 0
    undelegated = CgroupV2("x", fill(tmp_path / "y", V2), ("cpu", "cpuset", "memory"))
    assert (undelegated.pids_peak(), undelegated.pids_limit_hits(), undelegated.io()) == (None, 0, None)


def test_pressure_that_is_switched_off_is_not_told(tmp_path, monkeypatch):
    cgroup = CgroupV2("x", fill(tmp_path / "x", V2), ALL)
    read_text = Path.read_text

    def refuse(path, *args, **kwargs):
        if path.name.endswith(".pressure"):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert cgroup.pressure() == {}


V1 = {
    "memory.stat": "cache 1\nrss 1\ntotal_cache 2048\ntotal_rss 4096\ntotal_shmem 1024\ntotal_mapped_file 512\n",
    "memory.kmem.usage_in_bytes": "256\n",
    "memory.usage_in_bytes": "8192\n",
    "memory.max_usage_in_bytes": "16384\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "cpuacct.usage": "4000000000\n",
    "cpuacct.usage_user": "1500000000\n",
    "cpuacct.usage_sys": "500000000\n",
    "cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 250000000\n",
    "pids.events": "max 1\n",
    "blkio.throttle.io_service_bytes_recursive": "254:0 Read 4096\n254:0 Write 8192\n7:0 Read 1\nTotal 12289\n",
    "blkio.throttle.io_serviced_recursive": "254:0 Read 1\n254:0 Write 2\n7:0 Read 1\nTotal 4\n",
}
V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "cpuset", "freezer", "pids", "blkio")


def test_figures_of_version_1(tmp_path, devices):
    directory = fill(tmp_path / "x", V1)
    cgroup = CgroupV1("x", dict.fromkeys(V1_CONTROLLERS, directory), directory)
    assert cgroup.cpu() == CpuTime(total=4.0, user=3.0, system=1.0, throttled=0.25)
    assert cgroup.split() == {"anon": 4096, "file": 2048, "shmem": 1024, "file_mapped": 512, "kernel": 256}
    assert (cgroup.current(), cgroup.peak(), cgroup.oom_kills()) == (8192, 16384, 2)
    assert (cgroup.pids_peak(), cgroup.pids_limit_hits()) == (None, 1)
    assert cgroup.io() == IoUsage(4096, 8192, 1, 2)
    assert cgroup.pressure() == {}


def test_io_that_version_1_does_not_account_for_is_not_told(tmp_path):
    directory = fill(tmp_path / "x", V1)
    assert CgroupV1("x", dict.fromkeys(V1_CONTROLLERS, directory)).io() is None


V1_FILES = {
    "cpuset.cpus": "0-3\n",
    "cpuset.mems": "0\n",
    "cpu.cfs_quota_us": "-1\n",
    "cpu.shares": "1024\n",
    "memory.memsw.limit_in_bytes": "max\n",
    "pids.max": "max\n",
    "blkio.throttle.read_bps_device": "",
}
"""What the kernel has in a new cgroup that tells which limits it can enforce."""


@pytest.fixture
def version_1(tmp_path, monkeypatch):
    """A run's directory, all controllers in one hierarchy, in which cgroups get the files that the kernel has there."""
    run = fill(tmp_path / "bench-1", V1_FILES)
    make = directories.make_directory

    def make_with_files(directory):
        make(directory)
        fill(directory, V1_FILES)

    monkeypatch.setattr("runtimes.cgroup.v1.make_directory", make_with_files)
    return run


def test_version_1_has_every_limit(version_1, monkeypatch):
    monkeypatch.setattr("psutil.swap_memory", lambda: type("Swap", (), {"total": 1 << 30}))
    io = IoLimits(read_bytes=5, write_bytes=6, read_ops=7, write_ops=8)
    cgroups = RunCgroupsV1(dict.fromkeys(V1_CONTROLLERS, version_1))
    limits = Limits(1.5, (), 1 << 20, cpu_weight=300, memory_swap=1 << 19, pids=12, io=io)
    cgroup = cgroups.new("all", limits, cpus=(2, 3))
    monkeypatch.setattr("runtimes.cgroup.base.number_of", lambda device: "7:3")
    cgroup.limit_io(Path("/dev/loop3"), io)
    expected = {
        "cpuset.cpus": "2-3",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "150000",
        "cpu.shares": "3072",
        "memory.limit_in_bytes": str(1 << 20),
        "memory.memsw.limit_in_bytes": str((1 << 20) + (1 << 19)),
        "pids.max": "12",
        "blkio.throttle.read_bps_device": "7:3 5",
        "blkio.throttle.write_bps_device": "7:3 6",
        "blkio.throttle.read_iops_device": "7:3 7",
        "blkio.throttle.write_iops_device": "7:3 8",
    }
    assert {name: (version_1 / "all" / name).read_text() for name in expected} == expected


def test_a_runs_cpu_time_is_that_of_its_cgroup_and_of_instances_elsewhere(version_1):
    (version_1 / "cpuacct.usage").write_text("2500000000\n")
    cgroups = RunCgroupsV1(dict.fromkeys(V1_CONTROLLERS, version_1))
    assert cgroups.cpu_seconds() == 2.5
    for name, seconds in (("one", 1.0), ("two", 0.25), ("one", 1.5)):
        cgroups.note_elsewhere(name, seconds)
    assert cgroups.cpu_seconds() == 4.25


def test_version_1_has_the_run_in_other_hierarchies_before_an_instance_that_starts_beside_another(
    version_1, monkeypatch
):
    """The one that comes second goes on only after the run's directory, that the first one makes, is there."""
    other = version_1.parent / "rdma"
    cgroups = RunCgroupsV1(dict.fromkeys(V1_CONTROLLERS, version_1), others={"rdma": other})
    making = threading.Event()
    mkdir = Path.mkdir

    def slow_mkdir(path, *args, **kwargs):
        if path == other:
            making.set()
            time.sleep(0.2)
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", slow_mkdir)
    with ThreadPoolExecutor(2) as starting:
        first = starting.submit(cgroups.new_tree, "first")
        assert making.wait(10)
        second = starting.submit(cgroups.new_tree, "second")
        trees = [first.result(), second.result()]
    assert [tree.whole.name for tree in trees] == ["first", "second"]
    assert {each.name for each in other.iterdir() if each.is_dir()} == {"first", "second"}


def test_version_1_sets_what_was_not_asked_for_to_nothing(version_1):
    RunCgroupsV1(dict.fromkeys(V1_CONTROLLERS, version_1)).new("plain", Limits(1, (), 1 << 20))
    plain = version_1 / "plain"
    unset = ("cpu.cfs_quota_us", "cpu.shares", "pids.max", "blkio.throttle.read_bps_device")
    assert {name: (plain / name).read_text() for name in unset} == {name: V1_FILES[name] for name in unset}
    assert (plain / "memory.memsw.limit_in_bytes").read_text() == str(1 << 20)


@pytest.mark.parametrize(("limits", "controller"), [({"pids": 12}, "pids"), ({"io": IoLimits(read_ops=1)}, "blkio")])
def test_version_1_refuses_a_limit_whose_controller_it_does_not_get(version_1, limits, controller):
    having = dict.fromkeys(V1_CONTROLLERS, version_1)
    del having[controller]
    cgroups = RunCgroupsV1(having)
    cgroups.check_limits(Limits(1, (), 1 << 20))
    with pytest.raises(HostError, match=rf"needs the cgroup controller {controller}.*mount -t cgroup -o {controller}"):
        cgroups.check_limits(Limits(1, (), 1 << 20, **limits))


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            "memory.limit_in_bytes",
            "524288",
            "memory: 1048576 cannot be given; we are in the cgroup .*, which has 524288",
        ),
        ("cpu.cfs_quota_us", "75000", r"cpus: 1 cannot be given; we are in the cgroup .*, which has 0\.75"),
        ("pids.max", "5", "pids: 12 cannot be given; we are in the cgroup .*, which has 5"),
    ],
)
def test_version_1_refuses_what_a_cgroup_above_does_not_leave(version_1, file, text, told):
    fill(version_1.parent, {**V1_FILES, "cpu.cfs_period_us": "100000\n", "memory.limit_in_bytes": f"{1 << 60}\n"})
    cgroups = RunCgroupsV1(dict.fromkeys(V1_CONTROLLERS, version_1))
    cgroups.check_limits(Limits(1, (), 1 << 20, pids=11))
    (version_1.parent / file).write_text(f"{text}\n")
    with pytest.raises(HostError, match=told):
        cgroups.check_limits(Limits(1, (), 1 << 20, pids=12))
