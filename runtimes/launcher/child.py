"""What the launcher's child does between clone and execve."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

from runtimes import syscalls
from runtimes.launcher.rootfs import mount_root, protect_host_settings
from runtimes.syscalls import CLONE_NEWCGROUP, CLONE_NEWNET, MNT_DETACH, MS_PRIVATE, MS_REC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

AGENT_FD = 3
"""The descriptor under which the program finds its stream."""

# What a container keeps, by number (linux/capability.h): the set that Docker gives by default, so that figures compare.
_KEPT_CAPABILITIES = {
    0,  # CAP_CHOWN
    1,  # CAP_DAC_OVERRIDE
    3,  # CAP_FOWNER
    4,  # CAP_FSETID
    5,  # CAP_KILL
    6,  # CAP_SETGID
    7,  # CAP_SETUID
    8,  # CAP_SETPCAP
    10,  # CAP_NET_BIND_SERVICE
    13,  # CAP_NET_RAW
    18,  # CAP_SYS_CHROOT
    27,  # CAP_MKNOD
    29,  # CAP_AUDIT_WRITE
    31,  # CAP_SETFCAP
}


def become(request: dict[str, Any], fds: list[int], report: int) -> NoReturn:
    """Turn the calling process, fresh from clone, into the program of a request; see :mod:`runtimes.launcher.process`.

    Args:
        request: as received.
        fds: the descriptors that came with it.
        report: write end of the pipe for stamps and failure.
    """
    child = _Child(request, fds)
    try:
        child.run(report)
    except OSError as error:
        failure = {"step": child.step, "errno": error.errno or 0, "message": str(error)}
    except BaseException as error:
        failure = {"step": child.step, "errno": 0, "message": repr(error)}
    os.write(report, json.dumps({"error": failure}).encode())
    os._exit(127)


class _Child:
    """One child on its way; ``step`` names what it is about, for the report of a failure."""

    def __init__(self, request: dict[str, Any], fds: list[int]) -> None:
        self.step = "clone"
        self._request = request
        self._fds = fds
        self._stamps: dict[str, int] = {}

    def run(self, report: int) -> None:
        self._stamp("clone")
        syscalls.die_with_parent(signal.SIGKILL)
        os.setsid()
        self._join()
        if self._request["isolated"]:
            self._isolate()
        else:
            self.step = "chroot"
            os.chroot(self._request["root"])
            os.chdir("/")
        self.step = "exec"
        report = self._arrange_descriptors(report)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if self._request["isolated"]:
            _drop_privileges()
        self._stamp("exec")
        # Had the launcher died before die_with_parent, this would fail, and the child end.
        os.write(report, json.dumps({"stamps": self._stamps}).encode() + b"\n")
        os.execve(self._request["argv"][0], self._request["argv"], {})

    def _stamp(self, phase: str) -> None:
        self._stamps[phase] = time.monotonic_ns()

    def _join(self) -> None:
        """Enter the cgroups, the CPU set and the network."""
        self.step = "join the cgroup"
        for path in () if self._request["into_cgroup"] else self._request["thread_files"]:
            fd = os.open(path, os.O_WRONLY)
            try:
                os.write(fd, b"0")
            except OSError as error:
                raise OSError(error.errno, error.strerror, path) from None
            finally:
                os.close(fd)
        os.sched_setaffinity(0, self._request["cpus"])
        if self._request["network"] == "join":
            self.step = "join the network"
            syscalls.setns(self._fds[2], CLONE_NEWNET)
        elif self._request["network"] == "new":
            self.step = "set up the network"
            syscalls.configure_interface("lo")
        self._stamp("join")

    def _isolate(self) -> None:
        """Give the namespaces that clone made their contents."""
        # Only now: a cgroup namespace shows the cgroup in which its maker was as its root.
        self.step = "make the cgroup namespace"
        syscalls.unshare(CLONE_NEWCGROUP)
        self.step = "mount the root"
        syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
        root = mount_root(self._request["root"], self._request["staging"], self._request["scratch"])
        protect_host_settings(root)
        self._stamp("mounts")
        self.step = "enter the root"
        socket.sethostname(self._request["hostname"])
        # With the old root put on the new one there is no directory to make for it (pivot_root(2), NOTES).
        os.chdir(root)
        syscalls.pivot_root(".", ".")
        syscalls.umount(".", MNT_DETACH)
        os.chdir("/")
        self._stamp("pivot")

    def _arrange_descriptors(self, report: int) -> int:
        """Standard input from /dev/null, output and error to the log, the stream at its place; the rest closes on exec.

        Returns:
            The report's new descriptor.
        """
        stream, log = self._fds[:2]
        # Out of the way first: any of them may have a number that another is about to get.
        report, stream, log = (os.dup2(fd, 100 + place) for place, fd in enumerate((report, stream, log)))
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(stream, AGENT_FD)
        syscalls.close_on_exec_from(AGENT_FD + 1)
        return report


def _drop_privileges() -> None:
    """Give up what a container does not need; hardening that goes further has its place here."""
    # pathlib would cost the launcher more memory than it has in all.
    with open("/proc/sys/kernel/cap_last_cap") as file:  # noqa: PTH123
        last = int(file.read())
    for number in range(last + 1):
        if number not in _KEPT_CAPABILITIES:
            syscalls.drop_bounding_capability(number)
    syscalls.no_new_privileges()
