"""``bench show`` and ``bench compare``: what runs measured, as tables and as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bench.cli.options import format_option, open_run, print_json, print_renderable, run_argument, store_option

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.selection import View
    from results.store import Store

Function = TypeVar("Function", bound=Callable[..., Any])

_FORMATS = ("table", "json", "csv", "markdown")

# As in results.selection, which need not be imported for help.
_COMPARISON_ORDERS = ("ratio", "effect", "verdict", "workload", "metric", "arm")
_SUMMARY_ORDERS = ("spread", "workload", "metric", "arm")


def _view_options(*orders: str) -> Callable[[Function], Function]:
    """``--workload``, ``--metric``, ``--arm`` and ``--sort``."""

    def decorate(function: Function) -> Function:
        options = [
            click.option("--workload", "workloads", multiple=True, metavar="PATTERN", help="Only these workloads."),
            click.option("--metric", "metrics", multiple=True, metavar="PATTERN", help="Only these metrics."),
            click.option("--arm", "arms", multiple=True, metavar="PATTERN", help="Only these arms."),
            click.option("--sort", "order", type=click.Choice(orders), help="One list in this order."),
        ]
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _view(workloads: Sequence[str], metrics: Sequence[str], arms: Sequence[str], order: str | None) -> View:
    from results.selection import Selection, View

    return View(Selection(tuple(workloads), tuple(metrics), tuple(arms)), order)


@click.command()
@run_argument
@store_option
@format_option(*_FORMATS)
@_view_options(*_SUMMARY_ORDERS)
def show(
    run: str,
    store_directory: Path,
    output_format: str,
    workloads: tuple[str, ...],
    metrics: tuple[str, ...],
    arms: tuple[str, ...],
    order: str | None,
) -> None:
    """Print what RUN measured: for each workload, metric and arm the median, the spread and the number of trials.

    RUN is an id, a unique prefix of one, or 'latest'. A PATTERN is one of the shell's, in quotes ('startup.*'); each
    option may be given again. One for workloads may name parameters too: 'fio*rw=write*'. 'spread' has the widest
    first, relative to its median.
    """
    view = _view(workloads, metrics, arms, order)
    with open_run(store_directory, run) as (store, record):
        if output_format == "table":
            from results.terminal.show import show_renderables

            print_renderable(*show_renderables(store, record, view))
        elif output_format == "json":
            from results.terminal.show import show_json

            print_json(show_json(store, record, view))
        else:
            click.echo(_summaries(store, record, output_format, view), nl=False)


def _summaries(store: Store, run: RunRecord, output_format: str, view: View) -> str:
    from dataclasses import asdict

    from results.listing import as_csv, summary_markdown
    from results.selection import sorted_summaries
    from results.summary import describe

    summaries = describe(store.frame(run.id))
    if output_format == "markdown":
        return summary_markdown(summaries, view)
    return as_csv([asdict(row) for row in sorted_summaries(view.selection.checked(summaries), view.order)])


def _known_reference(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check ``--reference`` without reading the published figures where it is not given."""
    from results.references import sources

    if value is not None and value not in sources():
        raise click.BadParameter(f"no published reference '{value}'; expected one of {', '.join(sources())}")
    return value


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@store_option
@format_option(*_FORMATS)
@_view_options(*_COMPARISON_ORDERS)
@click.option("--baseline", metavar="ARM", help="Divide by this arm, in the place of the suite's baseline.")
@click.option(
    "--reference",
    metavar="SOURCE",
    callback=_known_reference,
    help="Show what SOURCE has published of the same beside it: ibm2014, firecracker2020, unikraft2021.",
)
def compare(
    runs: tuple[str, ...],
    store_directory: Path,
    output_format: str,
    workloads: tuple[str, ...],
    metrics: tuple[str, ...],
    arms: tuple[str, ...],
    order: str | None,
    baseline: str | None,
    reference: str | None,
) -> None:
    """Compare the arms of RUN with its baseline, or runs with the first of them, metric by metric.

    RUN is an id, a unique prefix of one, or 'latest', which it is if none is given. A ratio is the arm's value divided
    by the baseline's; of several runs it is the later run's divided by the first one's, in the same arm.

    A PATTERN is one of the shell's, in quotes ('startup.*'); each option may be given again. One for workloads may name
    parameters too: 'fio*rw=write*'. Verdicts are those of the whole comparison, whatever is shown of it. 'ratio' has
    the greatest first, 'effect' what is farthest from 1 either way, 'verdict' what is worse.
    """
    from results.store import Store

    view = _view(workloads, metrics, arms, order)
    if len(runs) > 1 and (baseline or reference):
        option = "--baseline" if baseline else "--reference"
        raise click.UsageError(f"{option} is about the arms of one run: name one, or leave {option} out")
    with Store(store_directory).open(create=False) as store:
        records = [store.resolve(run) for run in runs or ("latest",)]
        if len(records) > 1:
            _compare_runs(store, records, output_format, view)
        else:
            _compare_arms(store, records[0], output_format, view, baseline, reference)


def _compare_arms(
    store: Store, run: RunRecord, output_format: str, view: View, baseline: str | None, reference: str | None
) -> None:
    if output_format == "table":
        from results.terminal.compare import compare_renderables

        print_renderable(*compare_renderables(store, run, reference, baseline, view))
        return
    if output_format == "markdown":
        from results.listing import comparison_markdown
        from results.stored_comparisons import comparisons_of

        click.echo(comparison_markdown(comparisons_of(store, run, store.frame(run.id), baseline), view), nl=False)
        return
    from results.terminal.compare import compare_json

    _print_rows(compare_json(store, run, reference, baseline, view), output_format)


def _compare_runs(store: Store, runs: Sequence[RunRecord], output_format: str, view: View) -> None:
    again = next((run.id for place, run in enumerate(runs) if run in runs[:place]), None)
    if again is not None:
        raise click.UsageError(f"run {again} is given twice: name runs that are not the same")
    if output_format == "table":
        from results.terminal.runs import runs_renderables

        print_renderable(*runs_renderables(store, runs, view))
        return
    from results.compare_runs import compare_runs, to_json
    from results.selection import sorted_comparisons

    comparisons = compare_runs(store, runs)
    if output_format == "markdown":
        from results.listing import runs_markdown

        click.echo(runs_markdown(comparisons, runs, view), nl=False)
        return
    _print_rows(to_json(sorted_comparisons(view.selection.checked(comparisons), view.order)), output_format)


def _print_rows(rows: Sequence[dict[str, object]], output_format: str) -> None:
    if output_format == "json":
        print_json(list(rows))
        return
    from results.listing import as_csv

    click.echo(as_csv(rows), nl=False)
