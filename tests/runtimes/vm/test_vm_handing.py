"""What the emulator is handed: descriptors, and with them namespaces."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import eventually, running

from runtimes.base import Limits
from runtimes.network import TAP_DEVICE
from runtimes.vm.emulator import FIRST_KEPT, build_emulator, spawn_environment
from runtimes.vm.hardware import choose_hardware
from runtimes.vm.options import VmOptions
from runtimes.vm.placement import handed_tap
from runtimes.vm.process import Handed, watched_emulator

READER = f"""\
#!{sys.executable}
import os
print(os.read({FIRST_KEPT}, 10), os.read({FIRST_KEPT + 1}, 10), os.environ.get("BENCH_DESCRIPTORS"))
print(os.readlink("/proc/self/ns/user"), sorted(map(int, os.listdir("/proc/self/fd")))[-2:])
"""


@pytest.fixture
def emulator(tmp_path, monkeypatch):
    reader = tmp_path / "qemu"
    reader.write_text(READER)
    reader.chmod(0o755)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return build_emulator(reader)


@pytest.fixture
def full_pipe():
    """Makes the reading ends of pipes with a text in them."""
    opened = []

    def make(text):
        reading, writing = os.pipe()
        opened.append(reading)
        os.write(writing, text)
        os.close(writing)
        return reading

    yield make
    for fd in opened:
        os.close(fd)


def run(emulator, process):
    environment = {**os.environ, **spawn_environment((), process.stamp_file, process.descriptors)}
    return subprocess.run([emulator.path], env=environment, capture_output=True, text=True, check=False, timeout=30)


def test_descriptors_come_under_the_agreed_numbers(emulator, full_pipe, tmp_path):
    handed = Handed((full_pipe(b"tap"), full_pipe(b"vhost")))
    with watched_emulator(tmp_path, handed) as process:
        done = run(emulator, process)
        assert process.spawned.wait(10)
    assert done.stdout.splitlines()[0] == "b'tap' b'vhost' None", done.stderr
    # The socket they came by, and the originals, are closed.
    assert done.stdout.splitlines()[1].endswith(f"[{FIRST_KEPT}, {FIRST_KEPT + 1}]")


def test_what_was_handed_over_is_closed_here(emulator, full_pipe, tmp_path):
    released = threading.Event()
    with watched_emulator(tmp_path, Handed((full_pipe(b"tap"), full_pipe(b"vhost")), None, released.set)) as process:
        assert not released.is_set()
        done = run(emulator, process)
        assert released.wait(10)
    assert done.stdout.splitlines()[0] == "b'tap' b'vhost' None", done.stderr


@pytest.mark.host
def test_a_tap_that_was_handed_over_is_gone_with_who_has_it(facilities, tmp_path):
    def taps():
        return [link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.samefile(TAP_DEVICE)]

    hardware = choose_hardware(VmOptions(), Limits(1, (), 128 << 20))
    with (
        handed_tap(facilities.network, "bench-tap", hardware) as tap,
        watched_emulator(tmp_path, tap.handed) as process,
        socket.socket(socket.AF_UNIX) as emulator,
    ):
        assert len(taps()) == 1
        emulator.connect(str(process.descriptors))
        letters, descriptors, _, _ = socket.recv_fds(emulator, 8, 8)
        assert letters in (b"k", b"kk")
        assert emulator.recv(1) == b""
        for fd in descriptors:
            os.close(fd)
        deadline = time.monotonic() + 10
        while taps() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert taps() == []
        with pytest.raises(OSError, match="no interface with this name"):
            socket.if_nametoindex("bench-tap")


@pytest.mark.host
def test_a_user_namespace_is_entered(emulator, full_pipe, tmp_path):
    with subprocess.Popen(["unshare", "--user", "--map-root-user", "cat"], stdin=subprocess.PIPE) as other:
        own = os.readlink("/proc/self/ns/user")  # noqa: PTH115
        assert eventually(lambda: os.readlink(f"/proc/{other.pid}/ns/user") != own)  # noqa: PTH115
        theirs = os.readlink(f"/proc/{other.pid}/ns/user")  # noqa: PTH115
        namespace = os.open(f"/proc/{other.pid}/ns/user", os.O_RDONLY)
        try:
            handed = Handed((full_pipe(b"tap"), full_pipe(b"vhost")), namespace)
            with watched_emulator(tmp_path, handed) as process:
                done = run(emulator, process)
        finally:
            os.close(namespace)
    assert done.stdout.splitlines()[1].startswith(theirs), done.stderr


def test_nobody_to_hand_anything_over_is_told(emulator, tmp_path):
    missing = tmp_path / "nobody"
    stamp_file = tmp_path / "stamp"
    stamp_file.touch()
    environment = {**os.environ, **spawn_environment((), stamp_file, missing)}
    done = subprocess.run([emulator.path], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 126
    assert f"cannot connect to {missing}: No such file or directory" in done.stderr


def test_a_listener_that_hands_over_nothing_is_told(emulator, tmp_path):
    place, stamp_file = tmp_path / "socket", tmp_path / "stamp"
    stamp_file.touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(1)
        environment = {**os.environ, **spawn_environment((), stamp_file, place)}
        listener.settimeout(10)
        with running([emulator.path], env=environment, stderr=subprocess.PIPE, text=True) as started:
            listener.accept()[0].close()
            assert f"cannot receive descriptors from {place}: it was closed there" in started.stderr.read()
    assert started.returncode == 126


def test_descriptors_that_lack_are_told(emulator, full_pipe, tmp_path):
    class TooFew(Handed):
        letters = "kkk"

    with watched_emulator(tmp_path, TooFew((full_pipe(b"tap"), full_pipe(b"vhost")))) as process:
        done = run(emulator, process)
    assert "there was not one for each letter" in done.stderr


def test_a_number_that_is_taken_is_told(emulator, full_pipe, tmp_path):
    other = full_pipe(b"other")
    with watched_emulator(tmp_path, Handed((full_pipe(b"tap"),))) as process:
        environment = {**os.environ, **spawn_environment((), process.stamp_file, process.descriptors)}
        os.dup2(other, FIRST_KEPT)
        try:
            done = subprocess.run(
                [emulator.path], env=environment, capture_output=True, text=True, check=False, pass_fds=[FIRST_KEPT]
            )
        finally:
            os.close(FIRST_KEPT)
    assert "cannot keep open a descriptor: its number is taken" in done.stderr


def test_a_process_that_is_not_wanted_any_more_is_killed_as_it_starts(tmp_path):
    with watched_emulator(tmp_path) as process:
        process.kill()
        pid = os.posix_spawnp("sleep", ["sleep", "100"], os.environ)
        Path(process.stamp_file).write_text(f"{pid} 1\n")
        assert process.exited.wait(10)
        assert process.describe_end() == "QEMU was killed by SIGKILL"
