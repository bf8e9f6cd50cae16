"""What several tests of the agent need: a raw end of the stream, and processes by number."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from runtimes.agent.protocol import Frame, FrameDecoder, FrameType, encode_spawn


def is_alive(pid: int) -> bool:
    """Is there such a process, other than a zombie?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class RawAgent:
    """An agent, and the bytes that it is sent and sends."""

    def __init__(self, binary: Path) -> None:
        self.sock, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen([binary, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
        self.sock.settimeout(10)
        self._frames = self._receive()

    def _receive(self) -> Iterator[Frame]:
        decoder = FrameDecoder()
        while True:
            try:
                data = self.sock.recv(1 << 18)
            except ConnectionResetError:  # it left unread what we sent
                return
            if not data:
                return
            yield from decoder.feed(data)

    def send(self, *frames: Frame) -> None:
        self.sock.sendall(b"".join(frame.encode() for frame in frames))

    def spawn(self, identity: int, *argv: str, timeout: float | None = None) -> None:
        payload = encode_spawn(argv, {"PATH": "/usr/bin:/bin"}, "/", timeout)
        self.send(Frame(FrameType.SPAWN, identity, payload))

    def next(self) -> Frame:
        return next(self._frames)

    def rest(self) -> list[Frame]:
        return list(self._frames)

    def close(self) -> None:
        self.sock.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
