"""What the host sees of one QEMU process: when it became QEMU, when its agent channel connected, when it ended.

QEMU is libvirt's grandchild: libvirt forks twice, so that the process goes to init when the middle one ends. An init
that is slow to collect dead children would leave QEMU a zombie, which libvirt takes for alive and waits for, in steps
of 0.2 s. So the harness declares itself the one that orphans go to (PR_SET_CHILD_SUBREAPER) while libvirt starts QEMU,
and collects it the moment it ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtimes import syscalls
from runtimes.vm.emulator import parse_spawn_stamp

_STAMP_SIZE = 64


@dataclass(frozen=True, slots=True)
class Handed:
    """What the emulator is handed of the harness's namespaces.

    Attributes:
        kept: descriptors that QEMU shall have, from the number :data:`runtimes.vm.emulator.FIRST_KEPT` upwards.
        user_namespace: descriptor of the user namespace that it shall enter, or None.
        release: called, in any thread, when it has them; closes ours. While one of vhost is open anywhere, the kernel
            does not free QEMU's memory when QEMU ends (``vhost_attach_mm`` in drivers/vhost/vhost.c).
    """

    kept: tuple[int, ...] = ()
    user_namespace: int | None = None
    release: Callable[[], None] = lambda: None

    @property
    def descriptors(self) -> list[int]:
        """All of them, in the order of the letters."""
        return [*([] if self.user_namespace is None else [self.user_namespace]), *self.kept]

    @property
    def letters(self) -> str:
        """What each is for, as the emulator reads it."""
        return ("" if self.user_namespace is None else "u") + "k" * len(self.kept)


NOTHING = Handed()


class EmulatorProcess:
    """Watches for one QEMU process, by events alone, in a thread of its own.

    Attributes:
        channel: path of the Unix socket to which QEMU shall connect the agent's channel.
        descriptors: path of the Unix socket where the emulator gets what it is handed; None if that is nothing.
        stamp_file: path of the FIFO to which the emulator shall write its stamp.
        spawned: set when the emulator's stamp was read whole: it is QEMU.
        exited: set when the process has ended and was collected.
        pid: of the process; None before the emulator, the first that it is, has said it.
        spawned_at: when it became QEMU. Like the other stamps, nanoseconds on CLOCK_MONOTONIC.
    """

    def __init__(self, directory: Path, handed: Handed, resources: ExitStack) -> None:
        self.channel = directory / "agent"
        self.descriptors = directory / "descriptors" if handed.letters else None
        self.stamp_file = directory / "spawn"
        self.spawned = threading.Event()
        self.exited = threading.Event()
        self.pid: int | None = None
        self.spawned_at: int | None = None
        self.connected_at: int | None = None
        self.exited_at: int | None = None
        self._resources = resources
        self._connected = threading.Event()
        self._socket: socket.socket | None = None
        self._ending = "ended"
        self._stamp = b""
        os.mkfifo(self.stamp_file)
        self._fifo = os.open(self.stamp_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        resources.callback(os.close, self._fifo)
        self._listener = resources.enter_context(_listening(self.channel))
        self._handed = handed
        self._counter = resources.enter_context(_listening(self.descriptors)) if self.descriptors else None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        resources.callback(os.close, self._wake)
        self._pidfd = -1
        self._pidfd_lock = threading.Lock()
        self._unwanted = False

    def take_channel(self, timeout: float) -> socket.socket | None:
        """The host's end of the agent's channel once QEMU connected; None if it ended, or took over ``timeout`` s."""
        self._connected.wait(timeout)
        taken, self._socket = self._socket, None
        return taken

    def describe_end(self) -> str:
        """How the process ended, in words."""
        return f"QEMU {self._ending}"

    def watch(self) -> None:
        """Handle what happens until :meth:`wake` is called."""
        poller = select.poll()
        counter = self._counter.fileno() if self._counter else -1
        for fd in (self._wake, self._fifo, self._listener.fileno(), *([counter] if self._counter else [])):
            poller.register(fd, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self._wake:
                    return
                if fd == self._fifo:
                    self._read_stamp(poller)
                elif fd == self._pidfd:
                    self._collect(poller)
                elif fd == counter:
                    self._hand_over()
                else:
                    self._accept(poller)

    def wake(self) -> None:
        """Have :meth:`watch` return."""
        os.eventfd_write(self._wake, 1)

    def kill(self) -> None:
        """Kill the process, also should it only be about to start: for where libvirt can no longer be told to."""
        self._unwanted = True
        with self._pidfd_lock, contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _hand_over(self) -> None:
        assert self._counter is not None
        asking, _ = self._counter.accept()
        with asking, contextlib.suppress(BrokenPipeError):
            socket.send_fds(asking, [self._handed.letters.encode()], self._handed.descriptors)
            self._handed.release()

    def _read_stamp(self, poller: select.poll) -> None:
        said = os.read(self._fifo, _STAMP_SIZE)
        self._stamp += said
        pid, self.spawned_at = parse_spawn_stamp(self._stamp)
        if pid is not None and self.pid is None:
            self.pid = pid
            self._watch_process(pid, poller)
        if self.spawned_at is not None:
            self.spawned.set()
        if self.spawned_at is not None or not said:  # or the emulator has ended before it was QEMU
            poller.unregister(self._fifo)

    def _watch_process(self, pid: int, poller: select.poll) -> None:
        # Where the process is our child, nobody else should have collected it, and the pid is still its own; a daemon's
        # would have to end and its pid to be given out anew within microseconds.
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._note_end()
            return
        self._resources.callback(self._close_pidfd)
        poller.register(self._pidfd, select.POLLIN)
        if self._unwanted:
            self.kill()

    def _close_pidfd(self) -> None:
        """A late :meth:`kill` must not find another file under that number."""
        with self._pidfd_lock:
            os.close(self._pidfd)
            self._pidfd = -1

    def _accept(self, poller: select.poll) -> None:
        poller.unregister(self._listener.fileno())
        connected, _ = self._listener.accept()
        self.connected_at = time.monotonic_ns()
        self._socket = connected
        self._resources.callback(self._close_untaken)
        self._connected.set()

    def _close_untaken(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _collect(self, poller: select.poll) -> None:
        poller.unregister(self._pidfd)
        with contextlib.suppress(ChildProcessError):  # init was given it, and has collected it
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
            if result is not None:
                self._ending = _describe(result.si_code, result.si_status)
        self._note_end()

    def _note_end(self) -> None:
        self.exited_at = time.monotonic_ns()
        self.exited.set()
        self._connected.set()  # it will not connect any more


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    return listener


def _describe(code: int, status: int) -> str:
    if code == os.CLD_EXITED:
        return f"exited with status {status}"
    return f"was killed by {signal.Signals(status).name}"


@contextmanager
def watched_emulator(directory: Path, handed: Handed = NOTHING) -> Iterator[EmulatorProcess]:
    """Watch for a QEMU process that is about to be started.

    Args:
        directory: an empty one with a short path, for the sockets and the FIFO.
        handed: what the emulator is handed, if it asks at ``descriptors``.
    """
    with ExitStack() as resources:
        process = EmulatorProcess(directory, handed, resources)
        thread = threading.Thread(target=process.watch, name=f"watch {directory.name}", daemon=True)
        thread.start()
        try:
            yield process
        finally:
            process.wake()
            thread.join()


@contextmanager
def adopted_orphans() -> Iterator[None]:
    """Have processes whose parents end meanwhile become children of this process, and not of init (prctl(2))."""
    _adopters.begin()
    try:
        yield
    finally:
        _adopters.end()


class _Adopters:
    """Who wants orphans adopted; it is a property of the whole process, and several threads may want it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self) -> None:
        with self._lock:
            syscalls.adopt_orphans(True)
            self._count += 1

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                syscalls.adopt_orphans(False)


_adopters = _Adopters()
