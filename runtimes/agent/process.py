"""What can be under way with an agent: a command, or the reading of a file. The client hands them their frames."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from runtimes.agent import protocol
from runtimes.agent.protocol import AgentError, Frame, FrameType, ProtocolError, ResourceUsage

REPLY_TIMEOUT = 120.0
"""Seconds that the agent may take to answer what it does at once: start a command, read a file. Twenty guests in
software emulation that start on one CPU leave each of them a second and a half of it in half a minute."""


class AgentGone(AgentError):  # noqa: N818 – says what happened
    """The stream to the agent has ended; the message holds the agent's own reason if it gave one."""


class AgentTimeoutError(AgentError, TimeoutError):
    """Something did not happen in time; the agent and its commands go on.

    Attributes:
        agent: the :class:`~runtimes.agent.client.AgentClient` that waited; None where there was none yet.
    """

    def __init__(self, message: str, agent: object = None) -> None:
        super().__init__(message)
        self.agent = agent


class StartError(AgentError):
    """The agent could not start a command.

    Attributes:
        errno: why, as the agent's kernel says: ENOENT where there is no such program.
    """

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run.

    Attributes:
        argv: the program and its arguments. A program without a slash is looked up in the command's PATH.
        env: variables beyond, or instead of those in, ``BASE_ENVIRONMENT``.
        cwd: the directory to start in.
        timeout: seconds after which its whole process group is killed; None for never.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended; exactly one of ``exit_status`` and ``signal`` is set.

    Attributes:
        command: what ran.
        exit_status: what it exited with.
        signal: the number of the signal that ended it.
        timed_out: its time ran out and it was killed.
        stdout: all that it wrote there; so ``stderr``.
        duration: seconds from just before its start until the agent saw its end, on the agent's monotonic clock.
        usage: CPU time, memory and the like.
    """

    command: Command
    exit_status: int | None
    signal: int | None
    timed_out: bool
    stdout: bytes
    stderr: bytes
    duration: float
    usage: ResourceUsage

    @property
    def ok(self) -> bool:
        """Did it exit with status 0, in time?"""
        return self.exit_status == 0 and not self.timed_out


class Receiver(Protocol):
    """Whom the frames of one id belong to. Called with the client's lock held."""

    def take(self, frame: Frame, at: int) -> bool:
        """Take a frame that came at ``at``; True if it is the last one."""

    def fail(self, error: AgentError) -> None:
        """No more frames will come."""


class Process:
    """A command in the background.

    Attributes:
        command: what runs.
        pid: in the agent's pid namespace.
        first_output_at: when its first output arrived, nanoseconds on the host's CLOCK_MONOTONIC; None until then.
    """

    def __init__(
        self, command: Command, identity: int, agent: object, lock: threading.Lock, send: Callable[[Frame], None]
    ) -> None:
        """Made by ``AgentClient.spawn`` only, which is ``agent``; ``lock`` is held by whoever hands it frames."""
        self.command = command
        self.pid = 0
        self.first_output_at: int | None = None
        self._id = identity
        self._agent = agent
        self._send = send
        self._changed = threading.Condition(lock)
        self._output = {FrameType.STDOUT: bytearray(), FrameType.STDERR: bytearray()}
        self._exit: protocol.Exit | None = None
        self._failure: AgentError | None = None

    def wait(self, timeout: float | None = None) -> Completed:
        """Wait until it has ended and all its output is here.

        Raises:
            AgentTimeoutError: it has not within ``timeout`` seconds; it goes on.
            AgentGone: the agent ended first.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._exit or self._failure, timeout):
                raise AgentTimeoutError(f"{self._name} has not ended within {timeout:g} s", self._agent)
            return self._completed()

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing happens if it has ended.

        Raises:
            ValueError: there is no such signal.
            AgentGone: the agent has ended.
        """
        payload = protocol.encode_signal(signal.Signals(number))
        with self._changed:
            if self._exit is not None:
                return
        self._send(Frame(FrameType.SIGNAL, self._id, payload))

    def kill(self) -> None:
        """Send SIGKILL to its process group."""
        self.signal(signal.SIGKILL)

    def wait_for_output(self, pattern: str, timeout: float) -> re.Match[bytes]:
        """Wait until a regular expression is found in its standard output or standard error so far.

        Raises:
            AgentTimeoutError: it was not within ``timeout`` seconds; the command goes on.
            AgentError: the command ended without.
            AgentGone: the agent ended first.
        """
        expression = re.compile(pattern.encode())
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for output in self._output.values():
                    # A match keeps what it was found in from growing, so it is found in a copy.
                    if match := expression.search(bytes(output)):
                        return match
                if self._exit is not None or self._failure is not None:
                    how = self._how_it_ended()
                    raise AgentError(f"{self._name} ended ({how}) and never printed {pattern!r}; {self._tail()}")
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise AgentTimeoutError(
                        f"{self._name} has not printed {pattern!r} in {timeout:g} s; {self._tail()}", self._agent
                    )

    def require_running(self, seconds: float) -> None:
        """Wait for so many seconds, or until it ends.

        Raises:
            AgentError: it has ended.
            AgentGone: the agent ended first.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self._exit or self._failure, seconds):
                raise AgentError(f"{self._name} ended ({self._how_it_ended()}); {self._tail()}")

    def _how_it_ended(self) -> str:
        end = self._completed()
        return f"signal {end.signal}" if end.signal else f"status {end.exit_status}"

    @property
    def _name(self) -> str:
        return repr(self.command.argv[0])

    def _tail(self) -> str:
        ends = [f"{kind.name.lower()} ends {bytes(output[-200:])!r}" for kind, output in self._output.items() if output]
        return ", ".join(ends) or "it printed nothing"

    def _completed(self) -> Completed:
        if self._exit is None:
            raise (self._failure or AgentError(f"{self._name} has not ended")).with_traceback(None)
        end = self._exit
        stdout, stderr = (bytes(output) for output in self._output.values())
        return Completed(
            self.command, end.exit_status, end.signal, end.timed_out, stdout, stderr, end.duration, end.usage
        )

    def wait_started(self) -> None:
        """Wait until the agent has started it; for the client.

        Raises:
            StartError: it could not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.pid or self._failure, REPLY_TIMEOUT):
                late = f"the agent has not started {self._name} within {REPLY_TIMEOUT:g} s"
                raise AgentTimeoutError(late, self._agent)
            if not self.pid and self._failure:
                raise self._failure.with_traceback(None)

    def take(self, frame: Frame, at: int) -> bool:
        """See :class:`Receiver`."""
        last = False
        if frame.type in self._output:
            if self.first_output_at is None:
                self.first_output_at = at
            self._output[frame.type] += frame.payload
        elif frame.type is FrameType.STARTED:
            self.pid = protocol.decode_started(frame.payload)
        elif frame.type is FrameType.EXIT:
            self._exit = protocol.decode_exit(frame.payload)
            last = True
        elif frame.type is FrameType.ERROR:
            refusal = protocol.decode_error(frame.payload)
            reason = os.strerror(refusal.errno)
            self._failure = StartError(f"the agent could not {refusal.subject}: {reason}", refusal.errno)
            last = True
        else:
            raise ProtocolError(f"{frame.type.name} about a command")
        self._changed.notify_all()
        return last

    def fail(self, error: AgentError) -> None:
        """See :class:`Receiver`."""
        self._failure = error
        self._changed.notify_all()


class FileRead:
    """A READ under way."""

    def __init__(self, path: str, agent: object, lock: threading.Lock) -> None:
        self._path = path
        self._agent = agent
        self._changed = threading.Condition(lock)
        self._content = bytearray()
        self._ended = False
        self._failure: Exception | None = None

    def wait(self) -> bytes:
        """Wait for the content.

        Raises:
            OSError: the agent could not read it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended or self._failure, REPLY_TIMEOUT):
                late = f"the agent has not read {self._path} within {REPLY_TIMEOUT:g} s"
                raise AgentTimeoutError(late, self._agent)
            if self._failure:
                raise self._failure.with_traceback(None)
            return bytes(self._content)

    def take(self, frame: Frame, at: int) -> bool:
        """See :class:`Receiver`."""
        del at
        if frame.type is FrameType.DATA:
            self._content += frame.payload
            return False
        if frame.type is FrameType.ERROR:
            number = protocol.decode_error(frame.payload).errno
            self._failure = OSError(number, os.strerror(number), self._path)
        elif frame.type is not FrameType.END:
            raise ProtocolError(f"{frame.type.name} about a file")
        self._ended = True
        self._changed.notify_all()
        return True

    def fail(self, error: AgentError) -> None:
        """See :class:`Receiver`."""
        self._failure = error
        self._changed.notify_all()
