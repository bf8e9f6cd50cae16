"""The filter of devices: the program of version 2 on the unified hierarchy, and the directory of version 1."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtimes.base import HostError
from runtimes.cgroup.devices import USUAL_DEVICES, Device, DirectoryFilter, ProgramFilter, attach_program, load_program
from runtimes.cgroup.directories import remove_directories
from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.storage import attach_loop, make_scratch

pytestmark = pytest.mark.host

_TRY = """
import os, sys
file, *attempts = sys.argv[1:]
with open(file, "w") as join:
    join.write("0")
for attempt in attempts:
    what, path, number = attempt.split()
    try:
        if what == "make":
            os.mknod(path, 0o60600 if path.endswith("b") else 0o20600, int(number))
        else:
            os.close(os.open(path, os.O_RDONLY if what == "read" else os.O_WRONLY))
        print("done")
    except OSError as error:
        print(error.strerror)
"""


def attempts(file, *wanted):
    """What comes of attempts in a process that joins a cgroup by ``file`` first."""
    argv = [sys.executable, "-c", _TRY, str(file), *wanted]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


@contextmanager
def directory_in(parent):
    directory = parent / f"bench-{secrets.token_hex(4)}"
    directory.mkdir()
    try:
        yield directory
    finally:
        remove_directories([directory])


@pytest.fixture
def unified():
    found = Hierarchies.of_this_thread().v2
    if found is None:
        pytest.skip("no unified hierarchy is mounted")
    with directory_in(found) as directory:
        yield directory


@pytest.fixture
def disk(tmp_path):
    make_scratch(tmp_path / "disk", 4 << 20)
    with attach_loop(tmp_path / "disk", read_only=False) as device:
        yield device


REFUSED = "Operation not permitted"


def expect_usual_devices_only(file, tmp_path, disk):
    number = disk.stat().st_rdev
    full, control = os.makedev(1, 7), os.makedev(10, 237)
    wanted = {
        "read /dev/urandom 0": "done",
        "write /dev/null 0": "done",
        "write /dev/ptmx 0": "done",
        f"read {disk} 0": REFUSED,
        "read /dev/loop-control 0": REFUSED,
        f"make {tmp_path}/full {full}": "done",
        f"make {tmp_path}/control {control}": REFUSED,
        f"make {tmp_path}/disk-b {number}": REFUSED,
        f"make {tmp_path}/null-b {os.makedev(1, 3)}": REFUSED,
    }
    assert attempts(file, *wanted) == list(wanted.values())


def test_a_program_on_a_cgroup_allows_the_usual_devices_only(unified, tmp_path, disk):
    filters = ProgramFilter()
    try:
        assert filters.apply(unified, None) is None
    finally:
        filters.close()
    expect_usual_devices_only(unified / "cgroup.procs", tmp_path, disk)


def test_the_scratch_disk_can_be_opened_and_no_node_of_it_made(unified, tmp_path, disk):
    filters = ProgramFilter()
    try:
        filters.apply(unified, disk)
    finally:
        filters.close()
    made = f"make {tmp_path}/disk-b {disk.stat().st_rdev}"
    tried = attempts(unified / "cgroup.procs", f"read {disk} 0", f"write {disk} 0", made, "read /dev/loop-control 0")
    assert tried == ["done", "done", REFUSED, REFUSED]


@pytest.mark.parametrize(
    ("access", "read", "write"), [("r", "done", REFUSED), ("w", REFUSED, "done"), ("m", REFUSED, REFUSED)]
)
def test_each_access_is_allowed_for_itself(unified, tmp_path, disk, access, read, write):
    number = disk.stat().st_rdev
    program = load_program((*USUAL_DEVICES, Device("b", os.major(number), os.minor(number), access)))
    try:
        attach_program(program, unified)
    finally:
        os.close(program)
    made = f"make {tmp_path}/disk-b {number}"
    tried = attempts(unified / "cgroup.procs", f"read {disk} 0", f"write {disk} 0", made)
    assert tried == [read, write, "done" if access == "m" else REFUSED]


def test_a_directory_of_version_1_allows_the_usual_devices_only(tmp_path, disk):
    parent = Hierarchies.of_this_thread().v1.get("devices")
    if parent is None:
        pytest.skip("no hierarchy with the controller devices is mounted")
    with directory_in(parent) as directory:
        file = DirectoryFilter(directory).apply(None, disk)
        expect_usual_devices_only(file, tmp_path, disk)


def test_a_refusal_names_the_cgroup(tmp_path):
    with pytest.raises(HostError, match=rf"cannot filter devices in cgroup {tmp_path}/none"):
        DirectoryFilter(tmp_path / "none")
    filters = ProgramFilter()
    try:
        with pytest.raises(HostError, match=rf"cannot filter the devices of cgroup {tmp_path}: bpf"):
            filters.apply(Path(tmp_path), None)
    finally:
        filters.close()
