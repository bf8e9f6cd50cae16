"""What ids an ordinary user has, and what is said where the kernel refuses a user namespace."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtimes import user_namespace
from runtimes.base import HostError
from runtimes.user_namespace import NotGrantedError, SubordinateIds, host_id, is_initial, subordinate_ids

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lending(tmp_path, monkeypatch):
    """Write the host's two files of subordinate ids, for a user named tester."""
    monkeypatch.setattr(user_namespace, "_SUBUID", tmp_path / "subuid")
    monkeypatch.setattr(user_namespace, "_SUBGID", tmp_path / "subgid")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    monkeypatch.setattr("pwd.getpwuid", lambda _: type("Entry", (), {"pw_name": "tester"}))

    def write(users, groups):
        (tmp_path / "subuid").write_text(users)
        (tmp_path / "subgid").write_text(groups)
        return tmp_path

    return write


def test_ids_are_lent_by_name_or_number_in_several_ranges(lending):
    lending("other:100000:65536\ntester:200000:65536\n1234:300000:10\n", "tester:400000:65536\n# a remark\n")
    assert subordinate_ids() == SubordinateIds(((200_000, 65_536), (300_000, 10)), ((400_000, 65_536),))


def test_without_ids_the_command_that_lends_some_is_told_and_works(lending):
    directory = lending("other:100000:65536\n", "other:200000:65536\n")
    with pytest.raises(NotGrantedError, match="user tester has no subordinate ids") as told:
        subordinate_ids()
    subprocess.run(told.value.grant.replace("sudo ", ""), shell=True, check=True, stdout=subprocess.DEVNULL)
    free = ((265_536, 65_536),)
    assert subordinate_ids() == SubordinateIds(free, free)
    assert "other:" in (directory / "subuid").read_text()


def test_only_the_file_that_lacks_ids_is_written(lending):
    lending("tester:100000:65536\n", "")
    with pytest.raises(NotGrantedError, match="subgid") as told:
        subordinate_ids()
    assert "subuid" not in str(told.value)


def test_the_package_of_a_missing_program_and_a_missing_name_are_told(lending, monkeypatch):
    lending("tester:100000:65536\n", "tester:100000:65536\n")

    def unknown(user):
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(NotGrantedError, match=r"user 1234 has no name.*entry in /etc/passwd"):
        subordinate_ids()
    monkeypatch.setattr("shutil.which", lambda name: None if name == "newgidmap" else name)
    with pytest.raises(NotGrantedError, match=r"^newgidmap not found.*apt-get install uidmap"):
        subordinate_ids()


@pytest.mark.parametrize(
    ("sysctls", "number", "expected"),
    [
        ({"kernel/unprivileged_userns_clone": "0"}, errno.EPERM, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            errno.EPERM,
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({"user/max_user_namespaces": "0"}, errno.ENOSPC, "sudo sysctl -w user.max_user_namespaces=10000"),
        ({"user/max_user_namespaces": "7"}, errno.ENOSPC, "the 7 that user.max_user_namespaces allows are in use"),
        ({}, errno.EINVAL, "CONFIG_USER_NS"),
        ({"kernel/unprivileged_userns_clone": "1"}, errno.EPERM, "a seccomp filter, a security module or a chroot"),
    ],
)
def test_why_there_is_no_user_namespace_is_told(tmp_path, monkeypatch, sysctls, number, expected):
    monkeypatch.setattr(user_namespace, "_SYSCTL", tmp_path)
    for name, value in sysctls.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert expected in str(user_namespace._refusal(OSError(number, os.strerror(number))))


def test_several_threads_are_told(monkeypatch):
    monkeypatch.setattr(user_namespace, "_PATIENCE", 0)
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        with pytest.raises(HostError, match=r"with \d+ threads; expected one"):
            user_namespace.enter()
    finally:
        end.set()
        thread.join()


ENTER = """
import os, threading
from pathlib import Path
from runtimes import syscalls
from runtimes.user_namespace import enter, host_id, is_initial
threading.Thread(target=lambda: __import__("time").sleep(0.05)).start()  # one that ends meanwhile
before = host_id()
enter()
assert os.geteuid() == 0 and not is_initial() and host_id() == before
assert os.listdir("/sys/class/net") != [] and len(Path("/proc/self/net/dev").read_text().splitlines()) == 3
syscalls.mount("tmpfs", "/tmp", "tmpfs")
Path("/tmp/made").touch()
print(Path("/proc/self/uid_map").read_text())
"""


@pytest.mark.host
def test_a_process_moves_into_namespaces_that_it_owns():
    assert is_initial()
    assert host_id() == os.geteuid()
    done = subprocess.run([sys.executable, "-c", ENTER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["0", "0"]
    assert not Path("/tmp/made").exists()
