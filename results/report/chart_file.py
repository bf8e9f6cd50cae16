"""Single charts of a run, for a page outside its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from results.charts import style
from results.charts.catalogue import CHARTS
from results.charts.publishing import PRINTS, published
from results.report.data import RunData
from results.report.writing import replace_files

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store


def chart_titles(store: Store, run: RunRecord) -> dict[str, str]:
    """The kinds of charts that ``run`` has something for, and their titles.

    Raises:
        StoreError: the store cannot be read.
    """
    data = RunData.load(store, run).charts
    return {kind: PRINTS[kind].title for kind, draw in CHARTS.items() if draw(data, style.WIDE) is not None}


def save_chart(store: Store, run: RunRecord, kind: str, path: Path, width: float = style.WIDE) -> None:
    """Write one chart of a run on a white ground, with its title, and a caption that says how it came about and where.

    The same run gives the same bytes.

    Args:
        store: open.
        run: of the store.
        kind: a key of :data:`results.charts.catalogue.CHARTS`.
        path: ends in ``.svg``, ``.png`` or ``.pdf``; its directory exists.
        width: inches.

    Raises:
        ValueError: no such chart, no such format, or the run has nothing for it.
        StoreError: the store cannot be read, or the file cannot be written.
    """
    if kind not in CHARTS:
        raise ValueError(f"no chart '{kind}'; there are {', '.join(CHARTS)}")
    form = style.FORMS.get(path.suffix)
    if form is None:
        raise ValueError(f"{path}: a chart is written as {', '.join(style.FORMS)}")
    data = RunData.load(store, run)
    figure = published(kind, data.charts, width, _origin(data))
    if figure is None:
        raise ValueError(f"run {run.id} measured nothing for the chart '{kind}'; --list tells what there is")
    replace_files(path, {path: style.render(figure, form)})


def _origin(data: RunData) -> str:
    run = data.run
    accelerators = {trial.arm: trial.accel for trial in data.trials if trial.accel != "none"}
    means = {"tcg": "software emulation (tcg), no performance", "kvm": "KVM"}
    executed = [f"{arm}: {means[accel]}" for arm, accel in accelerators.items()]
    processor = data.host.get("facts", {}).get("cpu model")
    parts = (processor or "CPU not recorded", *executed, f"suite {run.suite}", f"run {run.id}", f"bench {run.version}")
    return f"{' · '.join(map(str, parts))}."
