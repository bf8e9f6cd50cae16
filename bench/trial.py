"""One trial: which kind it is, and what comes out of it, success or failure."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench import metrics
from bench.drive import TrialLog, WorkloadError
from bench.trials import beside, cold, density, parallel, usual
from bench.trials.attempt import Attempt, OpenArm, TrialContext, trial_directory
from results.records import Sample, TrialRecord
from runtimes.agent.client import AgentError
from runtimes.base import HostError, InstanceError

if TYPE_CHECKING:
    from bench.plan import Case, Trial


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What goes into the store, and what the instance saw of its world if that was asked for."""

    record: TrialRecord
    samples: tuple[Sample, ...]
    observed: dict[str, str] | None


def _kind(case: Case) -> Callable[[Attempt], None]:
    """How trials of a case are carried out."""
    if case.instances is not None:
        return parallel.carry_out
    if case.crowd is not None:
        return density.carry_out
    if case.workload.page_cache == "cold":
        return cold.carry_out
    if case.beside is not None:
        return beside.carry_out
    return usual.carry_out


def carry_out(trial: Trial, opened: OpenArm, context: TrialContext, *, observe: bool) -> TrialOutcome:
    """Carry out one trial. Its failure is an outcome, with a reason and a log; what is raised concerns the whole run.

    Args:
        trial: what to do.
        opened: the arm's runtime.
        context: what the run's trials share.
        observe: whether to read, after the measurement, what a program in the instance sees of its world.
    """
    directory = trial_directory(trial, context)
    directory.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    error: str | None = None
    with TrialLog(directory / "log.txt") as log:
        log.note(f"{trial.case.label} in {trial.arm.name}, block {trial.block}, trial {trial.number}, {started}")
        attempt = Attempt(trial, opened, context, log, observe)
        try:
            _kind(trial.case)(attempt)
        except (WorkloadError, InstanceError, HostError, AgentError, OSError) as failure:
            if not isinstance(failure, WorkloadError):
                log.note("".join(traceback.format_exception(failure)))
            error = " ".join(str(failure).split())
            # At the end, which is what the report shows of a log.
            log.note(f"failed: {error}")
            if isinstance(failure, InstanceError) and failure.details:
                log.note(failure.details)
    measured = attempt.measured
    record = TrialRecord(
        run=context.run,
        trial=trial.number,
        block=trial.block,
        position=trial.position,
        workload=trial.case.workload.name,
        params=trial.case.shown_params,
        arm=trial.arm.name,
        runtime=trial.arm.runtime,
        accel=metrics.accelerator(measured.facts),
        status="ok" if error is None else "failed",
        error=error,
        started=started,
        log=str((directory / "log.txt").relative_to(context.directory)),
        facts=measured.facts,
    )
    return TrialOutcome(record, tuple(measured.samples) if error is None else (), measured.observed)
