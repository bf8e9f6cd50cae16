"""From a store to its site: what has not changed since the last update is neither read nor written again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from results.errors import StoreError
from results.history.policy import WATCH_ALL, Policy
from results.report import write_report
from results.site.output import Output, open_output
from results.site.pages import index_page, is_whole, no_report_page, of_site, regressions_page, trends_page
from results.site.places import place_of_run
from results.site.runs import RunSummary, state_of, summarise
from results.site.trends import write_trends

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store


@dataclass(frozen=True, slots=True)
class SiteUpdate:
    """What an update of a site did.

    Attributes:
        index: the page to begin with.
        written: files that were written.
        kept: files that were as they had to be.
        removed: files that were taken away, of runs that are gone.
    """

    index: Path
    written: int
    kept: int
    removed: int


def write_site(
    store: Store,
    directory: Path,
    policy_of: Callable[[RunRecord], Policy] = lambda run: WATCH_ALL,
    telling: Callable[[str], None] = lambda what: None,
) -> SiteUpdate:
    """Write a store as a site into ``directory``, which is made if need be, or bring it up to date.

    Each file is replaced whole. Runs that have not ended are left out until they have. Only files that an earlier
    update wrote are replaced or removed.

    Args:
        store: open.
        directory: of the site.
        policy_of: what the suite of a run says of its history; asked of the newest run that is alike.
        telling: is told what is done, a line each.

    Raises:
        StoreError: the database cannot be read, the directory cannot be written, holds a file in our way, or is being
            updated by somebody else.
    """
    runs = [run for run in store.runs() if run.status != "running"]
    with open_output(directory) as output:
        output.claim(place_of_run(run.id) for run in runs)
        summaries = []
        for run in runs:
            summaries.append(_summary(store, run, output))
            _write_run(store, run, output, telling)
        pages, changes = write_trends(store, runs, output, policy_of, telling)
        output.write("trends.html", trends_page(pages))
        output.write("regressions.html", regressions_page(changes))
        output.write("index.html", index_page(summaries))
        output.finish()
        return SiteUpdate(directory / "index.html", output.written, output.kept, output.removed)


def _summary(store: Store, run: RunRecord, output: Output) -> RunSummary:
    name, state = f"run {run.id}", state_of(run)
    plain = output.recall(name, state)
    summary = summarise(store, run) if plain is None else RunSummary.from_plain(plain)
    output.remember(name, state, summary.plain())
    return summary


def _write_run(store: Store, run: RunRecord, output: Output, telling: Callable[[str], None]) -> None:
    name, state = place_of_run(run.id), state_of(run)
    if output.is_current(name, state):
        output.keep(name)
        return
    telling(f"run {run.id}")
    try:
        report = _stored_report(store, run) or _drawn_report(store, run)
    except StoreError as error:
        # One run whose files are damaged is no reason to tell of none; the next update tries again. Where the store is
        # on this machine is nothing for whoever reads the site.
        output.write(name, no_report_page(run.id, str(error).replace(f"{store.directory}/", "")))
    else:
        output.write(name, of_site(report), made_from=state)


def _stored_report(store: Store, run: RunRecord) -> str | None:
    """The report that lies in the store; None where it was not written after the run had ended, or is not whole."""
    stored = store.run_directory(run.id) / "report" / "report.html"
    try:
        if run.ended is None or stored.stat().st_mtime < datetime.fromisoformat(run.ended).timestamp():
            return None
        report = stored.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return report if is_whole(report) else None


def _drawn_report(store: Store, run: RunRecord) -> str:
    with tempfile.TemporaryDirectory(prefix="bench-site-") as directory:
        return write_report(store, run, Path(directory)).html.read_text(encoding="utf-8")
