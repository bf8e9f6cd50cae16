"""An instance whose agent is a child of the launcher."""

from __future__ import annotations

import os
import platform
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runtimes.accounting import limit_facts, read_memory, read_usage, unreclaimable_part
from runtimes.agent.client import AgentClient, AgentError, AgentGone
from runtimes.base import AGENT_PATH, HostError, Image, InstanceError, MemoryReading, Timeline, Usage
from runtimes.cgroup import Cgroup
from runtimes.launcher.client import Launched, Launcher, LaunchRequest
from runtimes.launcher.entry import AGENT_FD
from runtimes.storage import loop_facts

LOG_NAME = "agent.log"
"""The file in an instance's directory that the agent's standard output and error go to."""

AGENT_ARGV = (AGENT_PATH, "--fd", str(AGENT_FD))
"""The agent's command line."""


class LaunchedInstance:
    """A native instance or a container; see :class:`runtimes.base.Instance`.

    ``release`` is what still belongs to the end of the instance once its agent, and all else in its cgroup, has ended.
    """

    def __init__(
        self,
        agent: AgentClient,
        timeline: Timeline,
        address: str | None,
        facts: Mapping[str, str],
        cgroup: Cgroup,
        pidfd: int,
        stop_timeout: float,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.agent = agent
        self.timeline = timeline
        self.address = address
        self._facts = facts
        self._cgroup = cgroup
        self._pidfd = pidfd
        self._stop_timeout = stop_timeout
        self._release = release

    @property
    def facts(self) -> Mapping[str, str]:
        return {**self._facts, **limit_facts(self._cgroup)}

    def memory(self) -> MemoryReading:
        return read_memory(self._cgroup, None)

    def unreclaimable(self) -> int:
        return unreclaimable_part(self._cgroup.quick_split())

    def usage(self) -> Usage:
        return read_usage(self._cgroup)

    def stop(self) -> None:
        deadline = self.timeline.stamp("stop_requested") / 1e9 + self._stop_timeout
        try:
            self.agent.shutdown(self._stop_timeout)
            ended = wait_for_end(self._pidfd, max(deadline - time.monotonic(), 0.0))
        except AgentError as error:
            raise InstanceError(f"the instance could not be stopped in order: {error}") from error
        if ended and self.agent.goodbye_at is not None:
            self.timeline.stamp("goodbye", self.agent.goodbye_at)
            self.timeline.stamp("exited")
        if self._release is not None or not ended:
            self._cgroup.kill()
        if self._release is not None:
            self._release()
        self.timeline.stamp("stopped")
        if not ended:
            raise InstanceError(
                f"the agent did not end within {self._stop_timeout:g} s of being told to, and was killed"
            )


@contextmanager
def launched_agent(
    launcher: Launcher, request: LaunchRequest, timeline: Timeline, log_path: Path, timeout: float
) -> Iterator[tuple[AgentClient, int]]:
    """Start an agent and wait for READY, which is stamped together with the launcher's phases.

    The context of ``request.cgroup`` kills what is left of it.

    Args:
        launcher: the run's.
        request: what to start.
        timeline: where to stamp.
        log_path: the file that its standard output and error are added to.
        timeout: seconds to READY.

    Yields:
        The client, and a pidfd of the agent.

    Raises:
        InstanceError: it did not come up, or has ended before it was told to.
    """
    with connected_agent(launcher, request, log_path, timeout) as (agent, launched, ready_at):
        for phase, at in launched.stamps.items():
            timeline.stamp(phase, at)
        timeline.stamp("ready", ready_at)
        yield agent, launched.pidfd


@contextmanager
def connected_agent(
    launcher: Launcher, request: LaunchRequest, log_path: Path, timeout: float
) -> Iterator[tuple[AgentClient, Launched, int]]:
    """The same for a program that is the agent, or starts one at the other end of its stream; nothing is stamped.

    Yields:
        The client, the program, whose pidfd is closed at the end, and when READY arrived (CLOCK_MONOTONIC, ns).

    Raises:
        InstanceError: the agent did not come up, or has ended before it was told to.
    """
    ours, theirs = socket.socketpair()
    try:
        agent = AgentClient(ours)
        with theirs, log_path.open("ab") as log, launcher.begin(request, theirs, log.fileno()) as pending:
            theirs.close()
            try:
                # Before the launcher's reply, lest the stamp of READY wait for it. If nothing was started, no copy of
                # the other end is left, and the stream ends at once.
                ready_at = agent.wait_ready(timeout)
            except (AgentError, OSError) as error:
                launched = pending.finish()
                os.close(launched.pidfd)
                raise InstanceError(f"the agent did not get ready: {error}{last_line(log_path)}") from error
            launched = pending.finish()
        try:
            yield agent, launched, ready_at
        except AgentGone as error:
            raise InstanceError(f"the agent has ended: {error}{last_line(log_path)}") from error
        finally:
            os.close(launched.pidfd)
            agent.close()
    finally:
        ours.close()


def wait_for_end(pidfd: int, timeout: float) -> bool:
    """Wait until the process behind a pidfd has ended; False if it did not within ``timeout`` seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def host_facts(scratch: Path | None) -> dict[str, str]:
    """What is recorded with a trial of an arm that shares the host's kernel, and has this loop device for a disk."""
    disk = loop_facts(scratch) if scratch else {}
    return {"accel": "none", "kernel": platform.release(), **disk}


def check_image(root: Path) -> None:
    """Find out whether the image has our agent.

    Raises:
        HostError: it has not.
    """
    if not os.access(f"{root}{AGENT_PATH}", os.X_OK):
        raise HostError(f"the image has no agent at {AGENT_PATH}: build it anew with `bench image build`")


def userland_size(image: Image) -> int:
    """Bytes of the image that an arm without a kernel of its own needs."""
    return image.rootfs.stat().st_size


def last_line(log: Path) -> str:
    """The last line of a log, to be put behind a message; nothing if it is empty."""
    text = log.read_text(errors="replace").strip()
    return f"; its last words: {text.splitlines()[-1]}" if text else ""
