"""The trends of a store: where history becomes what pages show. Only what has a new run is worked out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

from results.history.changes import Change, changes_of
from results.history.policy import Policy
from results.history.series import Series, series_of
from results.records import CONFIRMING
from results.site.output import Output, digest
from results.site.pages import look, trend_page
from results.site.trend import (
    ChangeSummary,
    Lineage,
    PageSummary,
    Trend,
    TrendChange,
    TrendPoint,
    by_page,
    summarise_changes,
    summarise_page,
)

if TYPE_CHECKING:
    from results.records import Acknowledgement, RunRecord
    from results.store import Store

MOST_POINTS = 400
"""Of a chart; a year of nights, and more than a screen has room for. `bench history` has them all."""


def write_trends(
    store: Store,
    runs: Sequence[RunRecord],
    output: Output,
    policy_of: Callable[[RunRecord], Policy],
    telling: Callable[[str], None],
) -> tuple[list[PageSummary], list[ChangeSummary]]:
    """Write the page of every workload in every lineage, and say what is on them.

    Args:
        store: open.
        runs: all that have ended; those that are not complete have no point.
        output: where the pages go.
        policy_of: what the suite of a run says of its history.
        telling: is told what is done.

    Raises:
        StoreError: the store cannot be read.
    """
    pages: list[PageSummary] = []
    changes: list[ChangeSummary] = []
    known = store.acknowledgements()
    lineages = _lineages(runs)
    current = {
        (lineage.suite, lineage.host): lineage for lineage in sorted(lineages, key=lambda each: _age(lineages[each]))
    }
    for lineage, own in lineages.items():
        is_current = current[lineage.suite, lineage.host] == lineage
        of_suite = [each for each in known if each.suite == lineage.suite]
        policy = policy_of(own[-1])
        state = _state(own, of_suite, policy, is_current)
        remembered = output.recall(f"lineage {lineage.name}", state)
        if remembered is not None and all(output.is_current(page["page"], state) for page in remembered["pages"]):
            new_pages = [_page_from_plain(plain) for plain in remembered["pages"]]
            new_changes = [_change_from_plain(plain) for plain in remembered["changes"]]
            for page in new_pages:
                output.keep(page.page)
        else:
            telling(f"trends of {lineage.suite} on {lineage.host}")
            trends = [_trend(lineage, series, of_suite, policy, is_current) for series in series_of(store, own)]
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
        if run.status == "complete" and not run.suite.endswith(CONFIRMING):
            lineage = Lineage(run.suite, run.suite_hash, run.image, run.host_fingerprint)
            found.setdefault(lineage, []).append(run)
    return {lineage: own[-MOST_POINTS:] for lineage, own in found.items()}


def _age(runs: Sequence[RunRecord]) -> tuple[str, str]:
    return runs[-1].started, runs[-1].id


def _state(runs: Sequence[RunRecord], known: Sequence[Acknowledgement], policy: Policy, is_current: bool) -> str:
    """Changes when anything does that pages of these runs show."""
    return digest(repr(([run.id for run in runs], [astuple(each) for each in known], policy, is_current, look())))


def _write_page(page: str, trends: Sequence[Trend], state: str, output: Output) -> PageSummary:
    limited = max(len(trend.points) for trend in trends) >= MOST_POINTS
    output.write(page, trend_page(trends, MOST_POINTS if limited else None), made_from=state)
    return summarise_page(page, trends)


def _page_from_plain(plain: dict[str, Any]) -> PageSummary:
    return PageSummary(**{**plain, "lineage": Lineage(**plain["lineage"])})


def _change_from_plain(plain: dict[str, Any]) -> ChangeSummary:
    return ChangeSummary(**{**plain, "change": TrendChange(**plain["change"])})


def _trend(
    lineage: Lineage, series: Series, known: Sequence[Acknowledgement], policy: Policy, is_current: bool
) -> Trend:
    """A series as it is shown; what got worse is open only where the suite is still run like this on the host."""
    key = series.key
    rule = policy.rule(key.metric)
    changes = [] if rule.ignored else changes_of(series, policy.threshold_of(key.metric), known, better=rule.better)
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
        better=rule.better or series.better,
        primary=series.primary,
        points=tuple(points),
        changes=tuple(_change(each, is_current) for each in changes),
    )


def _change(change: Change, is_current: bool) -> TrendChange:
    low, high = change.shift.interval
    return TrendChange(
        run=change.run.id,
        kind=change.shift.kind,
        ratio=change.shift.ratio,
        low=low,
        high=high,
        turn="neutral" if change.worse is None else "worse" if change.worse else "better",
        reason=None if change.known is None else change.known.reason,
        is_open=change.alarming and is_current,
        id=change.id,
    )
