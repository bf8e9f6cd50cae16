"""``bench report`` and ``export``: what to take away of a run that is done."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import format_option, open_run, run_argument, store_option
from results.export import FORMATS


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


@click.command()
@run_argument
@store_option
@format_option(*FORMATS)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write to [standard output]."
)
def export(run: str, store_directory: Path, output_format: str, output: Path | None) -> None:
    """Write RUN's samples as tidy data, one row a sample."""
    from results.export import export_run

    with open_run(store_directory, run) as (store, record):
        export_run(store, record, output_format, output)
