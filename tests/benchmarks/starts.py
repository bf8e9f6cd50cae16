"""One start, timed: of our container, and of a peer.

Both are timed alike. The clock (CLOCK_MONOTONIC) starts just before our container is requested, or just before the
peer's process is spawned, and stops when READY of the same agent arrives at the same client, over a socket pair whose
other end the agent inherits. Stopping is not timed, and is complete before the next start: the instance's first process
has ended, and its cgroups, mounts and state are gone.

A peer is spawned by posix_spawn(3), which suspends the caller and shares its memory until the execve: neither the size
of this process's heap nor its page tables are the peer's cost. It is executed directly, with no shell, in the run's
namespaces.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from peers import Peer, environment

from runtimes.agent.client import AgentClient, AgentError
from runtimes.base import InstanceSpec, Limits, Runtime
from runtimes.facilities import Facilities

_READY_TIMEOUT = 20.0
_END_TIMEOUT = 10.0


class StartError(Exception):
    """A peer did not bring the agent up, or did not end; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start.

    Attributes:
        ready: milliseconds from the request to READY.
        phases: milliseconds by phase, where they are known.
    """

    ready: float
    phases: dict[str, float] = field(default_factory=dict)


class Contestant(Protocol):
    """What is started in every round."""

    name: str

    def start_and_stop(self) -> Start:
        """Start one instance, wait for READY, and stop it."""


class Ours:
    """Our container, as any user of the runtime starts it."""

    def __init__(self, name: str, runtime: Runtime, facilities: Facilities, limits: Limits, directory: Path) -> None:
        self.name = name
        self._runtime = runtime
        self._image = facilities.image
        self._limits = limits
        self._directory = directory

    def start_and_stop(self) -> Start:
        name = f"bench-{secrets.token_hex(6)}"
        spec = InstanceSpec(name, self._image, self._limits, None, self._directory)
        with self._runtime.start(spec) as instance:
            timeline = instance.timeline
            ready = timeline.seconds("requested", "ready") * 1e3
            phases = {phase: seconds * 1e3 for phase, seconds in timeline.phases()}
            instance.stop()
        return Start(ready, phases)


class Theirs:
    """A peer."""

    def __init__(self, peer: Peer, directory: Path) -> None:
        self.name = peer.name
        self._peer = peer
        self._log = directory / f"{peer.name}.log"
        self._number = 0
        self._environment = environment()

    def start_and_stop(self) -> Start:
        with self.started() as (_, ready):
            return Start(ready)

    @contextmanager
    def started(self) -> Iterator[tuple[AgentClient, float]]:
        """An instance, with the milliseconds from the spawn to READY; it is gone at the end.

        Raises:
            StartError: it did not bring the agent up, or did not end.
        """
        self._number += 1
        with self._peer.surroundings(self._number), self._log.open("wb") as log:
            ours, theirs = socket.socketpair()
            with contextlib.closing(AgentClient(ours)) as agent:
                with theirs:
                    requested = time.monotonic_ns()
                    pid = self._spawn(log.fileno(), theirs.fileno())
                try:
                    ready = agent.wait_ready(_READY_TIMEOUT)
                    yield agent, (ready - requested) / 1e6
                    agent.shutdown()
                except AgentError as error:
                    os.kill(pid, signal.SIGTERM)  # it clears up, which SIGKILL would not let it
                    raise StartError(f"{error}; its last words: {self._last_words()}") from error
                finally:
                    agent.close()  # which ends the agent if nothing else has
                    ended = _wait(pid)
            if not ended:
                raise StartError(f"it did not end within {_END_TIMEOUT:g} s of the agent's end, and was killed")

    def _spawn(self, log: int, stream: int) -> int:
        return os.posix_spawn(
            self._peer.path,
            (self._peer.path, *self._peer.arguments(self._number)),
            self._environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, stream, self._peer.stream),
            ],
            setsid=True,
        )

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "none"


def _wait(pid: int) -> bool:
    """Wait until a child has ended, and reap it; kill it, and return False, if it does not in time."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        ended = bool(poll.poll(_END_TIMEOUT * 1000))
        if not ended:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)
    return ended
