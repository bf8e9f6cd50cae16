"""What the lists of trends and regressions say, remembered from update to update: to know it anew, samples are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from results.history.changes import Change, WithChanges
from results.history.data import change_data
from results.history.regress import NIGHTS
from results.history.series import Lineage, SeriesKey
from results.site.places import anchor_of, place_of_trends


@dataclass(frozen=True, slots=True)
class PageSummary:
    """What the list of trends says of a page.

    Attributes:
        page: its file, relative to the site.
        lineage: of its series.
        workload: name of the workload.
        series: how many it has.
        runs: how many runs these have.
        newest: when the last of them began, ISO 8601, UTC.
        open: how many regressions are in effect and not acknowledged.
        known: how many changes are acknowledged.
    """

    page: str
    lineage: Lineage
    workload: str
    series: int
    runs: int
    newest: str
    open: int
    known: int

    @classmethod
    def of(
        cls, lineage: Lineage, workload: str, trends: Sequence[WithChanges], listed: Sequence[ChangeSummary]
    ) -> PageSummary:
        """That of the page with these series; ``listed`` are those of their changes that are open or acknowledged."""
        return cls(
            page=place_of_trends(lineage, workload),
            lineage=lineage,
            workload=workload,
            series=len(trends),
            runs=len({run.id for series, _ in trends for run in series.runs}),
            newest=max(series.runs[-1].started for series, _ in trends),
            open=sum(each.is_open for each in listed),
            known=sum(each.is_known for each in listed),
        )

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> PageSummary:
        """What :meth:`plain` gave, after it was JSON."""
        return cls(**{**plain, "lineage": Lineage(**plain["lineage"])})

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ChangeSummary:
    """What the list of regressions says of a change.

    Attributes:
        place: where its chart is, relative to the site.
        host: fingerprint of the host.
        key: of its series.
        is_open: whether it is a regression that is in effect and not acknowledged.
        change: it, as :func:`results.history.data.change_data` has it.
    """

    place: str
    host: str
    key: SeriesKey
    is_open: bool
    change: Mapping[str, Any]

    @property
    def is_known(self) -> bool:
        """Whether somebody has acknowledged it."""
        return self.change["acknowledged"] is not None

    @classmethod
    def of(cls, lineage: Lineage, change: Change, *, is_current: bool) -> ChangeSummary:
        """That of a change; it is open only where the suite is still run on the host as in this lineage."""
        key = change.series.key
        return cls(
            place=f"{place_of_trends(lineage, key.workload)}#{anchor_of(key)}",
            host=lineage.host_fingerprint,
            key=key,
            is_open=is_open(change, is_current=is_current),
            change=change_data(change),
        )

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ChangeSummary:
        """What :meth:`plain` gave, after it was JSON."""
        return cls(**{**plain, "key": SeriesKey(**plain["key"])})

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return asdict(self)


def is_open(change: Change, *, is_current: bool) -> bool:
    """Whether a change is one that ``bench regress`` gives alarm of: neither what was before the suite, image or host
    changed, nor what is longer ago than it looks.

    Args:
        change: of a series that ends with the newest run of its lineage.
        is_current: whether its lineage is the newest of the suite on the host.
    """
    return is_current and change.alarming and change.shift.index >= len(change.series.runs) - NIGHTS
