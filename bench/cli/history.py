"""``bench history``: a metric over all runs of the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import console, format_option, print_json, print_renderable, store_option
from bench.cli.watching import join_option, joinables, run_option, selection_options, watched_run

if TYPE_CHECKING:
    from results.history.changes import WithChanges


@click.command()
@click.argument("metrics", nargs=-1, metavar="[METRIC]...")
@run_option
@store_option
@selection_options
@join_option
@click.option("--last", type=click.IntRange(min=2), metavar="N", help="Only the last N runs.")
@format_option("table", "json", "csv", "markdown")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw a chart into this file as well: .svg, .png or .pdf.",
)
def history(
    metrics: tuple[str, ...],
    run: str | None,
    store_directory: Path,
    workloads: tuple[str, ...],
    arms: tuple[str, ...],
    join: tuple[str, ...],
    last: int | None,
    output_format: str,
    output: Path | None,
) -> None:
    """Show METRIC over time: a point a run, and where its level changed for good.

    A METRIC is a name or a shell pattern; without one, what workloads measure foremost and what instances cost is
    shown. A history is of one suite, image, host and accelerator: that of the newest run, or of --run. Runs that
    differ in one of them are joined by --join only.
    """
    from bench.regression import policy_of_run
    from results.history.changes import changes_of
    from results.history.series import Wanted, alike, series_of
    from results.selection import Selection
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        newest = watched_run(store, run)
        runs = alike(store.runs(), newest, joinables(join))[-(last or 0) :]
        selection = Selection(workloads=workloads, metrics=metrics, arms=arms)
        found = series_of(store, runs, Wanted(selection))
        if not found:
            selection.checked([series.key for series in series_of(store, runs, Wanted(parts=True))])
        policy, known = policy_of_run(store.run_directory(newest.id)), store.acknowledgements()
    shown = [
        (series, changes_of(series, policy.threshold_of(series.key.metric), known))
        for series in map(policy.directed, found)
    ]
    if output is not None:
        from results.charts.history import save_history_chart

        save_history_chart(shown, output)
    _print(shown, output_format)


def _print(shown: Sequence[WithChanges], output_format: str) -> None:
    from results.history.data import point_rows, series_data

    match output_format:
        case "json":
            print_json([series_data(series, changes) for series, changes in shown])
        case "table":
            from results.terminal.history import history_renderables

            print_renderable(*history_renderables(shown, console().width))
        case "csv":
            from results.listing import as_csv

            click.echo(as_csv(point_rows([series for series, _ in shown])), nl=False)
        case _:
            from results.history.markdown import history_markdown

            click.echo(history_markdown(shown), nl=False)
