"""The program that libvirt takes for QEMU."""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import running

from runtimes.base import HostError
from runtimes.cgroup import open_cgroups
from runtimes.vm.emulator import build_emulator, find_qemu, parse_spawn_stamp, spawn_environment

STAND_IN = """\
#!/bin/sh
for argument; do echo "$argument"; done
env | grep ^BENCH_
cat /proc/self/cgroup
"""


@pytest.fixture
def stand_in(tmp_path):
    """A program in QEMU's place that tells what it was given."""
    path = tmp_path / "qemu"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


@pytest.fixture
def emulator(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return build_emulator(stand_in)


def run(emulator, *arguments, **environment):
    return subprocess.run(
        [emulator.path, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_it_becomes_qemu_with_the_same_arguments(emulator):
    done = run(emulator, "-machine", "q35", "an argument with spaces")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:3] == ["-machine", "q35", "an argument with spaces"]


def test_it_stamps_and_takes_its_variables_away(emulator, tmp_path):
    stamp_file = tmp_path / "stamp"
    stamp_file.touch()
    before = time.monotonic_ns()
    done = run(emulator, **spawn_environment([], stamp_file))
    after = time.monotonic_ns()
    pid, at = parse_spawn_stamp(stamp_file.read_bytes())
    assert pid > 0
    assert before < at < after
    assert "BENCH_SPAWN_STAMP" not in done.stdout


def test_it_says_what_went_wrong(emulator, tmp_path):
    missing, stamp_file = tmp_path / "missing" / "cgroup.procs", tmp_path / "stamp"
    stamp_file.touch()
    done = run(emulator, **spawn_environment([missing], stamp_file))
    assert done.returncode == 126
    assert f"cannot open {missing}: No such file or directory" in done.stderr
    assert done.stdout == ""


def test_it_ends_with_its_parent(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    emulator = build_emulator(Path("/bin/sleep"))
    stamp_file = tmp_path / "stamp"
    os.mkfifo(stamp_file)
    parent = f"import subprocess, time; subprocess.Popen([{str(emulator.path)!r}, '100']); time.sleep(100)"
    environment = {**os.environ, "BENCH_SPAWN_STAMP": str(stamp_file)}
    with running([sys.executable, "-c", parent], env=environment) as harness:
        pid, _ = parse_spawn_stamp(stamp_file.read_bytes())
        fd = os.pidfd_open(pid)
        harness.kill()
    try:
        assert_ends(fd)
    finally:
        os.close(fd)


def assert_ends(pidfd):
    readable, _, _ = select.select([pidfd], [], [], 10)
    if not readable:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert readable, "the process outlived its parent by 10 s"


@pytest.mark.host
def test_it_joins_the_cgroup_before_it_is_qemu(emulator, tmp_path):
    with open_cgroups(f"bench-{secrets.token_hex(4)}") as cgroups:
        cgroup = cgroups.new("one", None)
        stamp_file = tmp_path / "stamp"
        stamp_file.touch()
        done = run(emulator, **spawn_environment(cgroup.thread_files, stamp_file))
        assert done.stdout.count("/one\n") == len(cgroup.thread_files)
        cgroup.remove()


def test_it_is_compiled_once_for_each_qemu(emulator, stand_in):
    assert build_emulator(stand_in) == emulator
    written = emulator.path.stat().st_mtime_ns
    assert build_emulator(stand_in).path.stat().st_mtime_ns == written
    stand_in.write_text(STAND_IN + "# upgraded\n")
    assert build_emulator(stand_in).path != emulator.path


def test_without_a_compiler_it_says_so(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="apt-get install gcc"):
        build_emulator(stand_in)


def test_without_qemu_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="apt-get install qemu-system-x86"):
        find_qemu()


def test_who_it_is_is_said_before_anything_that_may_take_long(emulator, tmp_path):
    stamp_file, never_read = tmp_path / "stamp", tmp_path / "never-read"
    os.mkfifo(stamp_file)
    os.mkfifo(never_read)
    environment = {**os.environ, **spawn_environment([never_read], stamp_file)}
    with subprocess.Popen([emulator.path], env=environment) as hanging, stamp_file.open("rb", buffering=0) as told:
        try:
            assert parse_spawn_stamp(told.read(64)) == (hanging.pid, None)
        finally:
            hanging.kill()


@pytest.mark.parametrize(
    ("said", "known"),
    [(b"", (None, None)), (b"12", (None, None)), (b"12 ", (12, None)), (b"12 3", (12, None)), (b"12 3\n", (12, 3))],
)
def test_a_number_counts_when_it_is_said_whole(said, known):
    assert parse_spawn_stamp(said) == known


@pytest.mark.parametrize("said", [b"twelve 13\n", b"1 2 3\n"])
def test_what_is_no_stamp_is_refused(said):
    with pytest.raises(ValueError):
        parse_spawn_stamp(said)
