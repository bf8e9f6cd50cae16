"""The host's side of the agent.

    client = AgentClient(sock)
    ready_at = client.wait_ready(timeout=60)
    completed = client.run(Command(("sysbench", "cpu", "run"), timeout=30))
    server = client.spawn(Command(("redis-server", "--port", "6379")))
    server.wait_for_output("Ready to accept connections", timeout=10)
    client.shutdown()
    client.close()

READY is read on the thread that waits for it, so that its stamp owes nothing to the scheduling of another; after that a
daemon thread reads the stream and hands each frame to the command or file that it belongs to. All methods may be called
from any thread.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from runtimes.agent import protocol
from runtimes.agent.process import (
    AgentGone,
    AgentTimeoutError,
    Command,
    Completed,
    FileRead,
    Process,
    Receiver,
    StartError,
)
from runtimes.agent.protocol import AgentError, Frame, FrameType, Hello, ProtocolError, ResourceUsage

__all__ = [
    "BASE_ENVIRONMENT",
    "AgentClient",
    "AgentError",
    "AgentGone",
    "AgentTimeoutError",
    "Command",
    "Completed",
    "Hello",
    "Process",
    "ProtocolError",
    "ResourceUsage",
    "StartError",
]

BASE_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""What every command finds in its environment, in every arm; nothing is inherited from the host or the agent."""

SEND_TIMEOUT = 30.0
"""Seconds that the stream may refuse to take a request."""

EXIT_GRACE = 15.0
"""Seconds beyond a command's own timeout after which the agent, that should have killed it, is taken to hang."""

SHUTDOWN_TIMEOUT = 60.0
"""Seconds from asking for the shutdown to the goodbye, the sync of a guest included."""

_RECEIVE_SIZE = 256 * 1024


class Stream(Protocol):
    """What of a connected stream socket is needed; what is on it may be wrapped in something."""

    def recv(self, size: int, /) -> bytes:
        """See socket.recv."""

    def send(self, data: memoryview, flags: int, /) -> int:
        """See socket.send."""

    def settimeout(self, seconds: float | None, /) -> None:
        """See socket.settimeout."""

    def shutdown(self, how: int, /) -> None:
        """See socket.shutdown."""

    def fileno(self) -> int:
        """To be polled for room to send."""

    def close(self) -> None:
        """See socket.close."""


class AgentClient:
    """Speaks to one agent over a connected stream, such as a socket, which it owns from now on.

    Attributes:
        goodbye_at: when the agent's goodbye came, nanoseconds on the host's CLOCK_MONOTONIC; None if it has not.
    """

    def __init__(self, sock: Stream) -> None:
        self._sock = sock
        self._decoder = protocol.FrameDecoder()
        self._hello: Hello | None = None
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._gone: AgentError | None = None
        self.goodbye_at: int | None = None
        self._receivers: dict[int, Receiver] = {}
        self._mourners: list[Callable[[], None]] = []
        self._reader: threading.Thread | None = None

    @property
    def hello(self) -> Hello:
        """What the agent said of itself in READY.

        Raises:
            AgentError: READY has not been waited for.
        """
        if self._hello is None:
            raise AgentError("the agent is not known to be ready: call wait_ready first")
        return self._hello

    @property
    def gone(self) -> bool:
        """Whether the stream has ended."""
        with self._lock:
            return self._gone is not None

    def wait_ready(self, timeout: float) -> int:
        """Wait for READY; its arrival in nanoseconds on the host's CLOCK_MONOTONIC. To be called first, and once.

        Raises:
            AgentTimeoutError: it has not come within ``timeout`` seconds.
            AgentGone: the stream ended instead.
            ProtocolError: something else came, or another version of the protocol.
        """
        deadline = time.monotonic() + timeout
        frames: list[Frame] = []
        while not frames:
            try:
                self._sock.settimeout(max(1e-6, deadline - time.monotonic()))
                data = self._sock.recv(_RECEIVE_SIZE)
            except TimeoutError:
                raise AgentTimeoutError(f"no READY from the agent within {timeout:g} s", self) from None
            except OSError as error:
                raise AgentGone(f"the stream failed before the agent was ready: {error}") from error
            stamp = time.monotonic_ns()
            if not data:
                raise AgentGone("the stream ended before the agent was ready")
            frames.extend(self._decoder.feed(data))
        first, *rest = frames
        if first.type is FrameType.FATAL:
            raise AgentGone(f"the agent failed: {protocol.decode_text(first.payload)}")
        if first.type is not FrameType.READY:
            raise ProtocolError(f"expected READY as the agent's first frame, got {first.type.name}")
        self._hello = protocol.decode_ready(first.payload)
        if self._hello.version != protocol.PROTOCOL_VERSION:
            raise ProtocolError(
                f"the agent speaks version {self._hello.version} of the protocol, "
                f"expected {protocol.PROTOCOL_VERSION}: build the image anew"
            )
        self._sock.settimeout(None)
        self._reader = threading.Thread(target=self._receive, args=(rest, stamp), name="agent-reader", daemon=True)
        self._reader.start()
        return stamp

    def run(self, command: Command) -> Completed:
        """Run a command to its end.

        Raises:
            ValueError: what no program can be given: no arguments, a NUL, a request beyond 256 KiB.
            StartError: it could not be started.
            AgentTimeoutError: it has a timeout, and the agent did not report its end in time.
            AgentGone: the agent ended first.
        """
        process = self.spawn(command)
        return process.wait(None if command.timeout is None else command.timeout + EXIT_GRACE)

    def spawn(self, command: Command) -> Process:
        """Start a command in the background.

        Raises:
            ValueError: as for ``run``.
            StartError: it could not be started.
            AgentGone: the agent has ended.
        """
        environment = {**BASE_ENVIRONMENT, **command.env}
        payload = protocol.encode_spawn(command.argv, environment, command.cwd, command.timeout)
        identity = next(self._ids)
        process = Process(command, identity, self, self._lock, self._send)
        self._request(Frame(FrameType.SPAWN, identity, payload), process)
        process.wait_started()
        return process

    def read_file(self, path: str) -> bytes:
        """Read a file, or a pseudo-file, of up to 64 MiB as the agent sees it.

        Raises:
            ValueError: the path is no possible one.
            OSError: the agent could not, with its errno; EFBIG for a larger file, EAGAIN if there is nothing yet.
            AgentGone: the agent has ended.
        """
        if not path or "\0" in path or len(protocol.encode_text(path)) >= 4096:
            raise ValueError(f"{path!r} is no possible path")
        reading = FileRead(path, self, self._lock)
        self._request(Frame(FrameType.READ, next(self._ids), protocol.encode_text(path)), reading)
        return reading.wait()

    def when_gone(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once the stream has ended, in another thread, or now if it has."""
        with self._lock:
            if self._gone is None:
                self._mourners.append(call)
                return
        call()

    def shutdown(self, timeout: float = SHUTDOWN_TIMEOUT) -> None:
        """Have the agent kill all that it runs, say goodbye, and exit or power off.

        Does nothing if it has said goodbye already.

        Raises:
            AgentTimeoutError: it has not said goodbye within ``timeout`` seconds.
            AgentGone: it ended without.
        """
        with suppress(AgentGone):
            self._send(Frame(FrameType.SHUTDOWN))
        with self._ended:
            if not self._ended.wait_for(lambda: self._gone, timeout):
                raise AgentTimeoutError(f"the agent has not said goodbye within {timeout:g} s", self)
            if self.goodbye_at is None and self._gone:
                raise self._gone.with_traceback(None)

    def close(self) -> None:
        """Close the stream; an agent that is still there then kills all that it runs, and ends. May be called again."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join()
        self._sock.close()

    def _request(self, frame: Frame, receiver: Receiver) -> None:
        with self._lock:
            if self._gone is not None:
                raise self._gone.with_traceback(None)
            self._receivers[frame.id] = receiver
        try:
            self._send(frame)
        except BaseException:
            with self._lock:
                self._receivers.pop(frame.id, None)
            raise

    def _send(self, frame: Frame) -> None:
        left = memoryview(frame.encode())
        if self._reader is None:
            raise AgentError("the agent is not known to be ready: call wait_ready first")
        writable = select.poll()
        deadline = time.monotonic() + SEND_TIMEOUT
        try:
            with self._send_lock:
                writable.register(self._sock, select.POLLOUT)
                while left:
                    try:
                        left = left[self._sock.send(left, socket.MSG_DONTWAIT) :]
                    except BlockingIOError:
                        if time.monotonic() >= deadline:
                            # Half a frame may have been sent, so the stream is of no use any more.
                            self._sock.shutdown(socket.SHUT_RDWR)
                            late = f"the agent has taken no request for {SEND_TIMEOUT:g} s"
                            raise AgentTimeoutError(late, self) from None
                        writable.poll(1000)
        except AgentTimeoutError:
            raise
        except (OSError, ValueError) as error:  # ValueError: closed, and so without a descriptor
            self._reader.join(1.0)  # it finds the reason on the stream
            raise self._gone or AgentGone(f"the stream to the agent failed: {error}") from error

    def _receive(self, frames: list[Frame], stamp: int) -> None:
        """The reader thread: until the stream ends, hand on what comes."""
        error: AgentError = AgentGone("the stream to the agent ended without a goodbye")
        try:
            self._dispatch(frames, stamp)
            while data := self._sock.recv(_RECEIVE_SIZE):
                stamp = time.monotonic_ns()
                self._dispatch(self._decoder.feed(data), stamp)
        except AgentError as failure:
            error = failure
        except OSError as failure:
            error = AgentGone(f"the stream to the agent failed: {failure}")
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._gone = error
            for receiver in self._receivers.values():
                receiver.fail(error)
            self._receivers.clear()
            self._ended.notify_all()
        for call in self._mourners:
            call()

    def _dispatch(self, frames: Iterable[Frame], stamp: int) -> None:
        for frame in frames:
            if frame.type is FrameType.FATAL:
                raise AgentGone(f"the agent failed: {protocol.decode_text(frame.payload)}")
            if frame.type is FrameType.GOODBYE:
                self.goodbye_at = stamp
                raise AgentGone(f"the agent said goodbye: {protocol.decode_text(frame.payload)}")
            with self._lock:
                receiver = self._receivers.get(frame.id)
                if receiver is None:
                    raise ProtocolError(f"{frame.type.name} with id {frame.id}, which nothing is under way with")
                if receiver.take(frame, stamp):
                    del self._receivers[frame.id]
