"""libvirt's QEMU driver in a daemon: that of the system, one of an ordinary user's own, or any that a URI names.

A daemon's QEMU needs what lies on this host and in this run: emulator, image, cgroup, tap, the agent's socket. So the
daemon must be one of this host, by whatever way it is reached; that the emulator has reached us, which it does by a
Unix socket, proves it (:mod:`runtimes.vm.rehearsal`).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import libvirt

from runtimes.base import HostError
from runtimes.leftovers import PREFIX, held_directory, run_parents
from runtimes.network import inside_network
from runtimes.vm.connection import Connection
from runtimes.vm.emulator import build_emulator, find_qemu
from runtimes.vm.events import running_events
from runtimes.vm.options import SESSION, SYSTEM
from runtimes.watchdog import answered_within

DAEMONS = {"virtqemud": "virtqemud-sock", "libvirtd": "libvirt-sock"}
"""Programs that are a daemon with the QEMU driver, the one with no other drivers first, and the sockets of each."""

_LOCAL, _DAEMONS = "qemu:///", "qemu+unix:///"
"""In a process with the embedded driver, the first of these is taken for it. The second always means a daemon, but is
then refused without a socket."""

_SYSTEM_SOCKETS = Path("/run/libvirt")
_SYSTEM_LOGS = Path("/var/log/libvirt/qemu")

_SESSION_CONFIGURATION = """\
stdio_handler = "file"
cgroup_controllers = []
"""
_SESSION_IDLE = 10
"""Seconds after which the user's daemon ends by itself when nobody is connected: the harness was killed then."""

_START_PATIENCE = 30.0
"""Seconds for the user's daemon to say that it is ready."""

_END_PATIENCE = 10.0
"""Seconds for it to end when it is asked to; then it is killed."""

_ANSWER_PATIENCE = 30.0
"""Seconds for a daemon to let us in, over ssh too. Only then does libvirt ask by itself whether it is still there."""


@contextmanager
def open_daemon(connect: str, network: int | None = None) -> Iterator[Connection]:
    """Connect to a daemon.

    Args:
        connect: ``system``, ``session`` or a URI, as :class:`runtimes.vm.options.VmOptions` has it.
        network: descriptor of the network namespace that ssh and the like shall be in; None for that of the caller.

    Raises:
        HostError: that cannot be had; the message says how to mend it.
    """
    uri, logs = _resolve(connect)
    reopen = partial(_open, uri, None if uri.startswith(_DAEMONS) else network)
    with running_events():
        try:
            connection = Connection(reopen(), logs, reopen)
        except libvirt.libvirtError as error:
            raise _refusal(connect, uri, error) from error
        try:
            _check_host(connection)
            yield connection
        finally:
            connection.close()


@contextmanager
def session_daemon() -> Iterator[None]:
    """Have a daemon of this user's own run, for ``session``; to be started outside of the run's user namespace.

    It belongs to this process alone. One that libvirt's client starts by itself would lie in the cgroup of who asked
    first, stay for two minutes after everybody has left, and have another daemon write the consoles.

    Raises:
        HostError: the program is missing, or does not get ready.
    """
    if _session_directory().exists():  # for another arm
        yield
        return
    program = find_daemon()
    knowledge = build_emulator(find_qemu()).knowledge
    directory = _session_directory()
    with held_directory(directory):
        for name in ("config/libvirt", "cache/libvirt/qemu", "run"):
            (directory / name).mkdir(parents=True)
        (directory / "config/libvirt/qemu.conf").write_text(_SESSION_CONFIGURATION)
        session_knowledge = knowledge / "session"
        session_knowledge.mkdir(exist_ok=True)
        (directory / "cache/libvirt/qemu/cache").symlink_to(session_knowledge)
        with ExitStack() as stack:
            held: list[libvirt.virConnect] = []
            stack.callback(_let_go, held)  # when the daemon has ended: one that hangs would be waited for
            stack.enter_context(_running_daemon(program, directory))
            # It would end while the run is still being prepared; without the event loop this makes no thread.
            held.append(_hold())
            yield


def find_daemon() -> Path:
    """The program that an ordinary user's daemon is.

    Raises:
        HostError: there is none.
    """
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = next((each for name in DAEMONS if (each := shutil.which(name, path=path)) is not None), None)
    if found is None:
        raise HostError(
            f"connect: session needs a daemon of the user's own, and there is no {' or '.join(DAEMONS)}: "
            "apt-get install libvirt-daemon"
        )
    return Path(found)


def _resolve(connect: str) -> tuple[str, Path | None]:
    """The URI, and where that daemon writes QEMU's messages."""
    if connect == SYSTEM:
        sockets = [_SYSTEM_SOCKETS / name for name in DAEMONS.values()]
        path = next((each for each in sockets if each.exists()), sockets[-1])
        return f"{_DAEMONS}system?socket={path}", _SYSTEM_LOGS
    if connect == SESSION:
        directory = _session_directory()
        return f"{_DAEMONS}session?socket={_session_socket(directory)}", directory / "cache/libvirt/qemu/log"
    uri = connect.replace(_LOCAL, _DAEMONS, 1) if connect.startswith(_LOCAL) else connect
    return uri, _SYSTEM_LOGS if connect.partition("?")[0].endswith("/system") else None


def _open(uri: str, network: int | None) -> libvirt.virConnect:
    """Connect to a daemon, in the thread that waits for it: an interruption of ours cannot leave us in that network.

    Raises:
        libvirt.libvirtError: it is not there, or refuses.
        HostError: it does not answer.
    """
    # A daemon that the client started would be in the run's namespaces.
    os.environ["LIBVIRT_AUTOSTART"] = "0"

    def connect() -> libvirt.virConnect:
        with nullcontext() if network is None else inside_network(network):
            return libvirt.open(uri)

    return answered_within(_ANSWER_PATIENCE, f"libvirt at {uri}", connect)


def _hold() -> libvirt.virConnect:
    """A connection to the user's daemon.

    Raises:
        HostError: there is none to be had.
    """
    uri, _ = _resolve(SESSION)
    try:
        return _open(uri, None)
    except libvirt.libvirtError as error:
        raise _refusal(SESSION, uri, error) from error


def _let_go(held: list[libvirt.virConnect]) -> None:
    for handle in held:
        with contextlib.suppress(libvirt.libvirtError):  # its daemon is gone
            handle.close()


def _refusal(connect: str, uri: str, error: libvirt.libvirtError) -> HostError:
    return HostError(f"libvirt cannot connect to {uri}: {error}; {_remedy(connect)}")


def _remedy(connect: str) -> str:
    if connect == SYSTEM:
        return "apt-get install libvirt-daemon-system, and systemctl start libvirtd; or leave connect out"
    if connect == SESSION:
        return "its daemon ends after ten seconds without us: start again"
    return f"see that `virsh -c '{connect}' version` works, or leave connect out"


def _check_host(connection: Connection) -> None:
    """The daemon is one of this host, as far as names tell.

    Raises:
        HostError: it is not.
    """
    try:
        there = connection.host
    except libvirt.libvirtError as error:
        raise HostError(f"libvirt at {connection.daemon} does not tell its host: {error}") from error
    here = socket.gethostname()
    if there.partition(".")[0] != here.partition(".")[0]:
        raise HostError(
            f"libvirt at {connection.daemon} is on the host {there}, and this is {here}: a guest's image, cgroup, tap "
            f"and channel are here, so it must be too; run bench on {there}"
        )


def _session_directory() -> Path:
    return run_parents()[0] / f"{PREFIX}libvirtd-{os.getpid()}"


def _session_socket(directory: Path) -> Path:
    return directory / "run" / "libvirt" / DAEMONS[find_daemon().name]


@contextmanager
def _running_daemon(program: Path, directory: Path) -> Iterator[None]:
    """Start the daemon, wait until it says that it is ready (sd_notify(3)), and end it, if need be by force."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(directory / "notices"))
        environment = {
            **os.environ,
            "XDG_CONFIG_HOME": str(directory / "config"),
            "XDG_CACHE_HOME": str(directory / "cache"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "NOTIFY_SOCKET": str(directory / "notices"),
        }
        log = directory / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [program, "--timeout", str(_SESSION_IDLE)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is ours to handle
            ) as daemon,
        ):
            try:
                _await_ready(notices, daemon, log)
                yield
            finally:
                _end(daemon)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(_END_PATIENCE)
    except subprocess.TimeoutExpired:
        daemon.kill()


def _await_ready(notices: socket.socket, daemon: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for READY=1.

    Raises:
        HostError: it has ended, or does not say so.
    """
    with _pidfd(daemon.pid) as ended:
        readable, _, _ = select.select([notices.fileno(), ended], [], [], _START_PATIENCE)
    if notices.fileno() not in readable:
        said = log.read_text(errors="replace").strip().splitlines()
        raise HostError(
            f"the libvirt daemon of user {os.geteuid()} "
            f"{'ended' if readable else f'is not ready after {_START_PATIENCE:g} s'}"
            f"{f': {said[-1]}' if said else ''}"
        )


@contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)
