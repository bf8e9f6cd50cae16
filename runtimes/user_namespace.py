"""User namespaces: which one this process is in, and moving into one of its own (user_namespaces(7)).

In a user namespace of its own an ordinary user's process has user id 0 and every capability over the namespaces that it
makes from there on, and none over the host: what it makes on the host is still the user's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtimes import syscalls
from runtimes.base import HostError

_INITIAL = 0xEFFFFFFD
"""Inode of the namespace that the host starts in (USER_NS_INIT_INO of linux/nsfs.h; the same in every kernel)."""

_PATIENCE = 2.0
"""Seconds to wait until threads that were told to end have ended."""

_SYSCTL = Path("/proc/sys")
_SUBUID, _SUBGID = Path("/etc/subuid"), Path("/etc/subgid")


class NotGrantedError(HostError):
    """The host does not let this user do something.

    Attributes:
        what: what it does not.
        grant: how to have it do so; empty where nothing does.
    """

    def __init__(self, what: str, grant: str) -> None:
        super().__init__(f"{what}; {grant}" if grant else what)
        self.what = what
        self.grant = grant


@dataclass(frozen=True, slots=True)
class SubordinateIds:
    """The ids that the host lends to a user besides its own: first id and number, of each range (subuid(5))."""

    users: tuple[tuple[int, int], ...]
    groups: tuple[tuple[int, int], ...]


def is_initial() -> bool:
    """Whether this process is in the host's own user namespace, in which alone root is root."""
    try:
        return Path("/proc/self/ns/user").stat().st_ino == _INITIAL
    except FileNotFoundError:  # a kernel without them
        return True


def host_id() -> int:
    """Our user id as the host knows it, or as the user namespace around ours does (``uid_map`` in
    user_namespaces(7)).
    """
    own = os.geteuid()
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, outside, count = map(int, line.split())
        if first <= own < first + count:
            return outside + own - first
    return own


def subordinate_ids() -> SubordinateIds:
    """The ids lent to this user.

    Raises:
        NotGrantedError: there are none, or not the programs to use them with; the message says how to get them.
    """
    lacking = [name for name in ("newuidmap", "newgidmap") if shutil.which(name) is None]
    if lacking:
        raise NotGrantedError(f"{' and '.join(lacking)} not found in PATH", "sudo apt-get install uidmap")
    user = os.geteuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        what = f"user {user} has no name, without which newuidmap maps nothing"
        raise NotGrantedError(what, "give the user an entry in /etc/passwd, or use another one") from None
    lent = SubordinateIds(_lent(_SUBUID, user, name), _lent(_SUBGID, user, name))
    if lent.users and lent.groups:
        return lent
    without = [str(file) for file, ids in ((_SUBUID, lent.users), (_SUBGID, lent.groups)) if not ids]
    raise NotGrantedError(
        f"user {name} has no subordinate ids in {' and '.join(without)}",
        f"echo {name}:{_first_free()}:65536 | sudo tee -a {' '.join(without)}",
    )


def enter() -> None:
    """Move this process into user, mount and network namespaces of its own, in which it is user 0.

    With subordinate ids, those are users and groups 1 and up; without them there is no other user than 0.

    Raises:
        NotGrantedError: the kernel refused.
        HostError: this process has several threads, or the ids cannot be mapped.
    """
    _await_single_thread()
    lent = None
    with contextlib.suppress(HostError):
        lent = subordinate_ids()
    with _mapping(lent) as apply_mapping:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
        except OSError as error:
            raise _refusal(error) from error
        apply_mapping()
    try:
        # Owned by the new user namespace, so that a run can leave its own namespaces and come back into these.
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)
    except OSError as error:
        raise _refusal(error) from error


class _Mapping:
    """Gives the process its ids once it is in the new namespace."""

    def __init__(self, helper: subprocess.Popen[str] | None) -> None:
        self._helper = helper
        self._user, self._group = os.geteuid(), os.getegid()

    def __call__(self) -> None:
        if self._helper is None:
            self._map_own()
            return
        _, errors = self._helper.communicate("go\n")
        if self._helper.returncode != 0:
            raise HostError(
                f"cannot map the ids that /etc/subuid and /etc/subgid lend to user {self._user}: {errors.strip()}"
            )

    def _map_own(self) -> None:
        try:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {self._user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {self._group} 1")
        except OSError as error:
            raise _refusal(error) from error


@contextmanager
def _mapping(lent: SubordinateIds | None) -> Iterator[_Mapping]:
    """Have ready what maps the ids: the programs that may do it must be started outside of the new namespace."""
    if lent is None:
        yield _Mapping(None)
        return
    commands = " && ".join(
        shlex.join([program, str(os.getpid()), *map(str, (0, own, 1, *_consecutive(ranges)))])
        for program, own, ranges in (("newuidmap", os.geteuid(), lent.users), ("newgidmap", os.getegid(), lent.groups))
    )
    with subprocess.Popen(
        ["sh", "-c", f"read go && {commands}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as helper:
        # Leaving the context closes its standard input; if it was not told to go, it then ends.
        yield _Mapping(helper)


def _consecutive(ranges: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """The ranges as newuidmap(1) wants them, one behind the other from id 1 inside."""
    inside = 1
    for first, count in ranges:
        yield from (inside, first, count)
        inside += count


def _await_single_thread() -> None:
    """Wait until this is the process's only thread, as unshare(2) demands; one told to end may not yet have.

    Raises:
        HostError: there are others still.
    """
    deadline = time.monotonic() + _PATIENCE
    while len(threads := os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 only the number is wanted
        if time.monotonic() > deadline:
            raise HostError(
                f"cannot enter a user namespace with {len(threads)} threads; expected one: start the command anew"
            )
        time.sleep(0.001)


def _refusal(error: OSError) -> NotGrantedError:
    """Why the kernel does not let this user have a user namespace, and what would have it do so."""
    what = f"the kernel gives user {os.geteuid()} no user namespace ({os.strerror(error.errno or 0)})"
    for name, refused, granted in (
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user/max_user_namespaces", "0", "10000"),
    ):
        if _sysctl(name) == refused:
            key = name.replace("/", ".")
            return NotGrantedError(f"{what}: {key} is {refused}", f"sudo sysctl -w {key}={granted}")
    if error.errno in {errno.ENOSPC, errno.EUSERS}:
        key, allowed = "user.max_user_namespaces", _sysctl("user/max_user_namespaces")
        what = f"{what}: the {allowed} that {key} allows are in use, or 32 are one inside the other"
        return NotGrantedError(what, f"sudo sysctl -w {key}=NUMBER with more, or start it outside of them")
    if error.errno in {errno.EINVAL, errno.ENOSYS}:
        return NotGrantedError(f"{what}: it has none", "use a kernel built with CONFIG_USER_NS")
    what = f"{what}: a seccomp filter, a security module or a chroot around this process forbids it"
    return NotGrantedError(what, "start it outside of that, or as root")


def _sysctl(name: str) -> str | None:
    with contextlib.suppress(OSError):
        return (_SYSCTL / name).read_text().strip()
    return None


def _entries(file: Path) -> Iterator[tuple[str, int, int]]:
    """Owner, first id and number of every range in a file of subordinate ids."""
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            owner, _, numbers = line.strip().partition(":")
            first, _, count = numbers.partition(":")
            if first.isdigit() and count.isdigit():
                yield owner, int(first), int(count)


def _lent(file: Path, user: int, name: str) -> tuple[tuple[int, int], ...]:
    return tuple((first, count) for owner, first, count in _entries(file) if owner in {str(user), name} and count > 0)


def _first_free() -> int:
    """The lowest id from 100000 up, as useradd(8) gives them, above all that are lent to anybody."""
    return max([100_000, *(first + count for file in (_SUBUID, _SUBGID) for _, first, count in _entries(file))])
