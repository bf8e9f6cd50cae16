"""What a run holds of the host is given back, however it ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from traces import loop_files, new_run_name, runs

from runtimes import syscalls
from runtimes.agent.client import Command
from runtimes.base import HostError, Image, Limits
from runtimes.cgroup import RunCgroups
from runtimes.facilities import check_host, open_facilities, reclaim
from runtimes.leftovers import scratch_parent
from runtimes.peer import open_peer
from runtimes.storage import make_scratch

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]

RUNNER = """
import signal, sys, time
from contextlib import ExitStack
from pathlib import Path
from runtimes.agent.client import Command
from runtimes.base import Image, InstanceSpec, Limits
from runtimes.container.runtime import ContainerOptions, ContainerRuntime
from runtimes.facilities import open_facilities
from runtimes.native import NativeOptions, NativeRuntime
from runtimes.storage import make_scratch

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have it ignored
run, rootfs, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
image = Image("tiny", rootfs)
with ExitStack() as stack:
    facilities = stack.enter_context(open_facilities(run, image))
    arms = [(NativeRuntime, NativeOptions()), (ContainerRuntime, ContainerOptions())]
    for number, (kind, options) in enumerate(arms):
        runtime = stack.enter_context(kind.open(facilities, options))
        scratch = facilities.scratch_directory / str(number)
        make_scratch(scratch, 16 << 20)
        spec = InstanceSpec(f"{run}-{number}", image, Limits(1, (), 64 << 20), scratch, directory)
        instance = stack.enter_context(runtime.start(spec))
        instance.agent.run(Command(("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")))
    print("pids", facilities.launcher.pid, *(pid for path in facilities.cgroups.directories
          for file in path.rglob("cgroup.procs") for pid in file.read_text().split()))
    print("cgroups", *facilities.cgroups.directories, flush=True)
    time.sleep(1000)
"""


@contextmanager
def runner(image, directory):
    """A process that holds a native instance and a container, in a process group of its own.

    Yields:
        Its handle, the name of its run, the pids of all that it started, the run's cgroup directories.
    """
    run = new_run_name()
    arguments = [sys.executable, "-c", RUNNER, run, str(image.rootfs), str(directory)]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, process_group=0
    )
    with process.stdout:
        try:
            pids = [int(pid) for pid in process.stdout.readline().split()[1:]]
            cgroups = [Path(path) for path in process.stdout.readline().split()[1:]]
            assert len(set(pids)) >= 1 + 2 * 2  # launcher; two agents with a sleeper each
            yield process, run, pids, cgroups
        finally:
            process.kill()
            process.wait()


def namespaces():
    return [str(Path(f"/proc/thread-self/ns/{kind}").readlink()) for kind in ("mnt", "net")]


def test_the_thread_is_back_where_it_was(tiny_image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = namespaces(), loop_files_of_ours()
    stop = threading.Event()
    with open_facilities(new_run_name(), tiny_image) as facilities:
        assert namespaces()[0] != before[0][0]
        assert namespaces()[1] != before[0][1]
        assert facilities.root.is_mount()
        # A thread that lives on, as a library's may, must not keep us in.
        thread = threading.Thread(target=stop.wait)
        thread.start()
    try:
        assert (namespaces(), loop_files_of_ours()) == before
        assert Path.cwd() == tmp_path
        assert not facilities.directory.exists()
        assert not facilities.scratch_directory.exists()
        assert not any(path.exists() for path in facilities.cgroups.directories)
    finally:
        stop.set()
        thread.join()


def test_an_exception_gives_all_back(tiny_image):
    before = namespaces()
    with pytest.raises(ZeroDivisionError), open_facilities(new_run_name(), tiny_image) as facilities:
        launcher = facilities.launcher.pid
        raise ZeroDivisionError
    assert namespaces() == before
    assert not facilities.directory.exists()
    assert not Path(f"/proc/{launcher}").exists()


def no_file_system(path, image):
    path.write_bytes(bytes(1 << 20))


def truncated(path, image):
    path.write_bytes(image.rootfs.read_bytes()[: 8 << 20])


def empty(path, image):
    path.touch()


def missing(path, image):
    pass


def directory(path, image):
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (no_file_system, r"the image \S+rootfs.ext4 cannot be used: cannot mount .* if it is damaged, remove "),
        (truncated, r"the image \S+rootfs.ext4 cannot be used: .* if it is damaged, remove "),
        (empty, r"the image \S+rootfs.ext4 cannot be used: .* if it is damaged, remove "),
        (missing, r"no image at \S+rootfs.ext4: build it with `bench image build`"),
        (directory, r"no image at \S+rootfs.ext4: build it with `bench image build`"),
    ],
)
def test_an_image_that_cannot_be_used_gives_all_back(tiny_image, tmp_path, damage, told):
    before = namespaces()
    rootfs = tmp_path / "rootfs.ext4"
    damage(rootfs, tiny_image)
    run = new_run_name()
    with pytest.raises(HostError, match=told), open_facilities(run, Image("x", rootfs)):
        pass
    assert namespaces() == before
    assert not Path("/run", run).exists()
    assert str(rootfs) not in loop_files()


@pytest.fixture
def read_only_directory(tmp_path):
    place = tmp_path / "read-only"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "bench-test", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_place_for_scratch_disks_that_cannot_be_written_is_told(tiny_image, read_only_directory, monkeypatch):
    run = new_run_name()
    for place in (read_only_directory, read_only_directory / "missing"):
        monkeypatch.setenv("BENCH_SCRATCH", str(place))
        with (
            pytest.raises(HostError, match=rf"cannot make the directory {place}/\S+: .*set BENCH_SCRATCH to"),
            open_facilities(run, tiny_image),
        ):
            pass
        assert not Path("/run", run).exists()


def test_two_runs_at_once_do_not_meet(tiny_image):
    with open_facilities(new_run_name(), tiny_image) as one, open_facilities(new_run_name(), tiny_image) as other:
        assert one.directory != other.directory
        assert one.network.gateway == other.network.gateway


def test_a_name_that_is_taken_is_refused(tiny_image):
    with open_facilities(new_run_name(), tiny_image) as one:
        with pytest.raises(HostError, match=one.run), open_facilities(one.run, tiny_image):
            pass
        assert one.directory.exists()


def test_limits_that_the_host_cannot_give(tiny_image):
    with open_facilities(new_run_name(), tiny_image) as facilities:
        check_host([Limits(1, (), 1 << 20)])
        for limits, told in (
            (Limits(1, (4095,), 1 << 20), "no CPU 4095"),
            (Limits(4096, (), 1 << 20), "4096 CPUs"),
            (Limits(0, (), 1 << 20), "0 CPUs"),
            (Limits(1, (), 1 << 60), "bytes of memory"),
        ):
            with pytest.raises(HostError, match=told):
                check_host([limits])
            with pytest.raises(HostError, match=told), facilities.new_cgroup("x", limits):
                pass
        assert not any((path / "x").exists() for path in facilities.cgroups.directories)


@pytest.mark.parametrize("call", ["unshare", "mount"])
def test_a_kernel_that_refuses_namespaces_is_told_by_the_call(tiny_image, monkeypatch, call):
    before = namespaces()
    run = new_run_name()

    def refuse(*_):
        raise PermissionError(errno.EPERM, f"{call} …: Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(syscalls, call, refuse)
        with pytest.raises(HostError, match=rf"namespaces.*{call} …: Operation not permitted"):
            open_facilities(run, tiny_image).__enter__()
    assert namespaces() == before
    assert not Path("/run", run).exists()


def test_a_cgroup_that_cannot_be_removed_is_left_to_be_reclaimed(tiny_image, monkeypatch):
    run = new_run_name()

    def refuse(_):
        raise HostError("cannot remove cgroup: busy")

    with monkeypatch.context() as patch:
        patch.setattr(RunCgroups, "remove", refuse)
        with pytest.raises(HostError, match="busy"), open_facilities(run, tiny_image) as facilities:
            pass
    assert all(path.exists() for path in facilities.cgroups.directories)
    assert facilities.directory.exists()
    assert not facilities.scratch_directory.exists()
    removed = reclaim()
    assert {f"cgroup {path}" for path in facilities.cgroups.directories} <= set(removed)
    assert f"directory {facilities.directory}" in removed
    assert not any(path.exists() for path in facilities.cgroups.directories)
    assert not facilities.directory.exists()


def test_a_scratch_disk_is_reclaimed_although_disks_go_elsewhere_by_now(tiny_image, tmp_path, monkeypatch):
    run = new_run_name()
    script = (
        "import os; from pathlib import Path\n"
        "from runtimes.facilities import open_facilities; from runtimes.base import Image\n"
        f"image = Image('tiny', Path({str(tiny_image.rootfs)!r}))\n"
        f"with open_facilities({run!r}, image): os.kill(os.getpid(), 9)\n"
    )
    disks = tmp_path / "disks"
    disks.mkdir()
    environment = {**os.environ, "BENCH_SCRATCH": str(disks)}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=False)
    left = disks / f"{run}.scratch"
    assert left.exists()
    assert f"directory {left}" in reclaim()
    assert not left.exists()
    assert not Path("/run", run).exists()


def test_reclaim_leaves_a_run_that_lives(tiny_image):
    with open_facilities(new_run_name(), tiny_image) as facilities:
        removed = reclaim()
        assert not [line for line in removed if facilities.run in line]
        assert facilities.directory.exists()


def test_a_killed_runner_leaves_nothing_alive_and_the_rest_is_reclaimed(tiny_image, tmp_path):
    with runner(tiny_image, tmp_path) as (process, run, pids, cgroups):
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while any(runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in pids if runs(pid)]
    assert not [path for path in loop_files() if run in path]
    assert all(path.exists() for path in cgroups)
    removed = reclaim()
    assert any(str(cgroups[0]) in line for line in removed)
    assert not any(path.exists() for path in cgroups)
    assert not Path("/run", run).exists()
    assert not (scratch_parent() / f"{run}.scratch").exists()
    assert not [line for line in reclaim() if run in line]


def test_ctrl_c_tears_all_down_in_order(tiny_image, tmp_path):
    with runner(tiny_image, tmp_path) as (process, run, pids, cgroups):
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to the whole foreground group
        process.wait(20)
        assert process.returncode == -signal.SIGINT
    assert not [pid for pid in pids if runs(pid)]
    assert not any(path.exists() for path in cgroups)
    assert not Path("/run", run).exists()
    assert not (scratch_parent() / f"{run}.scratch").exists()
    assert not [path for path in loop_files() if run in path]


def test_reclaim_kills_what_outlived_its_run(tiny_image):
    """A process in a dead run's cgroup that nothing killed, and a loop device on its scratch disk."""
    run = new_run_name()
    script = (
        "import os; from pathlib import Path\n"
        "from runtimes.facilities import open_facilities; from runtimes.base import Image\n"
        "import subprocess\n"
        f"image = Image('tiny', Path({str(tiny_image.rootfs)!r}))\n"
        f"with open_facilities({run!r}, image) as facilities:\n"
        "    cgroup = facilities.cgroups.new('stray', None)\n"
        "    stray = subprocess.Popen(['sleep', '1000'], start_new_session=True, stdout=subprocess.DEVNULL)\n"
        "    [file.write_text(str(stray.pid)) for file in cgroup.procs_files]\n"
        "    print(stray.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    completed = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    stray = int(completed.stdout)
    scratch = scratch_parent() / f"{run}.scratch" / "disk"
    make_scratch(scratch, 4 << 20)
    subprocess.run(["losetup", "-f", str(scratch)], check=True)
    removed = reclaim()
    assert any(line.startswith("loop device") for line in removed)
    assert str(scratch) not in loop_files()
    assert not runs(stray)


def test_the_peer_runs_commands_beside_the_instances(facilities):
    limits = Limits(1, (), 64 << 20)
    for _ in range(2):  # the name is free again afterwards
        with open_peer(facilities, "peer", limits) as peer:
            assert peer.run(Command(("ping", "-c", "1", "-W", "5", facilities.network.gateway))).ok
            cpus = peer.run(Command(("sed", "-n", "s/^Cpus_allowed_list:[[:space:]]*//p", "/proc/self/status"))).stdout
            assert cpus.decode().strip() == ",".join(map(str, facilities.peer_cpus(limits)))


@pytest.mark.host
def test_what_a_run_has_started_is_in_its_cpu_time(facilities):
    before = facilities.cpu_seconds()
    with open_peer(facilities, "busy", Limits(1, (), 64 << 20)) as peer:
        assert peer.run(Command(("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"))).ok
    # Its cgroup is gone, and its time is not.
    assert facilities.cpu_seconds() - before > 0.05


def loop_files_of_ours():
    return sorted(path for path in loop_files() if "tiny-image" in path)


@pytest.mark.host
def test_load_generators_have_the_cpus_that_an_instance_leaves(facilities):
    every = set(facilities.cgroups.cpus())
    for count in range(1, len(every) + 1):
        limits = Limits(count, (), 64 << 20)
        left = every - set(facilities.instance_cpus(limits))
        assert set(facilities.peer_cpus(limits)) == (left or set(facilities.harness_cpus))
