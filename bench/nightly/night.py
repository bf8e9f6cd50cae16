"""The order of a night: which step follows which, what a failure of one means for those after it, and the exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.errors import RunError
from bench.nightly.line import format_line
from results.errors import StoreError
from runtimes.base import HostError, InstanceError
from workloads.errors import InvalidInput
from workloads.image.errors import ImageError

Status = Literal["ok", "failed", "refused", "regression", "inconclusive", "interrupted"]

EXIT_CODES: Mapping[Status, int] = {
    "interrupted": 130,
    "refused": 2,
    "regression": 3,
    "failed": 1,
    "inconclusive": 4,
    "ok": 0,
}
"""The gravest first: a regression is not hidden by a trial that failed or a site that could not be written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step came to.

    Attributes:
        status: ``refused`` is before anything was started; ``interrupted`` and ``refused`` end the night.
        reason: for a reader, where it is not ``ok``.
        facts: for the line at the end.
        has_run: whether there is now a run that later steps can work with; None where the step does not decide it.
    """

    status: Status = "ok"
    reason: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    has_run: bool | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a night.

    Attributes:
        name: in one word.
        do: carries it out.
        needs_run: whether it is about tonight's run, and left out where there is none.
        starts_nothing: whether an error that a user can mend means that nothing was started, as for `bench run`.
    """

    name: str
    do: Callable[[], Outcome]
    needs_run: bool = False
    starts_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Night:
    """What a night came to.

    Attributes:
        status: the gravest of its steps.
        reasons: by step, of those that were not ``ok``.
        facts: of all steps.
        seconds: how long it took.
    """

    status: Status
    reasons: Mapping[str, str]
    facts: Mapping[str, object]
    seconds: float

    @property
    def exit_code(self) -> int:
        """Of the program."""
        return EXIT_CODES[self.status]

    def line(self, suite: str) -> str:
        """The summary: every night of every status has the same keys in the same order."""
        facts = {key: self.facts.get(key) for key in FACTS}
        reason = "; ".join(f"{step}: {text}" if text else step for step, text in self.reasons.items())
        ending = {"seconds": round(self.seconds), "reason": reason}
        return format_line({"suite": suite, "status": self.status, "exit": self.exit_code, **facts, **ending})


FACTS = ("run", "trials", "failed", "regressions", "suspicious", "inconclusive", "removed", "report", "site")
"""What steps may tell: the run's id, counts, and where report and site are."""


def carry_out(steps: Sequence[Step], tell: Callable[[str], None] = lambda text: None) -> Night:
    """Do one step after the other.

    A step that fails does not keep later ones from their work, unless they need a run and there is none. After a
    refusal or an interruption nothing more is done.

    Args:
        steps: in their order.
        tell: is told of each step as it begins.
    """
    began = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    has_run = False
    for step in steps:
        if step.needs_run and not has_run:
            continue
        tell(step.name)
        outcomes[step.name] = outcome = _attempt(step)
        has_run = has_run if outcome.has_run is None else outcome.has_run
        if outcome.status in ("interrupted", "refused"):
            break
    return Night(
        status=min((outcome.status for outcome in outcomes.values()), key=list(EXIT_CODES).index, default="ok"),
        reasons={name: outcome.reason for name, outcome in outcomes.items() if outcome.status != "ok"},
        facts={key: value for outcome in outcomes.values() for key, value in outcome.facts.items()},
        seconds=time.monotonic() - began,
    )


def _attempt(step: Step) -> Outcome:
    """A step's outcome, also of one that ends with an error that a user can mend; defects pass."""
    try:
        return step.do()
    except KeyboardInterrupt as interruption:
        return Outcome("interrupted", str(interruption))
    except (InvalidInput, HostError, StoreError) as error:
        return Outcome("refused" if step.starts_nothing else "failed", str(error))
    except (RunError, InstanceError, ImageError) as error:
        return Outcome("failed", str(error))
