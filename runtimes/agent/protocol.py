"""The protocol between the agent and its client.

One byte stream, reliable and in order, carries frames both ways: a socketpair for an environment on this kernel, a
virtio-serial port for a guest. All numbers are little endian. A frame is a header of 16 bytes and a payload:

    u32 magic    the bytes ``BAG1``, so that anything else that writes to the stream (a login prompt) is noticed
    u32 type     one of :class:`FrameType`; requests go to the agent, replies come from it
    u32 id       the command or file that this is about, chosen by the client, never 0; 0: the stream itself
    u32 length   bytes of payload: at most 256 KiB in a request, 64 KiB in a reply

**Greeting.** The agent's first act is READY (u32 protocol version, u32 its pid, u64 its CLOCK_BOOTTIME in
nanoseconds). On a virtio-serial port that write waits until the host side is connected. The client sends nothing
before READY has come.

**Commands.** SPAWN starts one: u64 timeout in nanoseconds (0 for none), u32 number of arguments, u32 number of
variables, then strings, each ended by a NUL: the directory to start in, the arguments, the variables as
``NAME=value``. The environment is exactly what is given. A program name without a slash is looked up in the ``PATH``
that is given. The agent replies STARTED (u32 pid, as the agent's pid namespace counts), or ERROR (u32 errno, then
text: what it could not do, to what), after which the id is free again. The command runs in a session and process
group of its own with stdin from /dev/null. Its output follows as STDOUT and STDERR frames of raw bytes, in order
each, but not to one another. Up to 256 commands run at once; the next is refused with EAGAIN.

EXIT is a command's last frame: u64 nanoseconds from just before its start until the agent saw its end (the agent's
CLOCK_MONOTONIC), i32 exit status or -1, i32 signal that ended it or 0, u32 1 if its time had run out, then of
wait4(2) u64 each: user and system microseconds, the largest resident set in bytes (of the command or any descendant
it waited for), minor and major faults, voluntary and involuntary context switches. It comes once the main process has
ended and both outputs are at their end. Where a descendant keeps an output open it comes all the same
0.2 s after the main process ended; what the pipes hold by then is sent before, and then they are
closed, so that a daemon that still writes gets SIGPIPE. The descendants live on until shutdown.

When its time has run out, the command's whole process group gets SIGKILL. SIGNAL (u32 number) sends a signal to that
group; for a command that has ended it does nothing, as its EXIT is on the way. There is no reply.

**Files.** READ (the path) is answered by DATA frames and an empty END, or, at any point, by an ERROR that makes void
what came before. It is made for pseudo-files: it never waits for data (EAGAIN instead) and reads at most 64 MiB
(EFBIG instead).

**The end.** SHUTDOWN (empty) kills all commands, whose EXITs still come, and all other descendants; then GOODBYE
(text: why) is the last frame. The agent also says GOODBYE when a signal ends it. Whatever breaks the rules above is
answered by FATAL (text: the reason), the last frame again. When the host side of the stream is gone, the agent ends
as after a SHUTDOWN, with nobody to tell. The end is ``exit``; with ``--power-off`` file systems are synced and the
machine is switched off, or, where the agent is not the first process, systemd is asked to do so.

**Back-pressure.** The agent's buffers are bounded. While the client does not read, the agent reads neither its
commands' output nor requests; timeouts are kept all the same.

The C side of this is in ``wire.h`` (numbers), ``stream.c`` (frames), ``command.c`` (commands) and ``agent.c`` (the
rest).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

PROTOCOL_VERSION = 1

MAGIC = b"BAG1"

REQUEST_LIMIT = 256 * 1024
"""Bytes of payload in a request."""

CHUNK_LIMIT = 64 * 1024
"""Bytes of payload in a reply."""

STRING_LIMIT = 4096
"""Arguments and variables of one command."""

_HEADER = struct.Struct("<4sIII")
_READY = struct.Struct("<IIQ")
_SPAWN = struct.Struct("<QII")
_EXIT = struct.Struct("<QiiI7Q")
_U32 = struct.Struct("<I")


class AgentError(Exception):
    """The agent could not do what was asked, or could not be asked."""


class ProtocolError(AgentError):
    """What came over the stream breaks the protocol; the stream cannot be used any more."""


class FrameType(enum.IntEnum):
    """What a frame is: requests below 64, replies above."""

    SPAWN = 1
    SIGNAL = 2
    READ = 3
    SHUTDOWN = 4

    READY = 65
    STARTED = 66
    STDOUT = 67
    STDERR = 68
    EXIT = 69
    ERROR = 70
    DATA = 71
    END = 72
    FATAL = 73
    GOODBYE = 74

    @property
    def payload_limit(self) -> int:
        """Bytes that its payload may have."""
        return REQUEST_LIMIT if self < FrameType.READY else CHUNK_LIMIT


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    type: FrameType
    id: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire.

        Raises:
            ValueError: the payload is longer than the protocol allows.
        """
        if len(self.payload) > self.type.payload_limit:
            limit = self.type.payload_limit
            raise ValueError(f"{self.type.name} of {len(self.payload)} bytes, at most {limit} are allowed")
        return _HEADER.pack(MAGIC, self.type, self.id, len(self.payload)) + self.payload


@dataclass(frozen=True, slots=True)
class Hello:
    """What READY says.

    Attributes:
        version: of the protocol that the agent speaks.
        pid: of the agent, in its own pid namespace.
        boottime: nanoseconds on the agent's CLOCK_BOOTTIME when it wrote READY.
    """

    version: int
    pid: int
    boottime: int


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What a command used, with the descendants that it waited for: getrusage(2).

    Attributes:
        user_seconds: CPU time in user mode.
        system_seconds: CPU time in the kernel.
        max_rss: bytes, the largest resident set of any one of the processes. Never below the agent's own, under 1 MiB,
            which the kernel hands down through fork and exec.
        minor_faults: page faults without I/O.
        major_faults: page faults with I/O.
        voluntary_switches: context switches to wait.
        involuntary_switches: context switches by pre-emption.
    """

    user_seconds: float
    system_seconds: float
    max_rss: int
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int


@dataclass(frozen=True, slots=True)
class Exit:
    """What EXIT says; exactly one of ``exit_status`` and ``signal`` is set. ``duration`` is in seconds."""

    duration: float
    exit_status: int | None
    signal: int | None
    timed_out: bool
    usage: ResourceUsage


@dataclass(frozen=True, slots=True)
class Refusal:
    """What ERROR says: the errno, and what could not be done (``execute foo``)."""

    errno: int
    subject: str


class FrameDecoder:
    """Cuts a byte stream into frames, however the bytes come."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take more bytes in and yield the frames that are whole by now.

        Raises:
            ProtocolError: the stream holds no frame where one should begin.
        """
        self._pending += data
        position = 0
        try:
            while len(self._pending) - position >= _HEADER.size:
                kind, identity, length = self._header(position)
                end = position + _HEADER.size + length
                if len(self._pending) < end:
                    break
                yield Frame(kind, identity, bytes(self._pending[position + _HEADER.size : end]))
                position = end
        finally:
            del self._pending[:position]

    def _header(self, position: int) -> tuple[FrameType, int, int]:
        magic, number, identity, length = _HEADER.unpack_from(self._pending, position)
        if magic != MAGIC:
            raise ProtocolError(f"expected the magic {MAGIC!r} where a frame begins, got {magic!r}")
        try:
            kind = FrameType(number)
        except ValueError:
            raise ProtocolError(f"unknown frame type {number}") from None
        if length > kind.payload_limit:
            raise ProtocolError(f"{kind.name} of {length} bytes, at most {kind.payload_limit} are allowed")
        return kind, identity, length


def encode_spawn(argv: Sequence[str], env: Mapping[str, str], cwd: str, timeout: float | None) -> bytes:
    """The payload of SPAWN; ``timeout`` in seconds.

    Raises:
        ValueError: nothing to run, a NUL inside a string, an impossible variable name or timeout, or too many strings.
    """
    if not argv:
        raise ValueError("a command needs at least one argument, the program")
    if timeout is not None and not 0 < timeout < 1e9:
        raise ValueError(f"timeout {timeout!r}: expected a positive number of seconds, or None for no timeout")
    if len(argv) + len(env) > STRING_LIMIT:
        raise ValueError(f"{len(argv)} arguments and {len(env)} variables: at most {STRING_LIMIT} are allowed")
    for name in env:
        if not name or "=" in name:
            raise ValueError(f"{name!r} is no name for an environment variable")
    strings = [cwd, *argv, *(f"{name}={value}" for name, value in env.items())]
    for text in strings:
        if "\0" in text:
            raise ValueError(f"{text!r} holds a NUL, which no argument, variable or path may")
    nanoseconds = 0 if timeout is None else max(1, round(timeout * 1e9))
    return _SPAWN.pack(nanoseconds, len(argv), len(env)) + b"".join(encode_text(text) + b"\0" for text in strings)


def encode_signal(number: int) -> bytes:
    """The payload of SIGNAL."""
    return _U32.pack(number)


def encode_text(text: str) -> bytes:
    """Text as the kernel gets it; bytes that were no UTF-8 come back as they were."""
    return text.encode("utf-8", "surrogateescape")


def decode_text(payload: bytes) -> str:
    """The payload of FATAL or GOODBYE, and other text from the agent."""
    return payload.decode("utf-8", "replace")


def decode_ready(payload: bytes) -> Hello:
    """The payload of READY."""
    return Hello(*_unpack(_READY, FrameType.READY, payload))


def decode_started(payload: bytes) -> int:
    """The payload of STARTED: the pid."""
    (pid,) = _unpack(_U32, FrameType.STARTED, payload)
    return pid


def decode_error(payload: bytes) -> Refusal:
    """The payload of ERROR."""
    (number,) = _unpack(_U32, FrameType.ERROR, payload[:4])
    return Refusal(number, decode_text(payload[4:]))


def decode_exit(payload: bytes) -> Exit:
    """The payload of EXIT."""
    nanoseconds, status, signal, timed_out, user, system, *rest = _unpack(_EXIT, FrameType.EXIT, payload)
    max_rss, minor_faults, major_faults, voluntary, involuntary = rest
    return Exit(
        duration=nanoseconds / 1e9,
        exit_status=status if signal == 0 else None,
        signal=signal or None,
        timed_out=bool(timed_out),
        usage=ResourceUsage(user / 1e6, system / 1e6, max_rss, minor_faults, major_faults, voluntary, involuntary),
    )


def _unpack(layout: struct.Struct, kind: FrameType, payload: bytes) -> tuple[int, ...]:
    if len(payload) != layout.size:
        raise ProtocolError(f"{kind.name} of {len(payload)} bytes, expected {layout.size}")
    unpacked: tuple[int, ...] = layout.unpack(payload)
    return unpacked
