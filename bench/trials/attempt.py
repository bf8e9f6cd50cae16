"""What every kind of trial is given and leaves behind, and what most of them need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from results.records import Sample
from runtimes.base import InstanceSpec
from runtimes.storage import make_scratch

if TYPE_CHECKING:
    from bench.drive import TrialLog
    from bench.plan import Case, Trial
    from bench.suite_model import Arm
    from runtimes.agent.client import AgentClient
    from runtimes.base import Image, Limits, Runtime
    from runtimes.facilities import Facilities


@dataclass(frozen=True, slots=True)
class OpenArm:
    """An arm whose runtime is open for this run."""

    arm: Arm
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What all trials of a run share.

    Attributes:
        run: id of the run.
        directory: the run's directory in the store.
        facilities: what the run holds of the host.
        image: what every arm runs.
        host: what workloads may be told of the host (:func:`bench.host.host_values`).
        arms: all arms of the run by name.
    """

    run: str
    directory: Path
    facilities: Facilities
    image: Image
    host: Mapping[str, str]
    arms: Mapping[str, OpenArm] = field(default_factory=dict)


@dataclass(slots=True)
class Measured:
    """What was measured so far; complete only if the trial went well.

    Attributes:
        samples: the figures.
        facts: what the instance told of itself.
        observed: what a program in the instance saw of its world, if that was asked for.
        window: when the measured command ran, from and to, seconds on the host's CLOCK_MONOTONIC; None if none did.
    """

    samples: list[Sample] = field(default_factory=list)
    facts: Mapping[str, str] = field(default_factory=dict)
    observed: dict[str, str] | None = None
    window: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One trial that is being carried out.

    Attributes:
        trial: what to do.
        opened: the arm's runtime.
        context: what the run's trials share.
        log: where everything is written.
        observe: whether to read, after the measurement, what a program in the instance sees of its world.
        measured: to be filled in.
    """

    trial: Trial
    opened: OpenArm
    context: TrialContext
    log: TrialLog
    observe: bool
    measured: Measured = field(default_factory=Measured)

    @property
    def directory(self) -> Path:
        """Where the trial's files are."""
        return trial_directory(self.trial, self.context)

    def specification(self, scratch: Path | None = None) -> InstanceSpec:
        """The trial's instance, with this scratch disk."""
        return InstanceSpec(
            name=f"{self.context.facilities.run}-{self.trial.number}",
            image=self.context.image,
            limits=self.trial.arm.limits,
            scratch=scratch,
            directory=self.directory,
            start_timeout=self.trial.arm.timeouts.start,
            stop_timeout=self.trial.arm.timeouts.stop,
        )

    def numbered_specification(self, number: int, at_once: int = 1) -> InstanceSpec:
        """One of the trial's instances, where it has several alike: each keeps its files in a directory of its own.

        Args:
            number: from 1.
            at_once: how many are started at the same time.
        """
        alike = self.specification()
        directory = alike.directory / f"instance-{number}"
        directory.mkdir()
        return replace(alike, name=f"{alike.name}-{number}", directory=directory, at_once=at_once)

    def scratch_disk(self) -> AbstractContextManager[Path | None]:
        """A new scratch disk for the trial, if its workload wants one, gone afterwards."""
        return scratch_disk(self.trial.case, self.context, str(self.trial.number))

    def load_generator(self) -> AbstractContextManager[AgentClient | None]:
        """An agent in the peer namespace, if the workload's client stands there."""
        return load_generator(self.trial.case, self.context, "peer", self.trial.arm.limits)


@contextmanager
def scratch_disk(case: Case, context: TrialContext, name: str) -> Iterator[Path | None]:
    """A new scratch disk, if a case wants one, gone afterwards; ``name`` is unique at any time in the run."""
    size = case.scratch
    if size is None:
        yield None
        return
    path = context.facilities.scratch_directory / f"{name}.ext4"
    make_scratch(path, size)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def load_generator(case: Case, context: TrialContext, name: str, limits: Limits) -> Iterator[AgentClient | None]:
    """An agent in a peer namespace, if a case's client stands there; ``name`` is unique at any time in the run.

    Args:
        case: what is run.
        context: of the run.
        name: of the peer.
        limits: of the instance that it asks something of.
    """
    if case.workload.client != "peer":
        yield None
        return
    from runtimes.peer import open_peer

    with open_peer(context.facilities, f"{context.facilities.run}-{name}", limits) as peer:
        yield peer


def trial_directory(trial: Trial, context: TrialContext) -> Path:
    """Where a trial's files are, in the run's directory."""
    return context.directory / "trials" / str(trial.number)
