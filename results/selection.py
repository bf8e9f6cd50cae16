"""Which rows of a run's figures are shown, and in which order. Nothing here changes what a row says."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from results.compare import Comparison
from results.errors import SelectionError
from results.records import INSTANCE_METRICS, is_part
from results.summary import Summary
from results.trials import WorkloadCase, choose_reference, natural

if TYPE_CHECKING:
    import pandas as pd


class Named(Protocol):
    """A row about one metric of one workload case in one arm."""

    @property
    def workload(self) -> str: ...
    @property
    def params(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def arm(self) -> str: ...


Row = TypeVar("Row", bound=Named)
Told = TypeVar("Told", bound=Comparison | Summary)
Compared = TypeVar("Compared", bound=Comparison)

COMPARISON_ORDERS = ("ratio", "effect", "verdict", "workload", "metric", "arm")
"""``ratio``: the greatest first; ``effect``: the farthest from 1 first, either way; ``verdict``: what is worse, then
better, then undecided, then the same, each by effect."""

SUMMARY_ORDERS = ("spread", "workload", "metric", "arm")
"""``spread``: the widest first, by the distance of the quartiles relative to the median."""

_DETAILS = ("cpus_used", "pids_peak")
"""Neutral metrics of every trial that stand for themselves, and are details all the same."""

_VERDICTS = ("worse", "better", "inconclusive", "same")


def case_name(workload: str, params: str) -> str:
    """A workload case as it is shown and as a pattern may name it: ``fio bs=4k rw=read``."""
    return f"{workload} {params.replace(',', ' ')}".rstrip()


@dataclass(frozen=True, slots=True)
class Selection:
    """Shell patterns (fnmatch) that a row must match: of each kind any, and all kinds of which there are some.

    Attributes:
        workloads: of a workload's name alone, or of :func:`case_name`.
        metrics: of a metric's name.
        arms: of an arm's name.
    """

    workloads: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()

    def keeps(self, row: Named) -> bool:
        """Whether a row is shown."""
        names = {"workload": _workload_names(row), "metric": (row.metric,), "arm": (row.arm,)}
        return all(
            not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names[kind])
            for kind, patterns in self._kinds()
        )

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that are shown, in their order."""
        return [row for row in rows if self.keeps(row)]

    def checked(self, rows: Sequence[Row]) -> list[Row]:
        """The same, for all rows that there are.

        Raises:
            SelectionError: a pattern matches none of them, or none matches all kinds; the nearest names are told.
        """
        names: dict[str, tuple[tuple[str, ...], ...]] = {
            "workload": tuple(_workload_names(row) for row in rows),
            "metric": tuple((row.metric,) for row in rows),
            "arm": tuple((row.arm,) for row in rows),
        }
        for kind, patterns in self._kinds():
            there = list(dict.fromkeys(name for of_row in names[kind] for name in of_row))
            for pattern in patterns:
                if rows and not any(fnmatchcase(name, pattern) for name in there):
                    firsts = list(dict.fromkeys(of_row[0] for of_row in names[kind]))
                    raise SelectionError(f"no {kind} here matches {pattern!r}; {nearest(pattern, firsts)}")
        kept = self.of(rows)
        if rows and not kept:
            asked = " and ".join(f"{kind} {' or '.join(patterns)}" for kind, patterns in self._kinds() if patterns)
            raise SelectionError(f"nothing here is of {asked} at once: ask for less")
        return kept

    def _kinds(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return ("workload", self.workloads), ("metric", self.metrics), ("arm", self.arms)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked for, so that all is shown."""
        return not (self.workloads or self.metrics or self.arms)

    def of_frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The samples that are about what is shown."""
        import pandas as pd

        if self.is_everything or frame.empty:
            return frame
        columns = ["workload", "params", "metric", "arm"]
        named = frame[columns].drop_duplicates()
        rows: list[Any] = list(named.itertuples(index=False))
        kept = named[[self.keeps(row) for row in rows]]
        return frame[pd.MultiIndex.from_frame(frame[columns]).isin(pd.MultiIndex.from_frame(kept))]


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class View:
    """What of a run is shown, and how.

    Attributes:
        selection: the rows.
        order: one of :data:`COMPARISON_ORDERS` or :data:`SUMMARY_ORDERS`, for one list of all; None for a table a
            workload case, in the order of the suite.
    """

    selection: Selection = EVERYTHING
    order: str | None = None


AS_IT_IS = View()


def shown_of(rows: Sequence[Told], selection: Selection = EVERYTHING) -> list[Told]:
    """The rows to show of those that were selected, by workload case, that of the instances themselves first; in a
    case primary metrics first.

    Left out are parts of a metric (``startup.exec``, ``memory.file``) and other details, with which a run is hundreds
    of lines, and in all cases but one what instances have before any workload has touched them; but who asks for
    metrics gets all of them.

    Args:
        rows: all that there are.
        selection: which of them are asked for.
    """
    reference, places = _places(rows)

    def is_shown(row: Told) -> bool:
        of_instance = row.metric in INSTANCE_METRICS
        is_detail = is_part(row.metric) or row.metric in _DETAILS
        return (row.primary or not is_detail) and (case_of(row) == reference or not of_instance)

    kept = [row for row in selection.of(rows) if selection.metrics or is_shown(row)]
    return sorted(kept, key=lambda row: (places[case_of(row)], not row.primary))


def _places(rows: Sequence[Told]) -> tuple[WorkloadCase | None, dict[WorkloadCase, int]]:
    """The case that stands for the instances themselves, and in which order cases are shown: that one first."""
    arms: dict[tuple[str, str], set[str]] = {case: set() for case in sorted(map(case_of, rows), key=natural)}
    for row in rows:
        arms[case_of(row)].add(row.arm)
        if isinstance(row, Comparison) and row.baseline_median is not None:
            arms[case_of(row)].add(row.baseline)
    reference = choose_reference({case: len(names) for case, names in arms.items()})
    places = {case: place for place, case in enumerate(arms)} | ({reference: -1} if reference else {})
    return reference, places


def left_out(rows: Sequence[Told], shown: Sequence[Told]) -> str:
    """What :func:`shown_of` has left out of the rows that were selected, in words; empty for nothing."""
    if len(rows) == len(shown):
        return ""
    kept = set(map(id, shown))
    missing = [row.metric for row in rows if id(row) not in kept]
    details = [metric for metric in missing if is_part(metric) or metric in _DETAILS]
    named = list(dict.fromkeys(f"{metric.split('.')[0]}.*" if is_part(metric) else metric for metric in details))
    if len(details) < len(missing):
        named.append("startup and footprint of further workloads")
    count = f"{len(missing)} row{'s' if len(missing) > 1 else ''}"
    return f"Not shown: {count} ({', '.join(named)}); --metric NAME or --format json has them."


def case_of(row: Comparison | Summary) -> WorkloadCase:
    """The workload case of a row."""
    return row.workload, row.params


def metric_of(row: Comparison | Summary) -> str:
    """The metric of a row."""
    return row.metric


def nearest(text: str, names: Sequence[str]) -> str:
    """What there is near a name that there is not: ``did you mean 'iops'?``, else the first of what there is."""
    near = difflib.get_close_matches(text, names, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    listed = ", ".join(names[:8])
    return f"there are {listed}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def sorted_comparisons(rows: Sequence[Compared], order: str | None) -> list[Compared]:
    """The rows in one of :data:`COMPARISON_ORDERS`, those that are equal in it as they were; without ratio last."""
    if order is None:
        return list(rows)
    places = _arm_places(rows)
    orders: dict[str, Callable[[Compared], Any]] = {
        "ratio": lambda row: -math.inf if row.ratio is None else row.ratio,
        "effect": _effect,
        "verdict": lambda row: (-_VERDICTS.index(row.verdict), _effect(row)),
    }
    if order in orders:
        return sorted(rows, key=orders[order], reverse=True)
    return _by_name(rows, order, places)


def sorted_summaries(rows: Sequence[Summary], order: str | None) -> list[Summary]:
    """The rows in one of :data:`SUMMARY_ORDERS`, those that are equal in it as they were."""
    if order is None:
        return list(rows)
    if order == "spread":
        return sorted(rows, key=spread, reverse=True)
    return _by_name(rows, order, _arm_places(rows))


def _by_name(rows: Sequence[Row], order: str, places: dict[str, int]) -> list[Row]:
    orders: dict[str, Callable[[Row], Any]] = {
        "workload": lambda row: natural((row.workload, row.params)),
        "metric": lambda row: row.metric,
        "arm": lambda row: places[row.arm],
    }
    return sorted(rows, key=orders[order])


def _arm_places(rows: Iterable[Named]) -> dict[str, int]:
    return {arm: place for place, arm in enumerate(dict.fromkeys(row.arm for row in rows))}


def _effect(row: Comparison) -> float:
    if row.ratio is None:
        return -math.inf
    return abs(math.log(row.ratio)) if row.ratio > 0 else math.inf


def spread(row: Summary) -> float:
    """The distance of the quartiles as a share of the median; infinite where the median is zero and they differ."""
    width = row.quartile_high - row.quartile_low
    return width / abs(row.median) if row.median else math.inf if width else 0.0


def _workload_names(row: Named) -> tuple[str, str]:
    return row.workload, case_name(row.workload, row.params)
