"""libvirt's QEMU driver inside this process: opening it, starting domains, hearing of their ends.

``qemu:///embed?root=DIRECTORY`` needs no daemon, but has terms of its own:

* It needs libvirt's event loop, which runs in a thread here, from before the driver is opened until it is closed.
* It is initialised once in the life of a process, with one root directory: a second root is refused even when no
  connection to the first is left. So the directory has a name that goes with the process; it is there while connections
  are open, and made anew, as libvirt left it, for the next one.
* It wants to look up the user ``libvirt-qemu``, whom only Debian's package of the *daemon* adds, although its
  configuration names another. Where the user is missing, the driver is opened in a mount namespace in which
  ``/etc/passwd`` has him.
* With systemd on the bus it would have machined put every QEMU into a scope, out of the instance's cgroup. So the bus
  is hidden from it; ``cgroup_controllers = []`` does the rest.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import json
import os
import pwd
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu  # type: ignore[import-untyped] # shipped without types

from runtimes import syscalls
from runtimes.base import HostError, InstanceError
from runtimes.leftovers import PREFIX, held_directory, run_parents
from runtimes.vm import troubles
from runtimes.vm.domain import MACHINE
from runtimes.vm.emulator import Emulator
from runtimes.vm.watchdog import killed_after

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

_ANSWER_TIMEOUT = 10.0
"""Seconds for QEMU to answer a question about itself, which takes it milliseconds."""

_DRIVER_USER = "libvirt-qemu"
_NO_BUS = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}


_BALLOON_SIZES = ("actual", "available", "unused", "usable", "disk_caches", "swap_in", "swap_out")
_UNKNOWN = 2**63 // 1024
"""KiB from which on a figure can only be the -1 by which QEMU says that the driver does not tell it."""


def parse_balloon(statistics: Mapping[str, int]) -> dict[str, int]:
    """Figures of virDomainMemoryStats (libvirt's libvirt-domain.h) that a balloon driver tells, in bytes.

    Returns:
        ``actual`` (the guest's memory without what is in the balloon), ``available`` (``MemTotal`` in the guest),
        ``unused`` (``MemFree``), ``usable`` (``MemAvailable``), ``disk_caches``, ``swap_in`` and ``swap_out``; without
        those that the driver does not tell, and empty if it has not told any yet.
    """
    if not statistics.get("last_update"):
        return {}
    given = {name: statistics[name] for name in _BALLOON_SIZES if name in statistics}
    return {name: value * 1024 for name, value in given.items() if 0 <= value < _UNKNOWN}


class Domain:
    """One domain that was started.

    Attributes:
        name: of the domain.
        stopped: set when libvirt says that the domain has stopped or crashed, and QEMU is gone.
        stopped_at: when it said so, nanoseconds on CLOCK_MONOTONIC.
        trouble: why the guest could not go on, so that QEMU was killed; None if it could.
        guarded: whether it is trouble if the agent closes its port.
        powered_off_at: when it said that the guest had powered off, on the same clock; None if it has not.
    """

    def __init__(self, name: str, kill: Callable[[], None]) -> None:
        self.name = name
        self.stopped = threading.Event()
        self.stopped_at: int | None = None
        self.trouble: str | None = None
        self.guarded = False
        self._kill = kill
        self.powered_off_at: int | None = None
        self._handle: libvirt.virDomain | None = None

    def started(self, handle: libvirt.virDomain) -> None:
        """Take over libvirt's own handle."""
        self._handle = handle

    def note_stop(self) -> None:
        """Called in the thread of the event loop."""
        self.stopped_at = time.monotonic_ns()
        self.stopped.set()

    def note_trouble(self, reason: str) -> None:
        """Called in any thread: the guest cannot go on."""
        self.trouble = self.trouble or reason
        self._kill()

    def note_power_off(self) -> None:
        """Called in the thread of the event loop."""
        self.powered_off_at = time.monotonic_ns()

    def monitor(self, command: str) -> Any:  # noqa: ANN401 any JSON
        """What QEMU's monitor returns for a command without arguments.

        Raises:
            InstanceError: the domain is gone, or QEMU does not know the command, or it did not answer and was killed.
        """
        hung = functools.partial(self.note_trouble, f"QEMU did not answer {command} within {_ANSWER_TIMEOUT:g} s")
        try:
            with killed_after(_ANSWER_TIMEOUT, hung):
                answer = json.loads(libvirt_qemu.qemuMonitorCommand(self._handle, json.dumps({"execute": command}), 0))
        except libvirt.libvirtError as error:
            raise InstanceError(f"{self.name}: libvirt could not ask QEMU for {command}: {error}") from error
        if "return" not in answer:
            raise InstanceError(f"{self.name}: QEMU does not answer {command}: {answer['error']['desc']}")
        return answer["return"]

    def balloon(self) -> dict[str, int]:
        """What the guest's balloon driver told last of the guest's memory, see :func:`parse_balloon`.

        Raises:
            InstanceError: the domain is gone.
        """
        try:
            return parse_balloon(self._handle.memoryStats()) if self._handle else {}
        except libvirt.libvirtError as error:
            raise InstanceError(f"{self.name}: libvirt has no figures of its memory: {error}") from error

    def description(self) -> str:
        """The XML of the domain as it runs, with all that libvirt filled in.

        Raises:
            InstanceError: the domain is gone.
        """
        try:
            return str(self._handle.XMLDesc(0)) if self._handle else ""
        except libvirt.libvirtError as error:
            raise InstanceError(f"{self.name}: libvirt has no description of it: {error}") from error

    def destroy(self, patience: float) -> None:
        """Have libvirt kill QEMU, if it has not ended, and wait until libvirt is done with the domain.

        Raises:
            InstanceError: libvirt could not.
        """
        if self._handle is None:
            return
        try:
            if not self.stopped.is_set():
                self._handle.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                raise InstanceError(f"{self.name}: libvirt could not destroy it: {error}") from error
        if not self.stopped.wait(patience):
            raise InstanceError(f"{self.name}: libvirt did not say within {patience:g} s that it has stopped")


class Connection:
    """An open connection to the driver.

    Attributes:
        libvirt_version: of the library.
        log_directory: where libvirt writes ``NAME.log`` for every domain, with QEMU's messages.
    """

    def __init__(self, handle: libvirt.virConnect, log_directory: Path) -> None:
        self.libvirt_version = _version(handle.getLibVersion())
        self.log_directory = log_directory
        self._handle = handle
        self._domains: dict[str, Domain] = {}
        self._callback = handle.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._hear, self._domains
        )
        self._ignore_troubles = troubles.attend(handle, self._domains)

    @staticmethod
    def _hear(
        _handle: libvirt.virConnect, domain: libvirt.virDomain, event: int, _detail: int, domains: dict[str, Domain]
    ) -> None:
        known = domains.get(domain.name())
        if known is not None and event == libvirt.VIR_DOMAIN_EVENT_SHUTDOWN:
            known.note_power_off()
        if known is not None and event in (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED):
            known.note_stop()

    def create(self, name: str, xml: str, *, paused: bool = False, kill: Callable[[], None] = lambda: None) -> Domain:
        """Start a transient domain; its processors run when this returns, unless it is to be paused.

        QEMU and the domain's tap are made by the calling thread, in its network and mount namespaces.

        Args:
            name: of the domain, the same as in ``xml``.
            xml: the domain.
            paused: whether its processors shall not run.
            kill: kills QEMU, if it is there; called in any thread.

        Raises:
            InstanceError: libvirt refused, or QEMU did not start.
        """
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0
        domain = self._domains[name] = Domain(name, kill)
        try:
            domain.started(self._handle.createXML(xml, flags))
        except libvirt.libvirtError as error:
            del self._domains[name]
            raise InstanceError(f"{name}: libvirt could not start it: {error}") from error
        except BaseException:  # interrupted when libvirt had started it, and nobody here knew yet
            del self._domains[name]
            with contextlib.suppress(libvirt.libvirtError):
                self._handle.lookupByName(name).destroy()
            raise
        return domain

    def forget(self, domain: Domain) -> None:
        """Listen no more for a domain that has stopped."""
        self._domains.pop(domain.name, None)

    def learn(self, emulator: Emulator, kind: str) -> None:
        """Have libvirt ask the emulator now what it can do; it would else do so for the first domain.

        Args:
            emulator: of the domains to come.
            kind: ``kvm``, or ``qemu`` for software emulation.

        Raises:
            HostError: the emulator cannot do that.
        """
        try:
            self._handle.getDomainCapabilities(str(emulator.path), "x86_64", MACHINE, kind)
        except libvirt.libvirtError as error:
            raise HostError(f"libvirt cannot use {emulator.qemu} for domains of type {kind}: {error}") from error

    def close(self) -> None:
        """Close it; all domains of ours have been destroyed."""
        self._ignore_troubles()
        self._handle.domainEventDeregisterAny(self._callback)
        self._handle.close()


class _Driver:
    """The one driver of this process, and how many use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._held = ExitStack()
        self._skeleton: list[Path] = []

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
            stack.enter_context(_event_loop())
            self._held = stack.pop_all()


_driver = _Driver()


@contextmanager
def open_connection(emulator: Emulator) -> Iterator[Connection]:
    """Open libvirt's QEMU driver in this process.

    Connections may be opened several at a time and one after the other.

    Raises:
        HostError: libvirt or its QEMU driver is missing or does not work.
    """
    libvirt.registerErrorHandler(_ignore, None)  # the default prints to standard error; errors are raised anyway
    with _driver.used(emulator) as root:
        try:
            handle = _open(root)
        except (libvirt.libvirtError, OSError) as error:
            raise HostError(
                f"libvirt cannot open its QEMU driver: {error}; needed by the runtime vm: "
                "apt-get install libvirt-daemon-driver-qemu"
            ) from error
        connection = Connection(handle, root / "log" / "qemu")
        try:
            yield connection
        finally:
            connection.close()


def _ignore(_context: object, _error: object) -> None:
    return None


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


@functools.cache
def _register_events() -> None:
    """Make libvirt's own event loop the one of this process, which can be done once."""
    libvirt.virEventRegisterDefaultImpl()


@contextmanager
def _event_loop() -> Iterator[None]:
    """Run libvirt's event loop in a thread."""
    _register_events()
    ending = threading.Event()

    def run() -> None:
        while not ending.is_set():
            libvirt.virEventRunDefaultImpl()

    thread = threading.Thread(target=run, name="libvirt events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        # A timer that is due at once is what ends the iteration that waits for events.
        timer = libvirt.virEventAddTimeout(0, _ignore, None)
        thread.join()
        libvirt.virEventRemoveTimeout(timer)


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
