"""``bench report``: a run, or two beside each other, as a page to read."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import store_option

_MOST_RUNS = 2


@click.command()
@click.argument("runs", metavar="[RUN] [RUN]", nargs=-1)
@store_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to write to [the (later) run's own directory in the store].",
)
@click.option("--open", "opened", is_flag=True, help="Show it in the browser ($BROWSER, or the desktop's).")
def report(runs: tuple[str, ...], store_directory: Path, output: Path | None, opened: bool) -> None:
    """Write RUN's report: one HTML file that needs no network, and a Markdown file with its charts.

    RUN is an id, a unique prefix of one, or 'latest', which it is if none is given. Of two runs the report says what
    became of every metric from the first to the second, and what else was different.
    """
    from results.report import write_comparison, write_report
    from results.store import Store

    if len(runs) > _MOST_RUNS:
        raise click.UsageError(f"a report is of one run or of two, not of {len(runs)}: 'bench compare' takes more")
    with Store(store_directory).open(create=False) as store:
        records = [store.resolve(run) for run in runs or ("latest",)]
        last = records[-1]
        if len(records) == 1:
            written = write_report(store, last, output or store.run_directory(last.id) / "report")
        else:
            if records[0] == last:
                raise click.UsageError(f"run {last.id} is given twice: name two that are not the same")
            place = store.run_directory(last.id) / f"report-against-{records[0].id}"
            written = write_comparison(store, records[0], last, output or place)
    click.echo(written.html)
    click.echo(written.markdown)
    if opened:
        _show(written.html)


def _show(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        click.echo(f"bench: no browser was found: set $BROWSER, or open {page} yourself", err=True)
