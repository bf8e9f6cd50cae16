"""Directories that tell whether who made them is alive, and the removal of what the dead have left.

Whoever makes a directory on the host holds a lock on a marker file in it, which the kernel releases when the process
ends, however it ends (flock(2)). The marker is locked before it has its name, and is the last to be removed: so a
marker that can be locked belongs to somebody who has died, and a directory without one is not ours.

A run's directory tells what else there is of it, cgroups and scratch disks. So it stays, no longer locked, when its run
ends and could not remove all of that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from runtimes import storage
from runtimes.base import HostError
from runtimes.cgroup import possible_directories
from runtimes.cgroup.directories import clear_directory
from runtimes.user_namespace import is_initial

PREFIX = "bench-"
SCRATCH_SUFFIX = ".scratch"
_MARKER = "bench.lock"
_CGROUPS = "cgroups"
_SCRATCH = "scratch-directory"


def scratch_parent() -> Path:
    """Where runs make scratch disks: ``$BENCH_SCRATCH``, or ``/var/tmp``. It is the disk there that is measured."""
    return Path(os.environ.get("BENCH_SCRATCH") or "/var/tmp").absolute()


def run_parents() -> list[Path]:
    """Where directories for sockets, mount points and small files may be; new ones are made in the first.

    That is ``/run`` for the host's root, and ``$XDG_RUNTIME_DIR`` and ``/tmp`` for everybody else: inside of the user
    namespace of a run, where the user is root, as outside of it.
    """
    if os.geteuid() == 0 and is_initial():
        return [Path("/run")]
    own = Path(os.environ.get("XDG_RUNTIME_DIR", "/"))
    return [*([own] if own.is_dir() and own.stat().st_uid == os.geteuid() else []), Path("/tmp")]


@contextmanager
def held_directory(directory: Path) -> Iterator[None]:
    """A private directory that :func:`reclaim` removes if this process is killed.

    At the end it is removed, unless something that was noted in it is still there: then it is left to ``reclaim``.

    Raises:
        HostError: it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise HostError(f"cannot make the directory {directory}: {error.strerror}") from error
    marker = -1
    try:
        marker = _make_marker(directory)
        yield
    finally:
        try:
            if not any(path.exists() for path in _noted(directory)):
                _remove(directory)
        finally:
            if marker >= 0:
                os.close(marker)


def note_scratch(directory: Path, scratch_directory: Path) -> None:
    """Write down in a held directory where a run is about to make its scratch disks."""
    (directory / _SCRATCH).write_text(f"{scratch_directory}\n")


def note_cgroups(directory: Path, run: str) -> None:
    """Write down in a held directory, before a run makes its cgroups, which ones to remove should it be killed."""
    (directory / _CGROUPS).write_text("".join(f"{path}\n" for path in possible_directories(run)))


def reclaim() -> list[str]:
    """Remove what the dead left: processes in their cgroups, the cgroups, loop devices, directories.

    Only what belongs to this user. To be called outside of user namespaces of one's own: a process of a dead run may be
    in another one, and have an id of it, where only the user outside may kill it.

    Returns:
        What was removed, one description each.

    Raises:
        HostError: something cannot be removed; everything else has been.
    """
    sweep = _Sweep()
    for parent in run_parents():
        for directory in sorted(parent.glob(f"{PREFIX}*")):
            sweep.visit(directory, _reclaim_run)
    # After a reboot, disks are all that is left of a run.
    for directory in sorted(scratch_parent().glob(f"{PREFIX}*{SCRATCH_SUFFIX}")):
        sweep.visit(directory, _reclaim_loop_devices)
    if sweep.failures:
        raise HostError("not everything that dead runs left can be removed: " + "; ".join(sweep.failures))
    return sweep.removed


class _Sweep:
    """What was removed so far, and what could not be."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.failures: list[str] = []

    def visit(self, directory: Path, reclaim_contents: Callable[[Path, _Sweep], None]) -> None:
        """Remove one directory, if it is ours and its maker has died, together with what it stands for."""
        failures_before = len(self.failures)
        try:
            marker = _claim(directory)
        except OSError as error:
            self.failures.append(f"{directory}: {error.strerror}")
            return
        if marker is None:
            return
        try:
            reclaim_contents(directory, self)
            # What the directory tells is needed until all of it is gone.
            if len(self.failures) == failures_before:
                self.attempt(f"directory {directory}", partial(_remove, directory))
        except OSError as error:
            self.failures.append(f"{directory}: {error}")
        finally:
            os.close(marker)

    def attempt(self, what: str, remove: Callable[[], object]) -> None:
        """Remove one thing."""
        try:
            remove()
        except OSError as error:
            self.failures.append(f"{what}: {error}")
        except HostError as error:
            self.failures.append(str(error))
        else:
            self.removed.append(what)


def _reclaim_run(directory: Path, sweep: _Sweep) -> None:
    for cgroup in _lines(directory / _CGROUPS):
        if cgroup.exists():
            sweep.attempt(f"cgroup {cgroup}", partial(clear_directory, cgroup))
    # Only now: a process in a cgroup may use a disk.
    for scratch in _lines(directory / _SCRATCH):
        sweep.visit(scratch, _reclaim_loop_devices)


def _reclaim_loop_devices(directory: Path, sweep: _Sweep) -> None:
    for device in storage.loop_devices_in(directory):
        sweep.attempt(f"loop device {device}", partial(storage.detach_loop, device))


def _noted(directory: Path) -> list[Path]:
    """What a held directory tells that there may be besides it."""
    return [path for name in (_CGROUPS, _SCRATCH) for path in _lines(directory / name)]


def _lines(file: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return [Path(line) for line in file.read_text().splitlines()]
    return []


def _remove(directory: Path) -> None:
    """Remove a held directory, its marker last: should this be cut short, the rest can still be reclaimed."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _MARKER:
            path.unlink()
    (directory / _MARKER).unlink(missing_ok=True)
    directory.rmdir()


def _make_marker(directory: Path) -> int:
    """Make the marker, and return the descriptor that holds its lock.

    Raises:
        HostError: it cannot be made.
    """
    unnamed = directory / f".{_MARKER}"
    fd = -1
    try:
        fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(directory / _MARKER)
    except BaseException as error:
        if fd >= 0:
            os.close(fd)
        if isinstance(error, OSError):
            raise HostError(f"cannot make the directory {directory}: {error.strerror}") from error
        raise
    return fd


def _claim(directory: Path) -> int | None:
    """Lock the marker of a dead maker.

    Returns:
        The descriptor that holds the lock; None if the directory is not ours, or its maker lives.
    """
    try:
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return None
        fd = os.open(directory / _MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link: not our marker
            return None
        raise
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    # Somebody else may have reclaimed it between our opening the marker and our locking it.
    if os.fstat(fd).st_nlink == 0:
        os.close(fd)
        return None
    return fd
