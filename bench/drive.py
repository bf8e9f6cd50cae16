"""Driving a workload in an instance: prepare, serve, load, warm up, run, read its figures; all output is kept in the
trial's log.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from results.records import Sample
from runtimes.agent.client import EXIT_GRACE, AgentClient, AgentError, AgentGone, Command, Completed, Process
from runtimes.agent.ports import wait_for_port
from workloads.parsers import ParseError, parse

if TYPE_CHECKING:
    from bench.plan import Case
    from runtimes.base import Instance, Limits
    from workloads.commands import Commands
    from workloads.model import Server, Workload

_STOP_SECONDS = 10.0
_LEAST_COMPARED = 0.5
"""Seconds that a command must take for two clocks to be compared by it: asking and answering takes milliseconds."""


_DISK_ERRORS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EIO, errno.EROFS))
"""What programs say when a scratch disk fails them, often with statistics after it."""


class WorkloadError(Exception):
    """The workload did not run to its end, or gave no figures. The message is the trial's error."""


@dataclass(frozen=True, slots=True)
class Driven:
    """What a workload gave, over all iterations.

    Attributes:
        samples: its declared metrics, of each iteration.
        cpus_used: host CPU time of the instance while the run command ran, divided by how long that was by the host's
            clock; None where nothing was run.
        first_output_at: host CLOCK_MONOTONIC ns of the first byte from inside the instance; None if there was none.
        clock_ratio: how long the command took by the instance's clock, divided by how long it took by the host's; None
            where nothing ran in the instance, or not long enough to tell. Rates that a tool measures are by the
            instance's clock.
        window: when the run command ran, from and to, seconds on the host's CLOCK_MONOTONIC; None where nothing was
            run.
    """

    samples: tuple[Sample, ...]
    cpus_used: float | None
    first_output_at: int | None
    clock_ratio: float | None
    window: tuple[float, float] | None


class TrialLog:
    """The log of one trial: every command with its output, in a text file that is written as things happen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO

    def __enter__(self) -> Self:
        self._file = self._path.open("w", encoding="utf-8", errors="replace")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, text: str) -> None:
        """Write one remark."""
        self._file.write(text.rstrip("\n") + "\n")
        self._file.flush()

    def command(self, where: str, completed: Completed) -> None:
        """Write a command that has ended, with how it ended and all it said."""
        self.note(f"[{where}] $ {shlex.join(completed.command.argv)}")
        for name, output in (("stdout", completed.stdout), ("stderr", completed.stderr)):
            if output:
                self.note(f"--- {name}\n{output.decode(errors='replace')}")
        self.note(f"--- {describe_end(completed)} after {completed.duration:.3f} s")


def describe_end(completed: Completed) -> str:
    """How a command ended, in words."""
    if completed.timed_out:
        return "timed out"
    if completed.signal is not None:
        return f"killed by signal {completed.signal}"
    return f"exit status {completed.exit_status}"


def last_words(completed: Completed) -> str:
    """The last line that a command said, behind a colon, or nothing; rather one that tells of a full or broken disk."""
    said = (completed.stderr or completed.stdout).decode(errors="replace").strip().splitlines()
    telling = [line for line in said if any(reason in line for reason in _DISK_ERRORS)]
    return f": {(telling or said)[-1].strip()}" if said else ""


def require_success(completed: Completed) -> None:
    """Raise WorkloadError if a command failed, with how it ended and its last words."""
    if completed.ok:
        return
    limit = f" after {completed.command.timeout:g} s" if completed.timed_out and completed.command.timeout else ""
    raise WorkloadError(f"{completed.command.argv[0]}: {describe_end(completed)}{limit}{last_words(completed)}")


def spawn(agent: AgentClient, argv: tuple[str, ...], timeout: float | None = None) -> Process:
    """Start a command, to be killed after ``timeout`` seconds.

    Raises:
        WorkloadError: no program can be given this.
        AgentError: it could not be started.
    """
    try:
        return agent.spawn(Command(argv, timeout=timeout))
    except ValueError as error:
        raise WorkloadError(f"{argv[0]}: cannot be run: {error}") from None


def _start_server(server: Server, argv: tuple[str, ...], agent: AgentClient, log: TrialLog) -> Process:
    process = spawn(agent, argv)
    try:
        if server.ready.log is not None:
            awaited = f"output matched '{server.ready.log}'"
            process.wait_for_output(server.ready.log, server.timeout)
        elif server.ready.port is not None:
            awaited = f"process listened on port {server.ready.port}"
            wait_for_port(agent, process, server.ready.port, server.timeout)
    except TimeoutError:
        ended = _stop_server(process, log)
        raise WorkloadError(f"{argv[0]}: no {awaited} within {server.timeout:g} s{last_words(ended)}") from None
    except AgentGone:
        raise
    except AgentError:
        ended = _stop_server(process, log)
        raise WorkloadError(f"{argv[0]}: {describe_end(ended)} before it was ready{last_words(ended)}") from None
    return process


def _stop_server(process: Process, log: TrialLog) -> Completed:
    process.kill()
    ended = process.wait(_STOP_SECONDS)
    log.command("server", ended)
    return ended


def _end_quietly(process: Process) -> None:
    with contextlib.suppress(AgentError):  # its own agent is gone too
        process.kill()


def read_figures(case: Case, completed: Completed, host_cpu: float, iteration: int = 0) -> tuple[Sample, ...]:
    """The metrics that a workload declares, from what its command said.

    Raises:
        WorkloadError: they are not there.
    """
    try:
        parsed = parse(case.workload, completed.stdout.decode(errors="replace"), host_cpu)
    except ParseError as error:
        raise WorkloadError(str(error)) from None
    return tuple(
        Sample(item.name, item.value, item.unit, item.better, iteration, primary=item.primary) for item in parsed
    )


def _run_all(commands: Sequence[tuple[str, ...]], what: str, agent: AgentClient, timeout: float, log: TrialLog) -> None:
    """Run commands that are not measured, one after the other."""
    for argv in commands:
        completed = spawn(agent, argv, timeout).wait(timeout + EXIT_GRACE)
        log.command(what, completed)
        require_success(completed)


@contextmanager
def _served(workload: Workload, argv: tuple[str, ...] | None, agent: AgentClient, log: TrialLog) -> Iterator[None]:
    """The workload's server, if it has one, from its readiness on; killed in the end."""
    if workload.server is None or argv is None:
        yield
        return
    server = _start_server(workload.server, argv, agent, log)
    try:
        yield
        _require_alive(server)
    finally:
        _stop_server(server, log)


def _require_alive(server: Process) -> None:
    """A client may not mind that its server died, and tell of the figures until then."""
    try:
        server.require_running(0)
    except AgentGone:
        raise
    except AgentError as error:
        raise WorkloadError(f"the server did not last: {error}") from None


def _commands(case: Case, limits: Limits, host: Mapping[str, str], instance: Instance) -> Commands:
    try:
        return case.workload.commands(
            case.params, server_address=instance.address, cpus=limits.cpus, memory=limits.memory, host=host
        )
    except ValueError as error:
        raise WorkloadError(str(error)) from None


@dataclass(frozen=True, slots=True)
class WarmWorkload:
    """A workload about to be measured.

    Attributes:
        argv: what is to be measured; None where there is nothing.
        timeout: seconds that it may take.
        client: the agent where it runs.
        place: what that is called in the log.
    """

    argv: tuple[str, ...] | None
    timeout: float
    client: AgentClient
    place: str


@contextmanager
def warmed_up(
    case: Case, limits: Limits, host: Mapping[str, str], instance: Instance, peer: AgentClient | None, log: TrialLog
) -> Iterator[WarmWorkload]:
    """A workload with all done that comes before its measured command, and with its server as long as this lasts.

    Arguments as of :func:`drive`.

    Raises:
        WorkloadError: a command failed, or the server did not get ready or did not last.
        AgentError: the instance went away.
    """
    commands = _commands(case, limits, host, instance)
    place, client = ("instance", instance.agent) if peer is None else ("peer", peer)
    _run_all(commands.prepare, "prepare", instance.agent, commands.timeout, log)
    with _served(case.workload, commands.server, instance.agent, log):
        _run_all(commands.load, f"load, {place}", client, commands.timeout, log)
        _run_all(commands.warmup, f"warmup, {place}", client, commands.timeout, log)
        yield WarmWorkload(commands.run, commands.timeout, client, place)


def drive(
    case: Case, limits: Limits, host: Mapping[str, str], instance: Instance, peer: AgentClient | None, log: TrialLog
) -> Driven:
    """Run one workload in a fresh instance.

    Args:
        case: the workload and its parameters.
        limits: the instance's, for workloads that size themselves by them.
        host: what a workload may be told of the host (:func:`bench.host.host_values`).
        instance: where it runs.
        peer: the load generator's agent, for workloads whose client stands outside.
        log: where everything is written.

    Raises:
        WorkloadError: a command failed, or there were no figures in its output.
        AgentError: the instance went away.
    """
    with warmed_up(case, limits, host, instance, peer, log) as warm:
        if warm.argv is None:
            return Driven((), None, None, None, None)
        return _measure(case, warm.argv, warm, instance, log)


@dataclass(frozen=True, slots=True)
class _Iteration:
    """One execution of the measured command.

    Attributes:
        samples: the figures in its output.
        host_cpu: seconds of host CPU time that the instance cost meanwhile.
        began: when, seconds of the host's CLOCK_MONOTONIC.
        ended: likewise.
        duration: seconds that it took by the clock where it ran.
        first_output_at: host CLOCK_MONOTONIC ns of its first byte of output; None if there was none.
    """

    samples: tuple[Sample, ...]
    host_cpu: float
    began: float
    ended: float
    duration: float
    first_output_at: int | None


def _measure(case: Case, argv: tuple[str, ...], warm: WarmWorkload, instance: Instance, log: TrialLog) -> Driven:
    """Run the measured command as often as the case says, and find its figures."""
    done = [_iterate(case, number, argv, warm, instance, log) for number in range(case.iterations)]
    samples = tuple(sample for one in done for sample in one.samples)
    elapsed = sum(one.ended - one.began for one in done)
    cpus_used = sum(one.host_cpu for one in done) / elapsed
    span = (done[0].began, done[-1].ended)
    if warm.client is not instance.agent:
        return Driven(samples, cpus_used, None, None, span)
    ratio = sum(one.duration for one in done) / elapsed if elapsed > _LEAST_COMPARED else None
    return Driven(samples, cpus_used, done[0].first_output_at, ratio, span)


def _iterate(
    case: Case, number: int, argv: tuple[str, ...], warm: WarmWorkload, instance: Instance, log: TrialLog
) -> _Iteration:
    if case.iterations > 1:
        log.note(f"iteration {number + 1} of {case.iterations}")
    spent = instance.usage().cpu_time
    began = time.monotonic()
    process = spawn(warm.client, argv, warm.timeout)
    if warm.client is not instance.agent:
        # What it talks to is gone, of which no packet may ever tell it.
        instance.agent.when_gone(functools.partial(_end_quietly, process))
    # The agent keeps the time-out; should it hang with the instance, this ends the trial.
    completed = process.wait(warm.timeout + EXIT_GRACE)
    ended = time.monotonic()
    host_cpu = instance.usage().cpu_time - spent
    log.command(warm.place, completed)
    require_success(completed)
    samples = read_figures(case, completed, host_cpu, number)
    return _Iteration(samples, host_cpu, began, ended, completed.duration, process.first_output_at)
