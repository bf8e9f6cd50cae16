"""Checks: claims that a workload tests and that hold or are broken, such as ``cannot_load_a_host_module``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.trials import arms_in_order, natural

if TYPE_CHECKING:
    import pandas as pd

UNIT = "check"
"""The unit of a metric that is a check: 1 where the claim holds, anything else where it is broken."""

_NAMED = 6  # broken claims that a sentence names at most


@dataclass(frozen=True, slots=True)
class Tally:
    """One claim in one arm.

    Attributes:
        held: trials in which it held, in every iteration.
        n: trials that checked it.
    """

    held: int
    n: int

    @property
    def holds(self) -> bool:
        """Whether it held whenever it was checked: a claim that fails once is broken."""
        return self.held == self.n

    @property
    def words(self) -> str:
        """``holds``, ``broken``, or in how many trials it was broken where they do not agree."""
        if self.holds:
            return "holds"
        return "broken" if self.held == 0 else f"broken in {self.n - self.held} of {self.n}"


@dataclass(frozen=True, slots=True)
class Checks:
    """All claims that one workload case tests.

    Attributes:
        workload: name of the workload.
        params: its parameters, ``k=v,k=v``.
        arms: every arm of the run, in the order of the suite.
        emulated: those of which a trial of this case ran under software emulation.
        claims: by metric in the workload's order, then by arm; an arm that did not check a claim is absent.
    """

    workload: str
    params: str
    arms: tuple[str, ...]
    emulated: frozenset[str]
    claims: Mapping[str, Mapping[str, Tally]]

    def of_arm(self, arm: str) -> dict[str, Tally]:
        """The claims that ``arm`` checked, by metric."""
        return {metric: tallies[arm] for metric, tallies in self.claims.items() if arm in tallies}

    def total(self, arm: str) -> str:
        """How many of the arm's claims hold: ``34 of 36 hold``."""
        return _total(list(self.of_arm(arm).values()))


def checks_of(frame: pd.DataFrame) -> list[Checks]:
    """The checks of a run by workload case, cases sorted as people do; empty if it has none.

    Args:
        frame: from :meth:`results.store.Store.frame`.
    """
    rows = frame[frame["unit"] == UNIT]
    arms = tuple(arms_in_order(frame))
    found = [
        _case(str(workload), str(params), arms, of_case)
        for (workload, params), of_case in rows.groupby(["workload", "params"], observed=True, sort=False)
    ]
    return sorted(found, key=lambda checks: natural((checks.workload, checks.params)))


def claim(metric: str) -> str:
    """What a check's metric says: its name with spaces for underscores."""
    return metric.replace("_", " ")


def sentence(checks: Sequence[Checks], arm: str) -> str:
    """What the checks found of one arm, over all workloads; empty if it checked nothing."""
    tallies = [(metric, tally) for one in checks for metric, tally in one.of_arm(arm).items()]
    if not tallies:
        return ""
    if all(tally.held == 0 for _, tally in tallies):
        return f"none of {len(tallies)} claims holds."
    broken = [f"{claim(metric)}{_partly(tally)}" for metric, tally in tallies if not tally.holds]
    held = f"{len(tallies) - len(broken)} of {len(tallies)} claims hold"
    if not broken:
        return f"{held}."
    more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    return f"{held}; broken: {'; '.join(broken[:_NAMED])}{more}."


def total(checks: Sequence[Checks], arm: str) -> str:
    """How many claims hold in ``arm`` over all workloads: ``34 of 36 hold``."""
    return _total([tally for one in checks for tally in one.of_arm(arm).values()])


def _total(tallies: Sequence[Tally]) -> str:
    return f"{sum(tally.holds for tally in tallies)} of {len(tallies)} hold" if tallies else "not checked"


def _partly(tally: Tally) -> str:
    return f" (in {tally.n - tally.held} of {tally.n} trials)" if tally.held else ""


def _case(workload: str, params: str, arms: tuple[str, ...], rows: pd.DataFrame) -> Checks:
    orders: list[list[str]] = []
    outcomes: dict[tuple[str, str], list[bool]] = {}
    for (_, arm), trial in rows.groupby(["trial", "arm"], observed=True, sort=False):
        holds = (trial["value"] == 1).groupby(trial["metric"], observed=True, sort=False).all()
        orders.append([str(metric) for metric in holds.index])
        for metric, held in holds.items():
            outcomes.setdefault((str(metric), str(arm)), []).append(bool(held))
    # The trial with most claims gives their order: another may have stopped early.
    metrics = dict.fromkeys(metric for order in sorted(orders, key=len, reverse=True) for metric in order)
    claims = {
        metric: {
            arm: Tally(sum(outcomes[metric, arm]), len(outcomes[metric, arm]))
            for arm in arms
            if (metric, arm) in outcomes
        }
        for metric in metrics
    }
    emulated = frozenset(str(arm) for arm in rows[rows["accel"] == "tcg"]["arm"].unique())
    return Checks(workload, params, arms, emulated, claims)
