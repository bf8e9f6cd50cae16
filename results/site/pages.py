"""The pages of a site, from what they show to HTML. Everything that comes from a run is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup, escape

from results.charts.quantities import MISSING, interval, quantity, ratio
from results.report.page import HERE, environment, policy
from results.report.trials import LINKS
from results.site.output import digest, file_name
from results.site.plot import Plot, draw, readable
from results.site.runs import RunSummary
from results.site.trend import ChangeSummary, PageSummary, Trend

_HERE = Path(__file__).parent

_BESIDE = re.compile(rf'<a href="(?!#|https?:)[^"]*">[^<]*</a>|<p>{re.escape(escape(LINKS))}</p>')
"""A link out of a report, which is one file and links to nothing but itself, the Web, and what lies beside it; and what
it says of such links."""

EMULATION = "Software emulation"


@dataclass(frozen=True, slots=True)
class _Card:
    trend: Trend
    plot: Plot
    latest: str


def index_page(runs: Sequence[RunSummary]) -> str:
    """The list of runs, newest first."""
    return _render(
        "index",
        "Runs",
        runs=runs,
        suites=len({run.suite for run in runs}),
        duration=lambda seconds: MISSING if seconds is None else quantity(seconds, "s", 2),
    )


def trend_page(trends: Sequence[Trend], limited: int | None) -> str:
    """The trends of one workload in one lineage; ``limited`` is how many points each has at the most, if it is so."""
    groups: dict[str, list[_Card]] = {}
    for trend in trends:
        latest = quantity(trend.points[-1].value, trend.unit)
        name = EMULATION if trend.accel == "tcg" else "What the workload measures" if trend.primary else "Other metrics"
        groups.setdefault(name, []).append(_Card(trend, draw(trend, _described(trend, latest)), latest))
    ordered = {name: groups[name] for name in sorted(groups, key=lambda name: (name == EMULATION, name[0] != "W"))}
    first = trends[0]
    return _render(
        "trend",
        f"{first.workload} over time",
        page="",
        root="../../",
        lineage=first.lineage,
        groups=ordered,
        limited=limited,
        ratio=ratio,
        interval=interval,
    )


def trends_page(pages: Sequence[PageSummary]) -> str:
    """The list of all pages of trends."""
    return _render(
        "trends",
        "Trends",
        pages=sorted(pages, key=lambda page: (page.lineage.suite, page.newest), reverse=True),
    )


def regressions_page(changes: Sequence[ChangeSummary]) -> str:
    """What got worse and is open, and what is acknowledged; the newest first."""
    newest_first = sorted(changes, key=lambda each: each.since, reverse=True)
    return _render(
        "regressions",
        "Regressions",
        open=[each for each in newest_first if each.change.is_open],
        known=[each for each in newest_first if each.change.reason is not None],
        ratio=ratio,
        interval=interval,
    )


def of_site(report: str) -> str:
    """A run's report as a page of the site.

    With a link to the index before everything else, and without those to files beside the report, which stay in the
    store: the logs of trials.
    """
    link = '<p class="way-back"><a href="../index.html">← All runs</a></p>'
    before, body, after = _BESIDE.sub("", report).partition("<body>")
    if not body:
        raise ValueError("the report has no <body>")
    return f"{before}{body}\n{link}{after}"


def _described(trend: Trend, latest: str) -> str:
    changes = len(trend.changes)
    told = "no change of level" if not changes else "one change" if changes == 1 else f"{changes} changes"
    return (
        f"{trend.metric} of {trend.arm} over {len(trend.points)} runs, from {readable(trend.points[0].started)} to "
        f"{readable(trend.points[-1].started)}; {latest} at last; {told}"
    )


@cache
def look() -> str:
    """Changes when the look of our pages does."""
    ours = (*(_HERE / "templates").iterdir(), *_HERE.glob("*.css"), *_HERE.glob("*.js"), *_HERE.glob("*.py"))
    shared = (HERE / name for name in ("style.css", "page.js", "layout.html.jinja"))
    return digest("".join(map(_read, (*sorted(ours), *shared))))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """The report's, with a style and a script more."""
    made = environment(_HERE / "templates")
    script = (HERE / "page.js").read_text(encoding="utf-8") + (_HERE / "site.js").read_text(encoding="utf-8")
    made.globals |= {
        "style": Markup(
            (HERE / "style.css").read_text(encoding="utf-8") + (_HERE / "site.css").read_text(encoding="utf-8")
        ),
        "script": Markup(script),
        "policy": policy(script),
        "readable": readable,
        "file_name": file_name,
    }
    return made


def _render(name: str, title: str, **values: object) -> str:
    context = {"page": f"{name}.html", "root": "", "title": title, **values}
    return _environment().get_template(f"{name}.html.jinja").render(context)
