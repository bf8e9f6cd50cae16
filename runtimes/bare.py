"""The floor under every start: the same agent, executed by the harness itself with nothing of ours in between.

There is no launcher that is asked and no cgroup that is joined within the time of the start: a thread of the harness
is where the instance shall be, on its CPUs and, with version 1, in its cgroups, before the clock starts; what it makes
is there too. Version 2 has the process made in its cgroup. What is timed is vfork and execve, a session and a root of
its own, the placing of three descriptors, the agent's first instructions, and its word on the way to the harness.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from runtimes.agent.client import AgentClient, AgentError, AgentGone
from runtimes.base import Instance, InstanceError, InstanceSpec, Options, Timeline
from runtimes.cgroup import Cgroup
from runtimes.chroot import run_alone_in
from runtimes.launcher.client import Launcher
from runtimes.launcher.instance import AGENT_ARGV, LOG_NAME, LaunchedInstance, host_facts, last_line, wait_for_end
from runtimes.launcher.limits import set_limits
from runtimes.launcher.rootfs import unmount_scratch
from runtimes.launcher.steps import StepError, Steps
from runtimes.native import NativeRuntime

_END_TIMEOUT = 10.0
"""Seconds for an agent whose stream has been closed to end by itself."""


class BareOptions(Options):
    """There are none."""


class BareRuntime(NativeRuntime):
    """Like native, without the launcher and with the cgroup joined before the clock starts."""

    name: ClassVar[str] = "bare"
    options_model: ClassVar[type[Options]] = BareOptions

    @contextmanager
    def start(self, spec: InstanceSpec) -> Iterator[Instance]:
        facilities = self._facilities
        timeline = Timeline()
        with ExitStack() as stack:
            scratch, root, cgroup = stack.enter_context(self._place(spec))
            starter = _Starter(
                facilities.launcher, run_alone_in(root, AGENT_ARGV), cgroup, facilities.instance_cpus(spec.limits)
            )
            agent, pidfd = stack.enter_context(_executed_agent(starter, spec, timeline))
            set_limits(starter.pid, rootless=facilities.rootless)
            release = (lambda: unmount_scratch(str(root))) if scratch else None
            address, facts = facilities.network.gateway, host_facts(scratch)
            yield LaunchedInstance(agent, timeline, address, facts, cgroup, pidfd, spec.stop_timeout, release)


class _Starter:
    """A thread that is where the instance shall be, and executes its agent once all is ready.

    Attributes:
        pid: of the agent, once it has been executed.
        pidfd: of the agent, to be reaped by who asked for it; -1 before that.
        failure: why there is none.
    """

    def __init__(self, launcher: Launcher, steps: tuple[Steps, ...], cgroup: Cgroup, cpus: Sequence[int]) -> None:
        self._launcher = launcher
        self._steps = steps
        self._cgroup = cgroup
        self._cpus = cpus
        self.pid = self.pidfd = -1
        self.failure: Exception | None = None

    def execute(self, spec: InstanceSpec, timeline: Timeline, stream: socket.socket, log: int) -> None:
        """Place the calling thread, stamp ``requested`` and execute; ``stream`` is closed, whatever comes of it."""
        try:
            os.sched_setaffinity(0, self._cpus)
            with self._cgroup.entered():
                spec.prepared()
                timeline.stamp("requested")
                self.pid, self.pidfd = self._launcher.execute(self._steps, self._cgroup, (stream.fileno(), log))
        except Exception as error:  # raised by who waits for the agent
            self.failure = error
        finally:
            # Before anybody waits for the agent: without one the stream ends here.
            stream.close()


@contextmanager
def _executed_agent(starter: _Starter, spec: InstanceSpec, timeline: Timeline) -> Iterator[tuple[AgentClient, int]]:
    """Execute an agent and wait for READY.

    Yields:
        The client, and a pidfd of the agent, which is reaped at the end.

    Raises:
        InstanceError: it did not come up, or has ended before it was told to.
    """
    log_path = spec.directory / LOG_NAME
    ours, theirs = socket.socketpair()
    with ours, theirs, log_path.open("ab") as log:
        agent = AgentClient(ours)
        # Who executes is on the instance's CPUs, and who waits for READY on the harness's, as with every runtime.
        thread = threading.Thread(
            target=starter.execute, args=(spec, timeline, theirs, log.fileno()), name="bare-start"
        )
        thread.start()
        try:
            try:
                timeline.stamp("ready", agent.wait_ready(spec.start_timeout))
            except (AgentError, OSError) as error:
                thread.join()
                if isinstance(starter.failure, StepError):
                    raise InstanceError(str(starter.failure.strerror)) from starter.failure
                if starter.failure is not None:
                    raise starter.failure from None
                raise InstanceError(f"the agent did not get ready: {error}{last_line(log_path)}") from error
            thread.join()
            yield agent, starter.pidfd
        except AgentGone as error:
            raise InstanceError(f"the agent has ended: {error}{last_line(log_path)}") from error
        finally:
            agent.close()
            thread.join()
            _reap(starter.pidfd)


def _reap(pidfd: int) -> None:
    """Wait for a child that has no stream any more, kill it if it does not end, and close its pidfd."""
    if pidfd < 0:
        return
    try:
        if not wait_for_end(pidfd, _END_TIMEOUT):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)
