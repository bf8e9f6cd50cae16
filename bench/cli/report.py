"""``bench report``: a run, or one run against another, as a page to read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bench.cli.options import open_run, store_option


@click.command()
@click.argument("runs", metavar="[RUN] [RUN2]", nargs=-1)
@store_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to write to [the run's own directory in the store].",
)
@click.option("--open", "in_browser", is_flag=True, help="Open it in a browser.")
def report(runs: tuple[str, ...], store_directory: Path, output: Path | None, in_browser: bool) -> None:
    """Write RUN's report: one HTML file that needs no network, and a Markdown file with its charts.

    With RUN2 it is a report of RUN2 against RUN. A run is an id, a unique prefix of one, or 'latest' (the default).
    """
    from results.report import write_comparison, write_report

    if len(runs) > 2:
        raise click.UsageError(f"{len(runs)} runs, expected one or two; 'bench compare' takes more")
    with open_run(store_directory, runs[-1] if runs else "latest") as (store, record):
        directory = store.run_directory(record.id)
        if len(runs) == 2:
            first = store.resolve(runs[0])
            if first.id == record.id:
                raise click.UsageError(f"{runs[0]!r} and {runs[1]!r} are the same run, {first.id}")
            written = write_comparison(store, first, record, output or directory / "report" / f"against-{first.id}")
        else:
            written = write_report(store, record, output or directory / "report")
    click.echo(written.html)
    click.echo(written.markdown)
    if in_browser:
        _open(written.html)


def _open(page: Path) -> None:
    """Open a page where there is a screen; else say how to look at it."""
    import webbrowser

    address = page.resolve().as_uri()
    has_screen = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not (has_screen or os.environ.get("BROWSER")):
        click.echo(f"bench: not opened: there is no screen here; copy {page}, which needs no other file", err=True)
    elif not webbrowser.open(address):
        click.echo(f"bench: not opened: no browser was found ($BROWSER names one); the page is {address}", err=True)
