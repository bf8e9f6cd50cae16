"""``bench chart``: one chart of a run as a file, for an article or a slide."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import open_run, run_argument, store_option

_NARROWEST, _WIDEST = 3.0, 20.0


@click.command()
@run_argument
@store_option
@click.option("--kind", help="Which chart; --list tells what there is.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write to, .svg, .png or .pdf [KIND.svg].",
)
@click.option(
    "--width",
    type=click.FloatRange(_NARROWEST, _WIDEST),
    default=7.6,
    show_default=True,
    help="Inches across; text keeps its size, and the height follows from what is shown.",
)
@click.option("--list", "listed", is_flag=True, help="List the charts that RUN has something for, and write none.")
def chart(run: str, store_directory: Path, kind: str | None, output: Path | None, width: float, listed: bool) -> None:
    """Write one chart of RUN with its title, and a caption that says how it came about and on what host.

    RUN is an id, a unique prefix of one, or 'latest'. The same run gives the same bytes.
    """
    from results.report import chart_titles, save_chart

    if kind is None and not listed:
        raise click.UsageError("--kind is missing: --list tells what charts the run has")
    with open_run(store_directory, run) as (store, record):
        if kind is None or listed:
            for name, title in chart_titles(store, record).items():
                click.echo(f"{name:<20} {title}")
            return
        path = output or Path(f"{kind}.svg")
        try:
            save_chart(store, record, kind, path, width)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    click.echo(path)
