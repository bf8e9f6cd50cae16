"""A trial beside a neighbour: another instance runs something over and over while the usual trial takes its course."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.drive import TrialLog, WarmWorkload, WorkloadError, read_figures, require_success, spawn, warmed_up
from bench.neighbours import neighbour_limits
from bench.trials import usual
from bench.trials.attempt import load_generator, scratch_disk
from results.records import Sample
from runtimes.agent.client import EXIT_GRACE, AgentError, Process
from runtimes.base import InstanceError, InstanceSpec
from runtimes.placement import describe_cpus
from runtimes.topology import format_cpus

if TYPE_CHECKING:
    from bench.plan import Case
    from bench.trials.attempt import Attempt, OpenArm
    from runtimes.base import Instance, Limits

UNDER_WAY = 1.0
"""Seconds that a neighbour's command runs before the measured instance is asked for: programs read and set up first."""

LEAST_COVERAGE = 0.9
"""Part of the measurement during which a neighbour's command has to have run; between two rounds it does not."""

Spans = Sequence[tuple[float, float]]
"""When commands ran, from and to, seconds on the host's CLOCK_MONOTONIC."""


def coverage(spans: Spans, window: tuple[float, float]) -> float:
    """The part of ``window`` that ``spans``, which do not overlap, cover."""
    began, ended = window
    covered = sum(max(0.0, min(end, ended) - max(start, began)) for start, end in spans)
    return covered / (ended - began) if ended > began else 0.0


def carry_out(attempt: Attempt) -> None:
    """Have the neighbour run, measure as usual, and see that it ran meanwhile.

    Raises:
        WorkloadError: the neighbour did not get ready, failed, or did not run during the measurement.
        InstanceError: its instance did not come up.
    """
    case = attempt.trial.case.neighbour
    assert case is not None
    with _neighbour(attempt, case) as rounds:
        usual.carry_out(attempt)
        rounds.end()
    measured = attempt.measured
    if measured.window is None:
        raise WorkloadError("nothing was measured beside the neighbour")
    covered = coverage(rounds.spans, measured.window)
    if covered < LEAST_COVERAGE:
        raise WorkloadError(
            f"the neighbour {case.label} ran during {100 * covered:.0f} % of the measurement, and should during all; "
            "have its rounds take longer, or measure for longer"
        )
    measured.facts = {**measured.facts, **rounds.facts}
    measured.samples += [
        Sample("beside.coverage", covered, "share", "neutral"),
        Sample("beside.cpus_used", rounds.cpus_used, "CPUs", "neutral"),
        Sample("beside.rounds", len(rounds.spans), "rounds", "neutral"),
    ]


@contextmanager
def _neighbour(attempt: Attempt, case: Case) -> Iterator[_Rounds]:
    """The neighbour's instance, warmed up and under way; gone afterwards."""
    opened = _arm_of(attempt)
    limits = _limits(attempt, opened)
    where = attempt.context.facilities.instance_cpus(limits)
    directory = attempt.directory / "neighbour"
    directory.mkdir()
    name = f"{attempt.trial.number}-beside"
    with ExitStack() as stack:
        log = stack.enter_context(TrialLog(directory / "log.txt"))
        attempt.log.note(f"beside {case.label}, on {describe_cpus(where)}; its log is neighbour/log.txt")
        scratch = stack.enter_context(scratch_disk(case, attempt.context, name))
        peer = stack.enter_context(load_generator(case, attempt.context, "peer-2", limits))
        spec = InstanceSpec(
            name=f"{attempt.context.facilities.run}-{name}",
            image=attempt.context.image,
            limits=limits,
            scratch=scratch,
            directory=directory,
            start_timeout=opened.arm.timeouts.start,
            stop_timeout=opened.arm.timeouts.stop,
        )
        try:
            instance = stack.enter_context(opened.runtime.start(spec))
            warm = stack.enter_context(warmed_up(case, limits, attempt.context.host, instance, peer, log))
            rounds = _Rounds(case, instance, warm, log)
            rounds.facts = {
                "beside": f"{case.label} in {opened.arm.name}",
                "beside_cpus": format_cpus(where),
                "own_cpus": format_cpus(attempt.context.facilities.instance_cpus(attempt.trial.arm.limits)),
            }
            stack.enter_context(rounds)
        except (WorkloadError, InstanceError, AgentError) as error:
            raise WorkloadError(f"the neighbour {case.label}: {error}") from error
        yield rounds


def _arm_of(attempt: Attempt) -> OpenArm:
    beside = attempt.trial.case.beside
    assert beside is not None
    return attempt.opened if beside.arm is None else attempt.context.arms[beside.arm]


def _limits(attempt: Attempt, opened: OpenArm) -> Limits:
    """Those of the neighbour's arm, on the CPUs that it is to have."""
    beside = attempt.trial.case.beside
    assert beside is not None
    placer = attempt.context.facilities.placer
    return neighbour_limits(beside.cpus, opened.arm.limits, attempt.trial.arm.limits, placer)


@dataclass(slots=True)
class _Rounds:
    """A command that is run again and again, from entering this until ``end``, in a thread of the caller's.

    Attributes:
        case: what is run.
        instance: where.
        warm: its command.
        log: where every round is written.
        spans: when the rounds ran.
        cpus_used: host CPU time of the instance meanwhile, divided by how long it was.
        facts: what is recorded of the neighbour with the trial.
    """

    case: Case
    instance: Instance
    warm: WarmWorkload
    log: TrialLog
    spans: list[tuple[float, float]] = field(default_factory=list)
    cpus_used: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _process: Process | None = None
    _failure: Exception | None = None
    _thread: threading.Thread | None = None
    _began: float = 0.0
    _spent: float = 0.0

    def __enter__(self) -> _Rounds:
        self._spent, self._began = self.instance.usage().cpu_time, time.monotonic()
        self._thread = threading.Thread(target=self._run, name="neighbour")
        self._thread.start()
        # Less than the whole time only where it has failed already.
        self._ending.wait(UNDER_WAY)
        if self._failure is not None:
            self._halt()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._halt()

    def end(self) -> None:
        """Let the rounds be over, and see that none of them failed.

        Raises:
            WorkloadError: one did.
            AgentError: the instance went away.
        """
        elapsed = time.monotonic() - self._began
        if self._failure is None:
            self.cpus_used = (self.instance.usage().cpu_time - self._spent) / elapsed
        self._halt()
        if self._failure is not None:
            raise WorkloadError(f"the neighbour {self.case.label}: {self._failure}") from self._failure

    def _halt(self) -> None:
        with self._lock:
            self._ending.set()
            if self._process is not None:
                with contextlib.suppress(AgentError):  # it has gone with its agent
                    self._process.kill()
        if self._thread is not None:
            self._thread.join(EXIT_GRACE)
            if self._thread.is_alive():
                self.warm.client.close()  # which ends the wait for an instance that hangs
                self._thread.join()

    def _run(self) -> None:
        argv = self.warm.argv
        assert argv is not None
        try:
            while self._round(argv):
                pass
        except Exception as error:  # raised by who ends the rounds
            if not self._ending.is_set():  # otherwise it is our own doing
                self._failure = error
                self._ending.set()

    def _round(self, argv: tuple[str, ...]) -> bool:
        """One round to its end; whether there is to be another."""
        with self._lock:
            if self._ending.is_set():
                return False
            self._process = spawn(self.warm.client, argv, self.warm.timeout)
            began = time.monotonic()
        completed = self._process.wait(self.warm.timeout + EXIT_GRACE)
        self.spans.append((began, time.monotonic()))
        self.log.command(self.warm.place, completed)
        if self._ending.is_set():
            return False
        require_success(completed)
        # What did not do its work disturbs nobody.
        read_figures(self.case, completed, 0.0)
        return True
