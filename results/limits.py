"""Limits as given: what an instance got of what its suite's ``limits`` asked for."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from results.charts.quantities import percentage
from results.trials import ArmTrials, Case, cases_of, natural

if TYPE_CHECKING:
    import pandas as pd

Outcome = Literal["met", "exceeded", "not reached"]
"""``exceeded``: more was given than asked for; ``not reached``: the instance stayed below its limit."""

_PREFIX = "limit."

# In the order to show them.
_TOLERANCES: Mapping[str, float] = {
    "cpus": 3.0,
    "memory": 10.0,
    "io.read_bytes": 10.0,
    "io.write_bytes": 10.0,
    "io.read_ops": 10.0,
    "io.write_ops": 10.0,
    "net.ingress": 10.0,
    "net.egress": 10.0,
}


def tolerance(limit: str) -> float:
    """Percent by which what is given may differ from what was asked for and the limit still counts as met.

    3 % for a quota of CPU time, which the kernel accounts for exactly in every period; 10 % for all others. There the
    scheduling unit is coarse beside the limit (requests and packets are let through whole, memory is charged in
    batches), and protocol overhead is part of what is limited but not of what a tool reports.
    """
    return _TOLERANCES.get(limit, 10.0)


@dataclass(frozen=True, slots=True)
class GivenLimit:
    """One limit of one arm, measured by one workload case.

    Attributes:
        limit: its key in the suite, as ``cpus`` or ``io.read_bytes``.
        workload: name of the workload that measured it.
        params: its parameters, ``k=v,k=v``.
        arm: name of the arm.
        emulated: whether any trial ran under software emulation.
        unit: of ``asked`` and ``given``.
        asked: the limit.
        given: median over the trials of what the instance got.
        errors: percent by trial, above zero where more was given than asked for.
    """

    limit: str
    workload: str
    params: str
    arm: str
    emulated: bool
    unit: str
    asked: float
    given: float
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """Median of the errors, percent."""
        return statistics.median(self.errors)

    @property
    def outcome(self) -> Outcome:
        """By the median of the errors and :func:`tolerance`."""
        if abs(self.error) <= tolerance(self.limit):
            return "met"
        return "exceeded" if self.error > 0 else "not reached"


def is_limit(metric: str) -> bool:
    """Whether ``metric`` says how a limit was kept: no result of a workload, and nothing to compare arms by."""
    return metric.startswith(_PREFIX)


def limits_of(frame: pd.DataFrame) -> list[GivenLimit]:
    """The limits that a run measured, by limit, workload case and arm; empty if it measured none.

    Args:
        frame: from :meth:`results.store.Store.frame`.
    """
    cases = cases_of(frame[frame["metric"].astype(str).str.startswith(_PREFIX)])
    found: dict[tuple[str, str, str], dict[str, Case]] = {}
    for case in cases:
        limit, _, part = case.metric.removeprefix(_PREFIX).rpartition(".")
        found.setdefault((limit, case.workload, case.params), {})[part] = case
    rank = {limit: place for place, limit in enumerate(_TOLERANCES)}
    order = sorted(found, key=lambda key: (rank.get(key[0], len(rank)), key[0], natural(key[1:])))
    return [
        _given(key, arm, trials, parts)
        for key in order
        if (parts := found[key]).keys() >= {"asked", "given", "error"}
        for arm, trials in parts["error"].arms.items()
    ]


def total(limits: Sequence[GivenLimit], arm: str) -> str:
    """How many of an arm's limits were met: ``5 of 6 met``."""
    own = [limit for limit in limits if limit.arm == arm]
    return f"{sum(limit.outcome == 'met' for limit in own)} of {len(own)} met" if own else "not measured"


def sentence(limits: Sequence[GivenLimit], arm: str) -> str:
    """What the limits of one arm came to; empty if none was measured."""
    own = [limit for limit in limits if limit.arm == arm]
    off = [f"{limit.limit} {limit.outcome} ({percentage(limit.error)})" for limit in own if limit.outcome != "met"]
    met = f"{len(own) - len(off)} of {len(own)} limits met"
    return "; ".join((met, *off)) + "." if own else ""


def _given(key: tuple[str, str, str], arm: str, trials: ArmTrials, parts: Mapping[str, Case]) -> GivenLimit:
    asked, given = (parts[part].arms[arm].values for part in ("asked", "given"))
    return GivenLimit(
        *key,
        arm=arm,
        emulated=trials.accel == "tcg",
        unit=parts["asked"].unit,
        asked=statistics.median(asked),
        given=statistics.median(given),
        errors=tuple(trials.values),
    )
