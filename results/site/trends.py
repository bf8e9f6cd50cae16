"""The trends of a store: where history becomes what pages show. Only what has a new run is worked out again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

from results.history.series import Series, series_of
from results.site.output import Output, digest
from results.site.pages import look, trend_page
from results.site.trend import (
    ChangeSummary,
    Lineage,
    PageSummary,
    Trend,
    TrendChange,
    TrendPoint,
    Turn,
    by_page,
    summarise_changes,
    summarise_page,
)
from results.stats.change_points import find_shifts

if TYPE_CHECKING:
    from results.records import Acknowledgement, RunRecord
    from results.store import Store

MOST_POINTS = 400
"""Of a chart; a year of nights, and more than a screen has room for. `bench history` has them all."""


def write_trends(
    store: Store, runs: Sequence[RunRecord], output: Output, telling: Callable[[str], None]
) -> tuple[list[PageSummary], list[ChangeSummary]]:
    """Write the page of every workload in every lineage, and say what is on them.

    Args:
        store: open.
        runs: all that have ended; those that are not complete have no point.
        output: where the pages go.
        telling: is told what is done.

    Raises:
        StoreError: the store cannot be read.
    """
    pages: list[PageSummary] = []
    changes: list[ChangeSummary] = []
    known = store.acknowledgements()
    for lineage, own in _lineages(runs).items():
        of_suite = [each for each in known if each.suite == lineage.suite]
        state = _state(own, of_suite)
        remembered = output.recall(f"lineage {lineage.name}", state)
        if remembered is not None and all(output.is_current(page["page"], state) for page in remembered["pages"]):
            new_pages = [_page_from_plain(plain) for plain in remembered["pages"]]
            new_changes = [_change_from_plain(plain) for plain in remembered["changes"]]
            for page in new_pages:
                output.keep(page.page)
        else:
            telling(f"trends of {lineage.suite} on {lineage.host}")
            trends = [_trend(lineage, series, of_suite) for series in series_of(store, own)]
            new_pages = [_write_page(page, each, state, output) for page, each in by_page(trends).items()]
            new_changes = summarise_changes(trends)
        plain = {"pages": [asdict(page) for page in new_pages], "changes": [asdict(each) for each in new_changes]}
        output.remember(f"lineage {lineage.name}", state, plain)
        pages += new_pages
        changes += new_changes
    return pages, changes


def _lineages(runs: Sequence[RunRecord]) -> dict[Lineage, list[RunRecord]]:
    """Complete runs by what they have in common, the earliest first and not more than a chart has room for."""
    found: dict[Lineage, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.id)):
        if run.status == "complete":
            lineage = Lineage(run.suite, run.suite_hash, run.image, run.host_fingerprint)
            found.setdefault(lineage, []).append(run)
    return {lineage: own[-MOST_POINTS:] for lineage, own in found.items()}


def _state(runs: Sequence[RunRecord], known: Sequence[Acknowledgement]) -> str:
    """Changes when anything does that pages of these runs show."""
    return digest(repr(([run.id for run in runs], [astuple(each) for each in known], look())))


def _write_page(page: str, trends: Sequence[Trend], state: str, output: Output) -> PageSummary:
    limited = max(len(trend.points) for trend in trends) >= MOST_POINTS
    output.write(page, trend_page(trends, MOST_POINTS if limited else None), made_from=state)
    return summarise_page(page, trends)


def _page_from_plain(plain: dict[str, Any]) -> PageSummary:
    return PageSummary(**{**plain, "lineage": Lineage(**plain["lineage"])})


def _change_from_plain(plain: dict[str, Any]) -> ChangeSummary:
    return ChangeSummary(**{**plain, "change": TrendChange(**plain["change"])})


def _trend(lineage: Lineage, series: Series, known: Sequence[Acknowledgement]) -> Trend:
    key = series.key
    points = [
        TrendPoint(run.id, run.started, float(value), len(trials))
        for run, value, trials in zip(series.runs, series.values, series.trials, strict=True)
    ]
    return Trend(
        lineage=lineage,
        workload=key.workload,
        params=key.params,
        arm=key.arm,
        accel=key.accel,
        metric=key.metric,
        unit=series.unit,
        better=series.better,
        primary=series.primary,
        points=tuple(points),
        changes=tuple(_changes(series, known)),
    )


def _changes(series: Series, known: Sequence[Acknowledgement]) -> Iterator[TrendChange]:
    threshold = series.runs[-1].threshold
    shifts = find_shifts(series.values.tolist(), threshold)
    reasons = {each.run: each.reason for each in known if _is_of(each, series)}
    for at, shift in enumerate(shifts):
        run = series.runs[shift.index].id
        turn = _turn(shift.ratio, series.better)
        # Later changes may have undone it.
        since = _turn(math.prod(later.ratio for later in shifts[at:]), series.better, threshold)
        reason = reasons.get(run)
        yield TrendChange(
            run=run,
            kind=shift.kind,
            ratio=shift.ratio,
            low=shift.interval[0],
            high=shift.interval[1],
            turn=turn,
            reason=reason,
            is_open=reason is None and turn == since == "worse",
        )


def _turn(ratio: float, better: str, threshold: float = 0.0) -> Turn:
    """Whether a new level is better than the old one by more than a threshold, worse, or neither."""
    if better == "neutral" or 1 / (1 + threshold) <= ratio <= 1 + threshold:
        return "neutral"
    return "better" if (ratio > 1) == (better == "higher") else "worse"


def _is_of(known: Acknowledgement, series: Series) -> bool:
    key = series.key
    return (known.workload, known.params, known.arm, known.accel, known.metric) == (
        key.workload,
        key.params,
        key.arm,
        key.accel,
        key.metric,
    )
