"""``bench site``: the whole store as static pages."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.options import store_option


@click.command()
@store_option
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the site; made if need be, brought up to date if it is one.",
)
def site(store_directory: Path, output: Path) -> None:
    """Write the store as a static site, or bring one up to date: runs, their reports, trends and regressions.

    Plain files for any web server, or to be opened as they lie. Only files that an earlier update wrote are replaced or
    removed. Runs that have not ended come with a later update.
    """
    from bench.regression import policy_of_run
    from results.site import write_site
    from results.store import Store

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            click.echo(what, err=True)

    with Store(store_directory).open(create=False) as store:
        update = write_site(store, output, lambda run: policy_of_run(store.run_directory(run.id)), tell)
    click.echo(f"{update.written} files written, {update.kept} kept, {update.removed} removed", err=True)
    click.echo(update.index.resolve())
