"""The pages of a site, from what they show to HTML. Everything that comes from a run is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup, escape

from results.charts.quantities import MISSING, interval, moment, quantity, ratio
from results.history.changes import Change, WithChanges
from results.history.series import Lineage, Series
from results.history.wording import turn
from results.report.page import HERE, VERDICT_SIGNS, environment, policy
from results.report.trials import LINKS
from results.site.output import digest
from results.site.places import anchor_of, place_of_run
from results.site.plot import Plot, draw
from results.site.runs import RunSummary
from results.site.summaries import ChangeSummary, PageSummary, is_open

_HERE = Path(__file__).parent
_RESULTS = _HERE.parent

_BESIDE = re.compile(rf'<a href="(?!#|https?:)[^"]*">[^<]*</a>|<p>{re.escape(escape(LINKS))}</p>')
"""A link out of a report, which is one file and links to nothing but itself, the Web, and what lies beside it; and what
it says of such links."""

EMULATION = "Software emulation"


@dataclass(frozen=True, slots=True)
class _Card:
    series: Series
    changes: Sequence[Change]
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


def trend_page(
    lineage: Lineage, workload: str, trends: Sequence[WithChanges], *, is_current: bool, limited: int | None = None
) -> str:
    """The series of one workload in one lineage.

    Args:
        lineage: of them all.
        workload: its name.
        trends: in the order in which they are shown.
        is_current: whether what got worse is an open regression: only where the suite is still run like this.
        limited: how many points each has at the most, if it is so.
    """
    groups: dict[str, list[_Card]] = {}
    for series, changes in trends:
        latest = quantity(float(series.values[-1]), series.unit)
        emulated = series.key.accel == "tcg"
        name = EMULATION if emulated else "What the workload measures" if series.primary else "Other metrics"
        plot = draw(series, changes, _described(series, changes, latest))
        groups.setdefault(name, []).append(_Card(series, changes, plot, latest))
    ordered = {name: groups[name] for name in sorted(groups, key=lambda name: (name == EMULATION, name[0] != "W"))}
    return _render(
        "trend",
        f"{workload} over time",
        page="",
        root="../../",
        lineage=lineage,
        groups=ordered,
        is_current=is_current,
        limited=limited,
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
    newest_first = sorted(changes, key=lambda each: each.change["started"], reverse=True)
    return _render(
        "regressions",
        "Regressions",
        open=[each for each in newest_first if each.is_open],
        known=[each for each in newest_first if each.is_known],
    )


def no_report_page(run_id: str, reason: str) -> str:
    """In the place of the report of a run of which none can be made, why so."""
    return _render("no_report", f"Run {run_id}", page="", root="../", reason=reason)


def is_whole(report: str) -> bool:
    """Whether a page has its end, and so all of it: :func:`of_site` can make a page of the site of it."""
    return "<body>" in report and report.rstrip().endswith("</html>")


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


def _described(series: Series, changes: Sequence[Change], latest: str) -> str:
    told = "no change of level" if not changes else "one change" if len(changes) == 1 else f"{len(changes)} changes"
    first, last = (moment(series.runs[at].started) for at in (0, -1))
    return (
        f"{series.key.metric} of {series.key.arm} over {len(series.runs)} runs, from {first} to {last}; "
        f"{latest} at last; {told}"
    )


@cache
def look() -> str:
    """Changes when the look of our pages does, or how what they show is found."""
    ours = (*(_HERE / "templates").iterdir(), *_HERE.glob("*.css"), *_HERE.glob("*.js"), *_HERE.glob("*.py"))
    shared = (HERE / name for name in ("style.css", "page.js", "layout.html.jinja"))
    found = (path for name in ("history", "stats") for path in (_RESULTS / name).glob("*.py"))
    written = _RESULTS / "charts" / "quantities.py"
    return digest("".join(map(_read, (*sorted(ours), *shared, *sorted(found), written))))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """The report's, with a style and a script more."""
    made = environment(_HERE / "templates")
    script = (HERE / "page.js").read_text(encoding="utf-8") + (_HERE / "site.js").read_text(encoding="utf-8")
    made.globals |= {
        "is_open": is_open,
        "signs": {**VERDICT_SIGNS, "neutral": "±"},
        "style": Markup(
            (HERE / "style.css").read_text(encoding="utf-8") + (_HERE / "site.css").read_text(encoding="utf-8")
        ),
        "script": Markup(script),
        "policy": policy(script),
        "moment": moment,
        "ratio": ratio,
        "interval": interval,
        "turn": turn,
        "place_of_run": place_of_run,
        "anchor_of": anchor_of,
    }
    return made


def _render(name: str, title: str, **values: object) -> str:
    context = {"page": f"{name}.html", "root": "", "title": title, **values}
    return _environment().get_template(f"{name}.html.jinja").render(context)
