"""What a trend page shows of a series: free of where it comes from, and of how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from results.site.output import digest, file_name
from results.trials import natural

Turn = Literal["better", "worse", "neutral"]


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One run of a series.

    Attributes:
        run: its id.
        started: ISO 8601, UTC.
        value: the median over the run's trials, in the trend's unit.
        n: how many trials that is of.
    """

    run: str
    started: str
    value: float
    n: int


@dataclass(frozen=True, slots=True)
class TrendChange:
    """A change of level.

    Attributes:
        run: the first of the new level.
        kind: ``step`` or ``drift``.
        ratio: the new level divided by the one before.
        low: lower end of its 95 % confidence interval; None without one.
        high: the upper end.
        turn: whether it got better or worse.
        reason: why it is known; None for one that is not acknowledged.
        is_open: whether it is a regression that is in effect still.
        id: what ``bench ack`` takes.
    """

    run: str
    kind: str
    ratio: float
    low: float | None
    high: float | None
    turn: Turn
    reason: str | None
    is_open: bool
    id: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """What runs must have in common to be of one trend.

    Attributes:
        suite: name of the suite.
        suite_hash: of the suite as run.
        image: id of the image.
        host: fingerprint of the host.
    """

    suite: str
    suite_hash: str
    image: str
    host: str

    @property
    def name(self) -> str:
        """Unique, and fit for a file's name."""
        return file_name(f"{self.suite}-{digest(repr(self))[:8]}")


@dataclass(frozen=True, slots=True)
class Trend:
    """A metric of an arm over the runs of a lineage.

    Attributes:
        lineage: that of its runs.
        workload: name of the workload.
        params: its parameters as one string.
        arm: name of the arm.
        accel: of its trials: ``tcg`` is emulated.
        metric: name of the metric.
        unit: of the values.
        better: which direction is the good one.
        primary: whether the workload names it as what it measures foremost.
        points: in the order of time; at least one.
        changes: likewise.
    """

    lineage: Lineage
    workload: str
    params: str
    arm: str
    accel: str
    metric: str
    unit: str
    better: str
    primary: bool
    points: tuple[TrendPoint, ...]
    changes: tuple[TrendChange, ...]

    @property
    def page(self) -> str:
        """The file of the page that it is on, relative to the site."""
        return f"trends/{self.lineage.name}/{file_name(self.workload)}.html"

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return f"t-{digest(repr((self.params, self.arm, self.accel, self.metric)))[:10]}"

    def index_of(self, run: str) -> int | None:
        """Which of the points is of a run."""
        return next((at for at, point in enumerate(self.points) if point.run == run), None)


@dataclass(frozen=True, slots=True)
class PageSummary:
    """What the list of trends says of a page.

    Attributes:
        page: its file, relative to the site.
        lineage: of its trends.
        workload: name of the workload.
        series: how many trends it has.
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


@dataclass(frozen=True, slots=True)
class ChangeSummary:
    """What the list of regressions says of a change.

    Attributes:
        place: where its chart is, relative to the site.
        suite: name of the suite.
        host: fingerprint of the host.
        workload: name of the workload.
        params: its parameters.
        arm: name of the arm.
        accel: of its trials.
        metric: name of the metric.
        since: when the first run of the new level began.
        change: the change.
    """

    place: str
    suite: str
    host: str
    workload: str
    params: str
    arm: str
    accel: str
    metric: str
    since: str
    change: TrendChange


def summarise_page(page: str, trends: Sequence[Trend]) -> PageSummary:
    """One page at a glance."""
    changes = [change for trend in trends for change in trend.changes]
    return PageSummary(
        page=page,
        lineage=trends[0].lineage,
        workload=trends[0].workload,
        series=len(trends),
        runs=len({point.run for trend in trends for point in trend.points}),
        newest=max(trend.points[-1].started for trend in trends),
        open=sum(change.is_open for change in changes),
        known=sum(change.reason is not None for change in changes),
    )


def summarise_changes(trends: Sequence[Trend]) -> list[ChangeSummary]:
    """The changes that somebody has to know of, or knows of: open or acknowledged."""
    return [
        ChangeSummary(
            place=f"{trend.page}#{trend.anchor}",
            suite=trend.lineage.suite,
            host=trend.lineage.host,
            workload=trend.workload,
            params=trend.params,
            arm=trend.arm,
            accel=trend.accel,
            metric=trend.metric,
            since=trend.points[at].started,
            change=change,
        )
        for trend in trends
        for change in trend.changes
        if (change.is_open or change.reason is not None) and (at := trend.index_of(change.run)) is not None
    ]


def by_page(trends: Sequence[Trend]) -> dict[str, list[Trend]]:
    """The trends of each page: what a workload measures foremost first, then by metric, case and arm."""
    pages: dict[str, list[Trend]] = {}
    for trend in sorted(trends, key=_order):
        pages.setdefault(trend.page, []).append(trend)
    return pages


def _order(trend: Trend) -> tuple[object, ...]:
    case = natural((trend.metric, trend.params))
    return (trend.lineage.suite, trend.workload, not trend.primary, case, trend.arm)
