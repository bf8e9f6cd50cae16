"""Which runs of a store are old enough to go."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.records import RunRecord

_KEEP = re.compile(r"(?P<number>[1-9][0-9]{0,5})(?P<unit>[hdw]?)", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of a suite's history stays.

    Attributes:
        runs: the newest so many complete runs; None where it goes by age.
        age: runs that began within this time; None where it goes by number.
    """

    runs: int | None
    age: timedelta | None


def parse_keep(text: str) -> Keep:
    """``30``: thirty complete runs; ``90d``, ``12w``, ``36h``: those that began within this time.

    Raises:
        ValueError: it is neither.
    """
    match = _KEEP.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a number of runs such as 30, or an age such as 90d, 12w or 36h, got '{text}'")
    number = int(match["number"])
    return Keep(None, number * _UNITS[match["unit"]]) if match["unit"] else Keep(number, None)


def outdated(
    runs: Sequence[RunRecord],
    suite: str,
    keep: Keep,
    protected: Collection[str],
    companions: Collection[str] = (),
    now: datetime | None = None,
) -> list[RunRecord]:
    """Runs of ``suite`` that need not be kept, oldest first.

    A run that is still going, the newest run, the newest complete run and ``protected`` ones always stay. Runs that
    did not complete do not count, so that a month of failures does not push the good runs out; they go when they are
    older than every run that is kept.

    Args:
        runs: of a store, in any order; those of other suites are left alone.
        suite: name of the suite.
        keep: how much stays.
        protected: ids of runs that stay whatever their age, such as baselines.
        companions: suites whose runs only belong to those of ``suite``, and go when they are as old.
        now: the present moment, with its zone.
    """
    own = sorted((run for run in runs if run.suite == suite), key=_began, reverse=True)
    complete = [run for run in own if run.status == "complete"]
    oldest = _oldest(complete, keep, now or datetime.now(UTC))
    if oldest is None:
        return []
    spared = {*protected, *(run.id for run in (*own[:1], *complete[:1]))}
    old = (run for run in runs if run.suite in {suite, *companions} and _began(run) < oldest)
    return sorted((run for run in old if run.id not in spared and run.status != "running"), key=_began)


def _oldest(complete: Sequence[RunRecord], keep: Keep, now: datetime) -> datetime | None:
    """What began before this may go; None where there is not enough for anything to go."""
    if keep.age is not None:
        return now - keep.age
    assert keep.runs is not None
    return _began(complete[keep.runs - 1]) if len(complete) >= keep.runs else None


def _began(run: RunRecord) -> datetime:
    return datetime.fromisoformat(run.started)
