"""``bench report``: a run as a page to read."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import open_run, run_argument, store_option


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
