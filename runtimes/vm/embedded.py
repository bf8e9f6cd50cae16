"""libvirt's QEMU driver inside this process.

``qemu:///embed?root=DIRECTORY`` needs no daemon, but has terms of its own:

* It needs libvirt's event loop, from before the driver is opened until it is closed.
* It is initialised once in the life of a process, with one root directory: a second root is refused even when no
  connection to the first is left. So the directory has a name that goes with the process; it is there while connections
  are open, and made anew, as libvirt left it, for the next one.
* Each opening registers the driver anew, and libvirt has room for 21 (``MAX_DRIVERS`` in src/libvirt.c). So it is
  never closed, and what one connection leaves the next one takes.
* It wants to look up the user ``libvirt-qemu``, whom only Debian's package of the *daemon* adds, although its
  configuration names another. Where the user is missing, the driver is opened in a mount namespace in which
  ``/etc/passwd`` has him.
* With systemd on the bus it would have machined put every QEMU into a scope, out of the instance's cgroup. So the bus
  is hidden from it; ``cgroup_controllers = []`` does the rest.
"""

from __future__ import annotations

import grp
import os
import pwd
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import libvirt

from runtimes import syscalls
from runtimes.base import HostError
from runtimes.leftovers import PREFIX, held_directory, run_parents
from runtimes.vm.connection import Connection
from runtimes.vm.emulator import Emulator
from runtimes.vm.events import running_events

_CONFIGURATION = """\
stdio_handler = "file"
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
"""

_DRIVER_USER = "libvirt-qemu"
_NO_BUS = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}


class _Driver:
    """The one driver of this process, and how many use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._held = ExitStack()
        self._skeleton: list[Path] = []
        self._idle: list[libvirt.virConnect] = []

    def take(self) -> libvirt.virConnect:
        """A handle of libvirt's that nobody has, to be given back; for those who use the driver.

        Raises:
            libvirt.libvirtError: libvirt could not open one.
        """
        with self._lock:
            return self._idle.pop() if self._idle else _open(self._root())

    def give_back(self, handle: libvirt.virConnect) -> None:
        """Leave a handle, on which nobody listens any more, to the next one."""
        with self._lock:
            self._idle.append(handle)

    @contextmanager
    def used(self, emulator: Emulator) -> Iterator[Path]:
        """Have the event loop running and the root directory there; yields the directory."""
        with self._lock:
            if self._users == 0:
                self._set_up(emulator)
            self._users += 1
        try:
            yield self._root()
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    root = self._root()
                    self._skeleton = [path.relative_to(root) for path in root.rglob("*") if path.is_dir()]
                    self._held.close()

    @staticmethod
    def _root() -> Path:
        return run_parents()[0] / f"{PREFIX}libvirt-{os.getpid()}" / "libvirt"

    def _set_up(self, emulator: Emulator) -> None:
        with ExitStack() as stack:
            root = self._root()
            stack.enter_context(held_directory(root.parent))
            (root / "etc").mkdir(parents=True)
            (root / "etc" / "qemu.conf").write_text(_CONFIGURATION)
            (root / "cache").symlink_to(emulator.knowledge)
            for directory in self._skeleton:
                (root / directory).mkdir(parents=True, exist_ok=True)
            stack.enter_context(_environment(_NO_BUS))
            stack.enter_context(running_events())
            self._held = stack.pop_all()


_driver = _Driver()


@contextmanager
def open_embedded(emulator: Emulator) -> Iterator[Connection]:
    """Open libvirt's QEMU driver in this process.

    Connections may be opened several at a time and one after the other.

    Raises:
        HostError: libvirt or its QEMU driver is missing or does not work.
    """
    with _driver.used(emulator) as root:
        try:
            handle = _driver.take()
        except (libvirt.libvirtError, OSError) as error:
            raise HostError(
                f"libvirt cannot open its QEMU driver: {error}; needed by the runtime vm: "
                "apt-get install libvirt-daemon-driver-qemu"
            ) from error
        connection = Connection(handle, root / "log" / "qemu", reopen=None)
        try:
            yield connection
        finally:
            connection.close()
            _driver.give_back(handle)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _open(root: Path) -> libvirt.virConnect:
    uri = f"qemu:///embed?root={root}"
    try:
        pwd.getpwnam(_DRIVER_USER)
        grp.getgrnam(_DRIVER_USER)
    except KeyError:
        # A thread of its own: it ends together with its mount namespace.
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(_open_with_driver_user, root, uri).result()
    return libvirt.open(uri)


def _open_with_driver_user(root: Path, uri: str) -> libvirt.virConnect:
    """Open the driver where the user and group that it insists on can be looked up; nothing is run as them."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    number = 65534
    lines = {
        "passwd": f"{_DRIVER_USER}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n",
        "group": f"{_DRIVER_USER}:x:{number}:\n",
    }
    for name, line in lines.items():
        file = root / "etc" / name
        file.write_text(Path("/etc", name).read_text() + line)
        syscalls.mount(str(file), f"/etc/{name}", "", syscalls.MS_BIND)
    return libvirt.open(uri)
