"""Runs of an ordinary user: what they need of the host instead of root, each with what grants it.

An ordinary user's run is carried out in a user namespace of its own (:mod:`runtimes.user_namespace`), beneath cgroups
that belong to the user. What the kernel leaves to root on the host stays out of reach: loop devices and the file
systems on them, device nodes, guests with a tap.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from runtimes import syscalls, user_namespace
from runtimes.base import HostError
from runtimes.cgroup.hierarchy import REQUIRED_CONTROLLERS, Hierarchies

_SOURCE_ROOT = Path(__file__).resolve().parents[1]
_PROBE = "import sys; sys.path.insert(0, sys.argv[1]); from runtimes.rootless import try_out; try_out()"
_ALSO_GRANTED = ("blkio", "pids")
"""Controllers of version 1 that only some limits need; they are granted together with those that all runs need."""

_DELEGATION = "/etc/systemd/system/user@.service.d/delegate.conf"
_DELEGATED = "cpu cpuset io memory pids"


def is_unprivileged() -> bool:
    """Whether this process is not root on the host: an ordinary user, or root of a user namespace only."""
    return os.geteuid() != 0 or not user_namespace.is_initial()


def require_cgroups() -> None:
    """Find out whether an unprivileged process may make cgroups with the controllers that runs need.

    Raises:
        HostError: it may not; the message says what grants it.
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
        HostError: the user may not; the message says what grants it.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(_SOURCE_ROOT)], capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise HostError((done.stderr.strip().splitlines() or ["the trial of a user namespace was killed"])[-1])


def try_out() -> None:
    """Enter a user namespace and mount what containers have, then end the process: 0, or 1 and the reason on standard
    error.
    """
    try:
        user_namespace.enter()
        _try_mounts()
    except HostError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _try_mounts() -> None:
    place = Path("/tmp")
    _try_mount("tmpfs", place, "", "the kernel refuses every mount in it: a security module may forbid them")
    for name in ("lower", "upper", "work", "root"):
        (place / name).mkdir()
    layers = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work,userxattr"
    _try_mount("overlay", place / "root", layers, "expected Linux 5.11 or later, with overlayfs (modprobe overlay)")
    _try_mount("sysfs", place / "root", "", "parts of /sys are hidden here, as they are in containers")
    try:
        syscalls.unshare(syscalls.CLONE_NEWPID)
    except OSError as error:
        raise HostError(f"a user namespace of user {user_namespace.host_id()} has no pid namespace: {error}") from error
    if (child := os.fork()) == 0:
        try:
            _try_mount("proc", place / "root", "", "parts of /proc are hidden here, as they are in containers")
        except HostError as error:
            os.write(2, f"{error}\n".encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(1)


def _try_mount(fstype: str, target: Path, options: str, hint: str) -> None:
    try:
        syscalls.mount(fstype, str(target), fstype, 0, options)
    except OSError as error:
        raise HostError(
            f"{fstype} cannot be mounted in a user namespace of user {user_namespace.host_id()} "
            f"({error.strerror}); {hint}"
        ) from error


def _require_v1(found: Hierarchies) -> None:
    needed = {found.v1[name] for name in REQUIRED_CONTROLLERS[1] if name in found.v1}
    refused = sorted(str(path) for path in needed if not os.access(path, os.W_OK))
    if not refused:
        return
    user = user_namespace.host_id()
    wanted = dict.fromkeys(found.v1[name] for name in (*REQUIRED_CONTROLLERS[1], *_ALSO_GRANTED) if name in found.v1)
    own = f"bench-user-{user}"
    # A new cpuset takes no process until it has CPUs and memory nodes (kernel documentation, cgroup-v1/cpusets).
    grant = (
        f"for d in {_words(wanted)}; do mkdir -p \\$d/{own}; chown {user} \\$d/{own}; "
        f"for f in cpuset.cpus cpuset.mems; do [ ! -e \\$d/\\$f ] || cat \\$d/\\$f > \\$d/{own}/\\$f; done; "
        f"echo $$ > \\$d/{own}/cgroup.procs; done"
    )
    raise HostError(
        f"user {user} may not make cgroups in {', '.join(refused)}. To give this user cgroups of its own and put the "
        f'shell you type this in into them: sudo sh -c "{grant}"'
    )


def _require_v2(found: Hierarchies) -> None:
    user = user_namespace.host_id()
    delegated = [path for path in found.own_and_above() if _is_delegated(path)]
    lacking = [_missing(path) for path in delegated]
    if not all(lacking):  # one of them lacks nothing
        return
    if Path("/run/systemd/system").is_dir():
        start = "systemd-run --user --scope -p Delegate=yes bench …"
        manager = _user_manager(found, user)
        missing = lacking[-1] if lacking else _missing(manager) if manager else ()
        if not missing:
            raise HostError(f"user {user} may not make cgroups in {found.v2}; start with `{start}`")
        raise HostError(
            f"systemd does not give user {user} the cgroup controllers {', '.join(missing)}: sudo sh -c "
            f'\'mkdir -p {Path(_DELEGATION).parent} && printf "[Service]\\nDelegate={_DELEGATED}\\n" > {_DELEGATION} '
            f"&& systemctl daemon-reload', then log out and in again, and start with `{start}`"
        )
    top = found.v2_top
    assert top is not None
    own, files = f"{top}/bench-user-{user}", ("cgroup.procs", "cgroup.subtree_control", "shell", "shell/cgroup.procs")
    switch = " ".join(f"+{name}" for name in REQUIRED_CONTROLLERS[2])
    raise HostError(
        f"user {user} may not make cgroups in {found.v2}. To give this user a cgroup of its own and put the shell you "
        f"type this in into it: sudo sh -c \"echo '{switch}' > {top}/cgroup.subtree_control; mkdir -p {own}/shell; "
        f'cd {own}; chown {user} . {_words(files)}; echo $$ > shell/cgroup.procs"'
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


def _user_manager(found: Hierarchies, user: int) -> Path | None:
    """The cgroup of the user's service manager, beneath which ``systemd-run --user`` makes others."""
    assert found.v2_top is not None
    place = found.v2_top / f"user.slice/user-{user}.slice/user@{user}.service"
    return place if place.is_dir() else None


def _words(paths: Iterable[Path | str]) -> str:
    return " ".join(str(path) for path in paths)
