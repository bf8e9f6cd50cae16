"""The pages of trends: series of the store's history with their changes. Only what has a new run is read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from itertools import groupby
from typing import TYPE_CHECKING

from results.history.changes import Change, WithChanges, changes_of
from results.history.policy import Policy
from results.history.series import Lineage, Series, series_of
from results.records import CONFIRMING
from results.site.output import Output, digest
from results.site.pages import look, trend_page
from results.site.places import name_of
from results.site.summaries import ChangeSummary, PageSummary
from results.trials import natural

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
        (lineage.suite, lineage.host_fingerprint): lineage
        for lineage in sorted(lineages, key=lambda each: _age(lineages[each]))
    }
    for lineage, own in lineages.items():
        is_current = current[lineage.suite, lineage.host_fingerprint] == lineage
        of_suite = [each for each in known if each.suite == lineage.suite]
        policy = policy_of(own[-1])
        name, state = f"lineage {name_of(lineage)}", _state(own, of_suite, policy, is_current)
        remembered = output.recall(name, state)
        if remembered is not None and all(output.is_current(page["page"], state) for page in remembered["pages"]):
            new_pages = [PageSummary.from_plain(plain) for plain in remembered["pages"]]
            new_changes = [ChangeSummary.from_plain(plain) for plain in remembered["changes"]]
            for page in new_pages:
                output.keep(page.page)
        else:
            telling(f"trends of {lineage.suite} on {lineage.host_fingerprint}")
            trends = [(series, _watched(series, policy, of_suite)) for series in _series(store, own, policy)]
            new_pages, new_changes = _write_pages(lineage, trends, output, state, is_current=is_current)
        plain = {"pages": [each.plain() for each in new_pages], "changes": [each.plain() for each in new_changes]}
        output.remember(name, state, plain)
        pages += new_pages
        changes += new_changes
    return pages, changes


def _lineages(runs: Sequence[RunRecord]) -> dict[Lineage, list[RunRecord]]:
    """Complete runs by what they have in common, the earliest first and not more than a chart has room for."""
    found: dict[Lineage, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.id)):
        if run.status == "complete" and not run.suite.endswith(CONFIRMING):
            found.setdefault(Lineage.of(run), []).append(run)
    return {lineage: own[-MOST_POINTS:] for lineage, own in found.items()}


def _age(runs: Sequence[RunRecord]) -> tuple[str, str]:
    return runs[-1].started, runs[-1].id


def _state(runs: Sequence[RunRecord], known: Sequence[Acknowledgement], policy: Policy, is_current: bool) -> str:
    """Changes when anything does that pages of these runs show."""
    return digest(repr(([run.id for run in runs], [astuple(each) for each in known], policy, is_current, look())))


def _series(store: Store, runs: Sequence[RunRecord], policy: Policy) -> list[Series]:
    """The series of runs by workload, what it measures foremost first, then by metric, case and arm."""
    return sorted(map(policy.directed, series_of(store, runs)), key=_order)


def _order(series: Series) -> tuple[object, ...]:
    key = series.key
    return key.workload, not series.primary, natural((key.metric, key.params)), key.arm


def _watched(series: Series, policy: Policy, known: Sequence[Acknowledgement]) -> list[Change]:
    """The changes of a series; of what is not watched, none."""
    metric = series.key.metric
    return [] if policy.rule(metric).ignored else changes_of(series, policy.threshold_of(metric), known)


def _write_pages(
    lineage: Lineage, trends: Sequence[WithChanges], output: Output, state: str, *, is_current: bool
) -> tuple[list[PageSummary], list[ChangeSummary]]:
    """Write the pages of a lineage whose series lie together by workload."""
    pages: list[PageSummary] = []
    changes: list[ChangeSummary] = []
    for workload, group in groupby(trends, key=lambda each: each[0].key.workload):
        shown = list(group)
        listed = _listed(lineage, shown, is_current=is_current)
        summary = PageSummary.of(lineage, workload, shown, listed)
        limited = MOST_POINTS if max(len(series.runs) for series, _ in shown) >= MOST_POINTS else None
        page = trend_page(lineage, workload, shown, is_current=is_current, limited=limited)
        output.write(summary.page, page, made_from=state)
        pages.append(summary)
        changes += listed
    return pages, changes


def _listed(lineage: Lineage, trends: Sequence[WithChanges], *, is_current: bool) -> list[ChangeSummary]:
    """The changes that somebody has to know of, or knows of: open or acknowledged."""
    every = [ChangeSummary.of(lineage, change, is_current=is_current) for _, changes in trends for change in changes]
    return [each for each in every if each.is_open or each.is_known]
