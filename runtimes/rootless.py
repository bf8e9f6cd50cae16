"""Runs of an ordinary user: what they need of the host instead of root, each with what grants it.

An ordinary user's run is carried out in a user namespace of its own (:mod:`runtimes.user_namespace`), beneath cgroups
that belong to the user. What the kernel leaves to root on the host stays out of reach: loop devices and the file
systems on them, device nodes, guests with a tap.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from runtimes import syscalls, user_namespace
from runtimes.base import HostError
from runtimes.cgroup.hierarchy import OPTIONAL_CONTROLLERS, REQUIRED_CONTROLLERS, Hierarchies
from runtimes.user_namespace import NotGrantedError

_SOURCE_ROOT = Path(__file__).resolve().parents[1]
_PROBE = "import sys; sys.path.insert(0, sys.argv[1]); from runtimes.rootless import try_out; try_out()"
_REFUSED = 3
"""Exit status of ``try_out`` after a refusal; those of Python's own failures are others."""

_IN_THIS_SHELL = "to have the shell you type it in, and what is started from it, in a cgroup of the user's own"
_SYSTEMD = Path("/run/systemd/system")
"""Is there where systemd is init (sd_booted(3))."""

_DELEGATION = Path("/etc/systemd/system/user@.service.d/delegate.conf")
_DELEGATED = "cpu cpuset io memory pids"


def is_unprivileged() -> bool:
    """Whether this process is not root on the host: an ordinary user, or root of a user namespace only."""
    return os.geteuid() != 0 or not user_namespace.is_initial()


def require_cgroups() -> None:
    """Find out whether an unprivileged process may make cgroups with the controllers that runs need.

    Raises:
        NotGrantedError: it may not.
    """
    found = Hierarchies.of_this_thread()
    if "memory" in found.v1:
        _require_v1(found)
    elif found.v2 is not None:
        _require_v2(found)


def check_user_namespace() -> None:
    """Find out whether an ordinary user may have what a run needs: a user namespace, and mounts in it.

    A process of its own tries it.

    Raises:
        NotGrantedError: the user may not.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(_SOURCE_ROOT)], capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode == _REFUSED:
        raise NotGrantedError(**json.loads(done.stdout))
    if done.returncode != 0:
        raise HostError(f"a user namespace cannot be tried out: {done.stderr.strip() or 'the process was killed'}")


def try_out() -> None:
    """Enter a user namespace, mount there what containers have, and end the process; a refusal goes to standard output
    as JSON, with the exit status ``_REFUSED``.
    """
    try:
        user_namespace.enter()
        _try_mounts()
    except NotGrantedError as error:
        print(json.dumps({"what": error.what, "grant": error.grant}), flush=True)
        os._exit(_REFUSED)


def _try_mounts() -> None:
    place = Path("/tmp")
    root = place / "root"
    _try_mount("tmpfs", place, "", "have the security module that forbids mounts allow them")
    for name in ("lower", "upper", "work", "root"):
        (place / name).mkdir()
    layers = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work,userxattr"
    _try_mount("overlay", root, layers, "sudo modprobe overlay, with Linux 5.11 or later")
    visible = "start it where all of {} is visible, which in most containers it is not"
    _try_mount("sysfs", root, "", visible.format("/sys"))
    # A proc belongs to the pid namespace of who mounts it, and a process gets another one only at its start.
    syscalls.unshare(syscalls.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        _try_mount("proc", root, "", visible.format("/proc"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status))


def _try_mount(fstype: str, target: Path, options: str, grant: str) -> None:
    try:
        syscalls.mount(fstype, str(target), fstype, 0, options)
    except OSError as error:
        what = f"{fstype} cannot be mounted in a user namespace of user {user_namespace.host_id()}: {error.strerror}"
        raise NotGrantedError(what, grant) from error


def _require_v1(found: Hierarchies) -> None:
    needed = {found.v1[name] for name in REQUIRED_CONTROLLERS[1] if name in found.v1}
    refused = sorted(str(path) for path in needed if not os.access(path, os.W_OK))
    if refused:
        user = user_namespace.host_id()
        what = f"user {user} may not make cgroups in {', '.join(refused)}"
        raise NotGrantedError(what, f"{_IN_THIS_SHELL}: {grant_v1(found, user)}")


def grant_v1(found: Hierarchies, user: int) -> str:
    """The command, for a shell of the user, by which root gives the user cgroups and puts that shell into them."""
    controllers = (*REQUIRED_CONTROLLERS[1], *OPTIONAL_CONTROLLERS[1])
    wanted = dict.fromkeys(found.v1[name] for name in controllers if name in found.v1)
    own = f"bench-user-{user}"
    # A new cpuset takes no process until it has CPUs and memory nodes (kernel documentation, cgroup-v1/cpusets).
    return (
        f'sudo sh -c "for d in {_words(wanted)}; do mkdir -p \\$d/{own}; chown {user} \\$d/{own}; '
        f"for f in cpuset.cpus cpuset.mems; do [ ! -e \\$d/\\$f ] || cat \\$d/\\$f > \\$d/{own}/\\$f; done; "
        f'echo $$ > \\$d/{own}/cgroup.procs; done"'
    )


def _require_v2(found: Hierarchies) -> None:
    user = user_namespace.host_id()
    lacking = [_missing(path) for path in found.own_and_above() if _is_delegated(path)]
    if not all(lacking):  # one of them lacks nothing
        return
    assert found.v2_top is not None
    refused = f"user {user} may not make cgroups in {found.v2}"
    if not _SYSTEMD.is_dir():
        raise NotGrantedError(refused, f"{_IN_THIS_SHELL}: {grant_v2(found.v2_top, user)}")
    start = "systemd-run --user --scope -p Delegate=yes bench …"
    manager = found.v2_top / f"user.slice/user-{user}.slice/user@{user}.service"
    missing = lacking[-1] if lacking else _missing(manager)
    if not missing:
        raise NotGrantedError(refused, f"start with: {start}")
    raise NotGrantedError(
        f"systemd gives user {user} no cgroup controller {', '.join(missing)}",
        f'sudo sh -c \'mkdir -p {_DELEGATION.parent}; printf "[Service]\\nDelegate={_DELEGATED}\\n" > {_DELEGATION}; '
        f"systemctl daemon-reload', log out and in again, and start with: {start}",
    )


def grant_v2(top: Path, user: int) -> str:
    """The same for version 2, where no service manager is in charge of the hierarchy mounted at ``top``.

    The shell gets a cgroup of its own below the user's: one with processes in it hands no controllers down.
    """
    there = (top / "cgroup.controllers").read_text().split()
    optional = [name for name in OPTIONAL_CONTROLLERS[2] if name in there]
    own, switch = f"{top}/bench-user-{user}", " ".join(f"+{name}" for name in (*REQUIRED_CONTROLLERS[2], *optional))
    files = ". cgroup.procs cgroup.subtree_control shell shell/cgroup.procs"
    return (
        f"sudo sh -c \"echo '{switch}' > {top}/cgroup.subtree_control; mkdir -p {own}/shell; "
        f'cd {own}; chown {user} {files}; echo $$ > shell/cgroup.procs"'
    )


def _is_delegated(path: Path) -> bool:
    """Whether we may do in a cgroup what its delegation allows (kernel documentation, cgroup-v2, "Model of
    Delegation").
    """
    return all(os.access(file, os.W_OK) for file in (path, path / "cgroup.procs", path / "cgroup.subtree_control"))


def _missing(path: Path) -> tuple[str, ...]:
    try:
        there = (path / "cgroup.controllers").read_text().split()
    except OSError:
        return ()
    return tuple(name for name in REQUIRED_CONTROLLERS[2] if name not in there)


def _words(paths: Iterable[Path | str]) -> str:
    return " ".join(str(path) for path in paths)
