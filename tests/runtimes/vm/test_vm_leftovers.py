"""What an arm keeps for all of its guests (a saved state, a copy of the root disk) goes with it, whatever ends it."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from traces import host_traces, new_run_name

from runtimes.base import InstanceError
from runtimes.cgroup import possible_directories
from runtimes.storage import attach_loop, make_scratch, mounted
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

pytestmark = [pytest.mark.host, pytest.mark.guest]

BENCH = Path(sys.executable).with_name("bench")
RESTORE = {"tuned": True, "start": "restore"}
EMULATED = {"devices": "emulated"}

HARNESS = """
import json, sys, time
from pathlib import Path
from runtimes.base import GuestKernel, Image, InstanceSpec, Limits
from runtimes.facilities import open_facilities
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

run, accel, options, directory, rootfs, *kernel = sys.argv[1:]
image = Image("id", Path(rootfs), {VmOptions(**json.loads(options)).guest_kernel: GuestKernel("0", *map(Path, kernel))})
spec = InstanceSpec(f"{run}-1", image, Limits(1, (), 128 << 20), None, Path(directory))
with (
    open_facilities(run, image) as facilities,
    VmRuntime.open(facilities, VmOptions(accel=accel, **json.loads(options))) as runtime,
    runtime.start(spec),
):
    print("started", flush=True)
    time.sleep(100)
"""


class Run:
    """A harness in a process of its own, that starts one guest."""

    def __init__(self, image, accel, options, directory):
        self.name = new_run_name()
        self.disks = directory / "disks"
        self.disks.mkdir()
        self.environment = {**os.environ, "BENCH_SCRATCH": str(self.disks)}
        kernel = image.kernels[VmOptions(**options).guest_kernel]
        files = (directory, image.rootfs, kernel.bzimage, kernel.elf or kernel.bzimage, kernel.initramfs)
        argv = [sys.executable, "-c", HARNESS, self.name, accel, json.dumps(options), *map(str, files)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=self.environment)

    def wait_until_started(self):
        assert self.process.stdout.readline() == "started\n"

    def kept(self, pattern):
        """Files that the arm keeps on the disk for scratch disks."""
        return list((self.disks / f"{self.name}.scratch").glob(pattern))

    def wait_until_kept(self, pattern):
        deadline = time.monotonic() + 60
        while not self.kept(pattern):
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.005)

    def kill(self):
        """SIGKILL to the harness; its guests end without anybody's doing."""
        watched = [os.pidfd_open(guest.pid) for guest in self.guests()]
        assert watched
        self.end()
        try:
            assert all(select.select([fd], [], [], 10)[0] for fd in watched), "QEMU outlived the harness"
        finally:
            for fd in watched:
                os.close(fd)

    def end(self):
        """SIGKILL to the harness, if it lives."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def guests(self):
        """The processes of QEMU that run a guest of this run."""
        found = psutil.process_iter(["cmdline"])
        return [each for each in found if any(f"guest={self.name}-" in word for word in each.info["cmdline"] or ())]

    def clean(self):
        """`bench clean`; what it printed."""
        done = subprocess.run([BENCH, "clean"], capture_output=True, text=True, env=self.environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def leftovers(self):
        """All there is of this run and of its libvirt."""
        directories = [Path("/run", self.name), Path(f"/run/bench-libvirt-{self.process.pid}")]
        return [
            path for path in [*directories, *possible_directories(self.name), *self.disks.iterdir()] if path.exists()
        ]


@pytest.fixture
def begin(guest_image, accel, tmp_path):
    """Begins a run with options; it is dead at the end of the test."""
    begun = []

    def begin(options):
        begun.append(Run(guest_image, accel, options, tmp_path))
        return begun[-1]

    yield begin
    for run in begun:
        run.end()
        run.clean()


def check_clean(run):
    assert run.leftovers(), "it was killed"
    assert str(run.disks) in run.clean()
    assert run.leftovers() == []
    assert run.guests() == []


@pytest.mark.parametrize(("options", "pattern"), [(RESTORE, "*.state"), (EMULATED, "root-*")])
def test_a_killed_harness_leaves_nothing_that_is_not_removed(begin, options, pattern):
    run = begin(options)
    run.wait_until_started()
    assert run.kept(pattern)
    run.kill()
    assert run.kept(pattern), "nobody else removes it"
    check_clean(run)


def test_nor_does_one_that_is_killed_while_a_state_is_saved(begin):
    run = begin(RESTORE)
    run.wait_until_kept("*.state")
    run.kill()
    check_clean(run)


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a disk with some MiB of room, too few for the state of a guest."""
    disk, place = tmp_path / "disk", tmp_path / "place"
    make_scratch(disk, 12 << 20)
    place.mkdir()
    with attach_loop(disk, read_only=False) as device, mounted(device, place, "ext4"):
        yield place


def test_a_disk_that_is_full_when_a_state_is_saved_fails_the_trial(facilities, accel, new_spec, small_disk):
    cramped = dataclasses.replace(facilities, scratch_directory=small_disk)
    kept = sorted(small_disk.iterdir())
    spec = new_spec()
    with VmRuntime.open(cramped, VmOptions(accel=accel, **RESTORE)) as runtime:
        before = host_traces(cramped)
        for _ in range(2):  # another trial tries again
            with pytest.raises(InstanceError) as caught, runtime.start(spec):
                pytest.fail("it started")
            message = str(caught.value)
            print(message)
            assert "\n" not in message
            assert message.startswith(facilities.run)
            assert "its state" in message
            assert "No space left on device" in message
            assert host_traces(cramped) == before
            assert sorted(small_disk.iterdir()) == kept
