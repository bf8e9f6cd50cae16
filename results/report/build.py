"""From a run in the store to its report, HTML and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from results.charts import style
from results.charts.catalogue import CHARTS
from results.charts.quantities import moment
from results.files import replace_file
from results.report import background, experiments, outcomes, overview, sections
from results.report.data import RunData
from results.report.document import Document
from results.report.files import writing
from results.report.html import render_html
from results.report.iterations import iterations
from results.report.latency import latency
from results.report.markdown import render_markdown
from results.report.noise import noise
from results.report.noise_floor import noise_floor
from results.report.references import references
from results.report.scores import scores
from results.report.trials import trials

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

    Args:
        store: open.
        run: of the store.
        directory: for the files.

    Raises:
        StoreError: the store or the run's ``host.json`` cannot be read, or the directory cannot be written.
    """
    data = RunData.load(store, run)
    wide = _figures(data, style.WIDE)
    narrow = _figures(data, style.NARROW)
    document = build_document(data, frozenset(wide), directory)
    return write_document(document, wide, narrow, directory)


def write_document(
    document: Document, wide: Mapping[str, Figure], narrow: Mapping[str, Figure], directory: Path
) -> Report:
    """Write the files of a report.

    Args:
        document: what it says.
        wide: its charts by name, for a screen and for the Markdown.
        narrow: the same for a phone.
        directory: for the files, made if need be.

    Raises:
        StoreError: the directory cannot be written.
    """
    charts = directory / "charts"
    report = Report(directory / "report.html", directory / "report.md")
    files = {charts / f"{name}.png": style.render(figure, "png") for name, figure in wide.items()}
    files[report.markdown] = _encoded(render_markdown(document, "charts"))
    files[report.html] = _encoded(render_html(document, wide, narrow))
    with writing(directory):
        charts.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            replace_file(path, content)
    return report


def build_document(data: RunData, charts: frozenset[str], directory: Path) -> Document:
    """What the report of ``data`` says.

    Args:
        data: the run.
        charts: names of those that have something to show.
        directory: where the report will lie, for links to the logs.
    """
    run = data.run
    return Document(
        title=f"{run.suite}: {' · '.join(run.arms)}",
        subtitle=f"Run {run.id}, started {moment(run.started)} UTC, {len(data.trials)} trials, baseline {run.baseline}",
        banners=overview.banners(data),
        scores=scores(data),
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
            *latency(data, charts),
            *references(data, charts),
            sections.cpu_time(data, charts),
            *iterations(data),
            *noise_floor(data),
            sections.comparisons(data),
            background.failed_trials(data, directory),
            trials(data, directory),
            *noise(data, charts),
            background.host(data),
            background.method(data),
            background.provenance(data),
        ),
    )


def _figures(data: RunData, width: float) -> dict[str, Figure]:
    drawn = {name: draw(data.charts, width) for name, draw in CHARTS.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _encoded(text: str) -> bytes:
    # A lone surrogate from a file name or a log has no UTF-8.
    return text.encode("utf-8", "replace")
