"""Known ways out: rights that are too wide, and whatever leads outside an instance's root or cgroup."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
from contextlib import ExitStack

from . import calls
from .findings import REFUSED, Finding, Host, UndecidedError, attempt, claim, every, opened, status

_DOCKERS = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
"""Capabilities that Docker gives by default (its documentation, "Runtime privilege and Linux capabilities"), by their
numbers in linux/capability.h."""

_NOBODY = 65534


@claim
def has_no_capability_beyond_those_of_docker(host: Host) -> Finding:
    held = 0
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        held |= int(status(kind), 16)
    beyond = held & ~sum(1 << number for number in _DOCKERS)
    return Finding(not beyond, f"capabilities {held:#x}, of them beyond Docker's {beyond:#x}")


@claim
def gains_no_privileges_by_exec(host: Host) -> Finding:
    return Finding(status("NoNewPrivs") == "1", f"NoNewPrivs {status('NoNewPrivs')}")


@claim
def filters_system_calls(host: Host) -> Finding:
    return Finding(status("Seccomp") == "2", f"Seccomp {status('Seccomp')}")


def _run_as_nobody(program: str) -> str:
    """What a program says that is run by another user than root; why there can be none, where there can be none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except OSError as error:
            os.write(writer, f"nobody can be user {_NOBODY} here: {error}".encode())
            os._exit(0)
        os.dup2(writer, 1)
        try:
            os.execv(program, [program, "-u"])
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader) as file:
        said = file.read().strip()
    os.waitpid(child, 0)
    return said


@claim
def gives_no_rights_by_setuid_files(host: Host) -> Finding:
    with calls.new_directory() as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy("/usr/bin/id", directory)
        os.chmod(program, 0o4755)
        said = _run_as_nobody(program)
        os.unlink(program)
    if not said:
        raise UndecidedError("a set-user-ID program could not be run")
    # As whom it runs, or why it does not.
    return Finding(said != "0", f"a set-user-ID program of root, run by {_NOBODY}, runs as: {said}")


@claim
def cannot_gain_capabilities_by_a_user_namespace(host: Host) -> Finding:
    return attempt(
        "unshare(CLONE_NEWUSER)",
        lambda: calls.call(calls.UNSHARE, calls.CLONE_NEWUSER),
        absent=[errno.ENOSPC, errno.EINVAL, errno.EUSERS],
    )


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


@claim
def cannot_leave_its_root_by_chroot(host: Host) -> Finding:
    # A directory that lies outside the root has nothing to stop it on the way up (chroot(2), NOTES).
    before = os.stat("/")
    with calls.new_directory() as directory:
        top = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        inside = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chroot(directory)
        except PermissionError:
            return Finding(True, "chroot: EPERM")
        os.fchdir(top)
        for _ in range(64):
            os.chdir("..")
        outside = not _same(before, os.stat("."))
        # Back, so that the directory is found and removed.
        os.fchdir(top)
        os.chroot(".")
        os.close(inside)
    return Finding(not outside, "the way up ends outside its root" if outside else "the way up ends at its root")


def _root_of(pid: int) -> Finding:
    path = f"/proc/{pid}/root"
    try:
        same = _same(os.stat(path), os.stat("/"))
    except OSError as error:
        if error.errno not in (*REFUSED, errno.ENOENT):
            raise
        return Finding(True, f"{path}: {errno.errorcode[error.errno]}")
    return Finding(same, f"{path} is {'its own root' if same else 'another root'}")


@claim
def cannot_leave_its_root_by_that_of_another_process(host: Host) -> Finding:
    return every(_root_of(1), _root_of(host.pid))


@claim
def cannot_leave_its_root_by_a_kept_descriptor(host: Host) -> Finding:
    kept = []
    for pid in (os.getpid(), os.getppid()):
        for number in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            # The one by which the list was read is gone.
            if os.path.exists(path) and stat.S_ISDIR(os.stat(path).st_mode):
                kept.append(f"{path} is {os.readlink(path)}")
    return Finding(not kept, "; ".join(kept) or "no descriptor of a directory")


@claim
def cannot_open_host_files_by_handle(host: Host) -> Finding:
    # FILEID_INO32_GEN of inode 2, the root of an ext4 file system (linux/exportfs.h).
    handle = struct.pack("IiII", 8, 1, 2, 0)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return attempt(
        "open_by_handle_at",
        lambda: os.close(calls.call(calls.OPEN_BY_HANDLE, root, handle, os.O_RDONLY | os.O_CLOEXEC)),
        allowed=[errno.ESTALE, errno.EOPNOTSUPP],
    )


def _cgroup_mounts(stack: ExitStack) -> list[tuple[str, str]]:
    """Where cgroup hierarchies are mounted: already, and by us if we may, until ``stack`` is left.

    Returns:
        directories, and the path of this process's cgroup below each.
    """
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split(" - ", 1) for line in file]
    found = [(left.split()[4], "/") for left, right in mounts if right.startswith("cgroup")]
    with open("/proc/self/cgroup") as file:
        hierarchies = [line.rstrip("\n").split(":", 2) for line in file]
    # Only what exists is mounted: with other options a hierarchy would be made, and take controllers away from others.
    for number, controllers, path in hierarchies:
        mount = calls.mounted("cgroup2") if number == "0" else calls.mounted("cgroup", controllers)
        try:
            found.append((stack.enter_context(mount), path))
        except OSError as error:
            if error.errno not in (*REFUSED, errno.EBUSY, errno.ENODEV):
                raise
    return found


@claim
def cannot_see_the_cgroups_of_the_host(host: Host) -> Finding:
    with ExitStack() as stack:
        mounts = [directory for directory, _ in _cgroup_mounts(stack)]
        # The root of a hierarchy of version 1 alone has the first; that of version 2 alone lacks the second.
        roots = [
            directory
            for directory in mounts
            if os.path.exists(f"{directory}/release_agent")
            or (
                not os.path.exists(f"{directory}/cgroup.clone_children")
                and not os.path.exists(f"{directory}/cgroup.type")
            )
        ]
    return Finding(not roots, f"{len(mounts)} cgroup file systems, {len(roots)} of them from the host's root on")


@claim
def cannot_have_a_program_run_by_the_cgroup_release_agent(host: Host) -> Finding:
    with ExitStack() as stack:
        agents = [f"{directory}/release_agent" for directory, _ in _cgroup_mounts(stack)]
        tries = [attempt(f"opening {path}", opened(path, os.O_WRONLY), absent=[errno.ENOENT]) for path in agents]
    return every(*tries, Finding(True, f"{len(agents)} cgroup file systems"))


@claim
def cannot_lift_its_own_limits(host: Host) -> Finding:
    names = ("memory.limit_in_bytes", "cpu.cfs_quota_us", "memory.max", "cpu.max", "pids.max")
    with ExitStack() as stack:
        places = [f"{directory}{path}" for directory, path in _cgroup_mounts(stack)]
        limits = [f"{place}/{name}" for place in places for name in names if os.path.exists(f"{place}/{name}")]
        tries = [attempt(f"opening {path}", opened(path, os.O_WRONLY)) for path in limits]
    return every(*tries, Finding(True, f"{len(limits)} limits in sight"))
