"""From a run in the store to its report, HTML and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from results.charts import style
from results.charts.catalogue import CHARTS
from results.report import background, experiments, outcomes, overview, sections, two_runs
from results.report.data import RunData
from results.report.document import Document
from results.report.html import render_html
from results.report.iterations import iterations
from results.report.markdown import render_markdown
from results.report.noise import noise
from results.report.noise_floor import noise_floor
from results.report.references import references
from results.report.trials import trials
from results.report.writing import replace_files, unwritable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.records import RunRecord
    from results.store import Store


@dataclass(frozen=True, slots=True)
class Report:
    """Where a report is.

    Attributes:
        html: one file that needs no other.
        markdown: refers to the charts in ``charts/`` beside it.
    """

    html: Path
    markdown: Path


def write_report(store: Store, run: RunRecord, directory: Path) -> Report:
    """Write ``report.html``, ``report.md`` and ``charts/*.png`` into ``directory``, which is made if need be.

    Each file is replaced whole, so that a reader never sees half of one.

    Raises:
        StoreError: the store or the run's ``host.json`` cannot be read, or the directory cannot be written.
    """
    data = RunData.load(store, run)
    wide = _figures(data, style.WIDE)
    narrow = _figures(data, style.NARROW)
    return _write(directory, build_document(data, frozenset(wide), directory), wide, narrow)


def write_comparison(store: Store, first: RunRecord, later: RunRecord, directory: Path) -> Report:
    """Write the same files about two runs: the later one against the first.

    Raises:
        StoreError: the store or a run's ``host.json`` cannot be read, or the directory cannot be written.
    """
    data = two_runs.TwoRuns.load(store, first, later)
    wide = two_runs.figures(data, style.WIDE)
    return _write(directory, two_runs.document(data, wide), wide, two_runs.figures(data, style.NARROW))


def _write(directory: Path, document: Document, wide: Mapping[str, Figure], narrow: Mapping[str, Figure]) -> Report:
    charts = directory / "charts"
    report = Report(directory / "report.html", directory / "report.md")
    files = {charts / f"{name}.png": style.render(figure, "png") for name, figure in wide.items()}
    files[report.markdown] = _encoded(render_markdown(document, "charts"))
    files[report.html] = _encoded(render_html(document, wide, narrow))
    try:
        charts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(directory, error) from error
    replace_files(directory, files)
    return report


def build_document(data: RunData, charts: frozenset[str], place: Path) -> Document:
    """What the report of ``data`` says.

    Args:
        data: of the run.
        charts: names of those that have something to show.
        place: directory that the report is written to.
    """
    run = data.run
    return Document(
        title=f"{run.suite}: {' · '.join(run.arms)}",
        subtitle=f"Run {run.id}, started {_readable(run.started)}, {len(data.trials)} trials, baseline {run.baseline}",
        banners=overview.banners(data),
        cards=overview.cards(data),
        findings=overview.findings(data),
        overview_note=overview.note(data),
        sections=(
            *outcomes.checks(data),
            *outcomes.limits(data, charts),
            *experiments.density(data, charts),
            *experiments.interference(data, charts),
            sections.startup(data, charts),
            sections.memory(data, charts),
            sections.throughput(data, charts),
            *sections.latency(data, charts),
            *references(data, charts),
            sections.cpu_time(data, charts),
            *iterations(data),
            *noise_floor(data),
            sections.comparisons(data),
            background.failed_trials(data),
            trials(data, place),
            *noise(data, charts),
            background.host(data),
            background.method(data),
            background.provenance(data),
        ),
    )


def _figures(data: RunData, width: float) -> dict[str, Figure]:
    drawn = {name: draw(data.charts, width) for name, draw in CHARTS.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _readable(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"


def _encoded(text: str) -> bytes:
    # A lone surrogate from a file name or a log has no UTF-8.
    return text.encode("utf-8", "replace")
