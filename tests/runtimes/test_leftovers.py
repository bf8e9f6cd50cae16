"""What may be removed from the host, and what may not."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from traces import count, new_run_name

from runtimes import leftovers
from runtimes.base import HostError
from runtimes.cgroup import possible_directories
from runtimes.leftovers import held_directory, reclaim, run_parents

ROOT = Path(__file__).parents[2]


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host on which all runs are this test's."""
    runs, disks = tmp_path / "run", tmp_path / "disks"
    runs.mkdir()
    disks.mkdir()
    monkeypatch.setattr(leftovers, "run_parents", lambda: [runs])
    monkeypatch.setenv("BENCH_SCRATCH", str(disks))
    return tmp_path


def killed(program):
    """Run a program that kills itself."""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == -9


def leave(directory):
    """Have a directory as a killed process leaves it."""
    killed(
        "import os; from pathlib import Path; from runtimes.leftovers import held_directory\n"
        f"with held_directory(Path({str(directory)!r})): os.kill(os.getpid(), 9)"
    )
    assert directory.is_dir()
    return directory


def test_a_held_directory_is_private_left_alone_and_removed_at_the_end(host):
    directories = host / "run/bench-live", host / "disks/bench-live.scratch"
    with held_directory(directories[0]), held_directory(directories[1]):
        assert all(path.stat().st_mode & 0o777 == 0o700 for path in directories)
        (directories[0] / "file").touch()
        assert reclaim() == []
        assert all(path.exists() for path in directories)
    assert not any(path.exists() for path in directories)


def test_a_disk_whose_run_is_not_to_be_seen_is_left_alone(host):
    """As one has it that runs with a /run of its own."""
    with held_directory(host / "disks/bench-elsewhere.scratch"):
        assert reclaim() == []
        assert (host / "disks/bench-elsewhere.scratch").exists()


def test_what_the_dead_left_is_removed(host):
    left = [leave(host / name) for name in ("run/bench-dead", "run/bench-libvirt-1", "disks/bench-dead.scratch")]
    (left[2] / "disk").write_bytes(b"x")
    assert reclaim() == [f"directory {path}" for path in left]
    assert not any(path.exists() for path in left)
    assert reclaim() == []


def test_a_name_that_is_taken_is_refused_and_left(host):
    taken = host / "run/bench-taken"
    taken.mkdir()
    with pytest.raises(HostError, match="bench-taken: File exists"), held_directory(taken):
        pass
    assert taken.is_dir()


def test_what_does_not_hold_our_marker_is_left_alone(host):
    foreign = host / "disks/bench-foreign.scratch"
    foreign.mkdir()
    (foreign / "file").touch()
    (host / "run/bench-file").touch()
    pointing = host / "run/bench-pointing"
    pointing.mkdir()
    (pointing / "bench.lock").symlink_to(host / "run/bench-file")
    assert reclaim() == []
    assert (foreign / "file").exists()
    assert pointing.exists()


def test_links_are_not_followed(host):
    target = leave(host / "bench-target")
    (host / "disks/bench-link.scratch").symlink_to(target)
    assert reclaim() == []
    assert target.exists()


@pytest.mark.host
def test_what_another_user_made_is_left_alone(host):
    left = leave(host / "disks/bench-other.scratch")
    os.chown(left, 12345, 12345)
    assert reclaim() == []
    assert left.exists()


def test_one_that_cannot_be_removed_is_named_and_does_not_keep_the_others(host, monkeypatch):
    left = [leave(host / f"run/bench-{number}") for number in range(3)]
    for path in left:
        (path / "below").mkdir()
    rmtree = leftovers.shutil.rmtree

    def refuse(path, *rest, **more):
        if path == left[1] / "below":
            raise PermissionError(1, "Operation not permitted", str(path / "file"))
        return rmtree(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(leftovers.shutil, "rmtree", refuse)
        with pytest.raises(HostError, match=r"Operation not permitted: '.*bench-1/below/file'"):
            reclaim()
    assert [path.exists() for path in left] == [False, True, False]
    assert reclaim() == [f"directory {left[1]}"], "its marker was still there"


def test_an_interruption_before_the_marker_is_there_leaves_no_directory(host, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(leftovers.fcntl, "flock", interrupt)
    before = count("/proc/self/fd")
    with pytest.raises(KeyboardInterrupt), held_directory(host / "run/bench-new"):
        pass
    assert not (host / "run/bench-new").exists()
    assert count("/proc/self/fd") == before


@pytest.mark.parametrize("name", ["cgroups", "scratch-directory"])
def test_a_directory_is_kept_and_let_go_while_what_it_tells_of_is_there(host, name):
    directory, other = host / "run/bench-kept", host / "other"
    other.mkdir()
    with held_directory(directory):
        (directory / name).write_text(f"{host / 'gone'}\n{other}\n")
    assert (directory / name).exists()
    with (directory / "bench.lock").open("rb") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_noted_scratch_directory_is_removed_wherever_it_is(host):
    left, disks = leave(host / "run/bench-dead"), leave(host / "elsewhere")
    (left / "scratch-directory").write_text(f"{disks}\n")
    assert reclaim() == [f"directory {disks}", f"directory {left}"]
    assert not disks.exists()


def test_a_cgroup_that_cannot_be_removed_keeps_its_notes_and_not_the_others(host, monkeypatch):
    left = [leave(host / f"run/bench-{number}") for number in range(2)]
    stubborn, other = host / "stubborn", host / "other"
    for cgroup in (stubborn, other):
        cgroup.mkdir()
    (left[0] / "cgroups").write_text(f"{stubborn}\n{other}\n{host / 'gone'}\n")

    def clear(cgroup):
        if cgroup == stubborn:
            raise OSError(16, "Device or resource busy", str(cgroup))
        cgroup.rmdir()

    monkeypatch.setattr(leftovers, "clear_directory", clear)
    with pytest.raises(HostError, match=f"cgroup {stubborn}: .*busy"):
        reclaim()
    assert not other.exists()
    assert (left[0] / "cgroups").exists()
    assert not left[1].exists()


def test_two_at_once_do_not_meet(host):
    left = leave(host / "run/bench-dead")
    with (left / "bench.lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert reclaim() == []
    assert reclaim() == [f"directory {left}"]


def test_an_ordinary_users_directories_are_where_the_user_may_write(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    # In the user namespace of a run, where the user is root and the directory root's.
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid)
    monkeypatch.setattr("runtimes.leftovers.is_initial", lambda: False)
    assert run_parents() == [tmp_path, Path("/tmp")]
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # somebody else's, as sudo may leave it
    assert run_parents() == [Path("/tmp")]


def test_leftovers_are_looked_for_in_every_place(host, monkeypatch):
    """A run may have been started with, and the clearing up without, the session's directory."""
    (host / "other").mkdir()
    left = leave(host / "other/bench-dead")
    monkeypatch.setattr(leftovers, "run_parents", lambda: [host / "run", host / "other"])
    assert reclaim() == [f"directory {left}"]


@pytest.mark.host
def test_a_check_of_the_host_that_is_killed_can_be_reclaimed():
    run = new_run_name()
    killed(
        "import os, secrets; from runtimes.cgroup import RunCgroups; from runtimes.facilities import check_host\n"
        f"secrets.token_hex = lambda _: {run.removeprefix('bench-')!r}\n"
        "RunCgroups.check_limits = lambda *_: os.kill(os.getpid(), 9)\n"
        "check_host([None])"
    )
    made = [path for path in possible_directories(run) if path.exists()]
    assert made
    reclaim()
    assert not any(path.exists() for path in made)
    assert not Path("/run", run).exists()
