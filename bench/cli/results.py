"""``bench show``, ``compare`` and ``report``: what to do with a run that is done."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import format_option, open_run, print_json, print_renderable, run_argument, store_option


@click.command()
@run_argument
@store_option
@format_option("table", "json")
def show(run: str, store_directory: Path, output_format: str) -> None:
    """Print what RUN measured: for each workload, metric and arm the median, the spread and the number of trials.

    RUN is an id, a unique prefix of one, or 'latest'.
    """
    from results.terminal import show_json, show_renderables

    with open_run(store_directory, run) as (store, record):
        if output_format == "json":
            print_json(show_json(store, record))
        else:
            print_renderable(*show_renderables(store, record))


def _known_reference(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check ``--reference`` without reading the published figures where it is not given."""
    from results.references import sources

    if value is not None and value not in sources():
        raise click.BadParameter(f"no published reference '{value}'; expected one of {', '.join(sources())}")
    return value


@click.command()
@run_argument
@store_option
@format_option("table", "json")
@click.option(
    "--reference",
    metavar="SOURCE",
    callback=_known_reference,
    help="Show what SOURCE has published of the same beside it: ibm2014, firecracker2020, unikraft2021.",
)
def compare(run: str, store_directory: Path, output_format: str, reference: str | None) -> None:
    """Compare the arms of RUN with its baseline, metric by metric.

    RUN is an id, a unique prefix of one, or 'latest'. A ratio is the arm's value divided by the baseline's.
    """
    from results.terminal import compare_json, compare_renderables

    with open_run(store_directory, run) as (store, record):
        if output_format == "json":
            print_json(compare_json(store, record, reference))
        else:
            print_renderable(*compare_renderables(store, record, reference))


@click.command()
@run_argument
@store_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to write to [the run's own directory in the store].",
)
def report(run: str, store_directory: Path, output: Path | None) -> None:
    """Write RUN's report: one HTML file that needs no network, and a Markdown file with its charts."""
    from results.report import write_report

    with open_run(store_directory, run) as (store, record):
        written = write_report(store, record, output or store.run_directory(record.id) / "report")
    click.echo(written.html)
    click.echo(written.markdown)
