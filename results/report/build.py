"""From a run in the store to its report, HTML and Markdown, and to single charts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from results.charts import style
from results.charts.catalogue import CHARTS
from results.errors import StoreError
from results.report import background, experiments, outcomes, overview, sections
from results.report.data import RunData
from results.report.document import Document
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


def write_report(store: Store, run: RunRecord, directory: Path, *, link_logs: bool = True) -> Report:
    """Write ``report.html``, ``report.md`` and ``charts/*.png`` into ``directory``, which is made if need be.

    Each file is replaced whole, so that a reader never sees half of one.

    Args:
        store: open.
        run: of the store.
        directory: for the files.
        link_logs: whether there are links to the logs in the store; not for a report that is published without it.

    Raises:
        StoreError: the store or the run's ``host.json`` cannot be read, or the directory cannot be written.
    """
    data = RunData.load(store, run)
    wide = _figures(data, style.WIDE)
    narrow = _figures(data, style.NARROW)
    document = build_document(data, frozenset(wide), directory if link_logs else None)
    charts = directory / "charts"
    report = Report(directory / "report.html", directory / "report.md")
    files = {charts / f"{name}.png": style.render(figure, "png") for name, figure in wide.items()}
    files[report.markdown] = _encoded(render_markdown(document, "charts"))
    files[report.html] = _encoded(render_html(document, wide, narrow))
    with _writing(directory):
        charts.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            _replace(path, content)
    return report


def save_chart(store: Store, run: RunRecord, kind: str, path: Path) -> None:
    """Write one chart of a run, on a white ground, for a page outside the report.

    Args:
        store: open.
        run: of the store.
        kind: a key of :data:`results.charts.catalogue.CHARTS`.
        path: ends in ``.svg`` or ``.png``; its directory exists.

    Raises:
        ValueError: no such chart, no such format, or the run has nothing for it.
        StoreError: the file cannot be written.
    """
    if kind not in CHARTS:
        raise ValueError(f"no chart {kind!r}; there are {', '.join(CHARTS)}")
    if path.suffix not in {".svg", ".png"}:
        raise ValueError(f"{path}: a chart is written as .svg or .png")
    figure = CHARTS[kind](RunData.load(store, run).charts, style.WIDE)
    if figure is None:
        raise ValueError(f"run {run.id} measured nothing for the chart {kind!r}")
    content = style.render(figure, "svg" if path.suffix == ".svg" else "png")
    with _writing(path):
        _replace(path, content)


def build_document(data: RunData, charts: frozenset[str], directory: Path | None) -> Document:
    """What the report of ``data`` says.

    Args:
        data: the run.
        charts: names of those that have something to show.
        directory: where the report will lie, for links to the logs; None for none.
    """
    run = data.run
    return Document(
        title=f"{run.suite}: {' · '.join(run.arms)}",
        subtitle=f"Run {run.id}, started {_readable(run.started)}, {len(data.trials)} trials, baseline {run.baseline}",
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
            background.failed_trials(data),
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


def _readable(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"


def _encoded(text: str) -> bytes:
    # A lone surrogate from a file name or a log has no UTF-8.
    return text.encode("utf-8", "replace")


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Say what cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {place}: {error.strerror or error}; name another place with --output"
        ) from error


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()
