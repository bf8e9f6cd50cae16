"""``bench export``: a run as tidy data, or whole runs in one file for another machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, store_option
from results.export import FORMATS

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@store_option
@format_option(*FORMATS)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write to [standard output]."
)
@click.option("--bundle", is_flag=True, help="Whole runs with their files in one .tar, .tar.gz or .tar.xz.")
@click.option("--all", "everything", is_flag=True, help="Every run in the store; with --bundle.")
@click.pass_context
def export(
    context: click.Context,
    runs: tuple[str, ...],
    store_directory: Path,
    output_format: str,
    output: Path | None,
    bundle: bool,
    everything: bool,
) -> None:
    """Write RUN's samples as tidy data, one row a sample; or with --bundle, whole runs for 'bench import' elsewhere.

    RUN is an id, a unique prefix of one, or 'latest' (the default).
    """
    from results.bundle import write_bundle
    from results.export import export_run
    from results.store import Store

    if not bundle and (everything or len(runs) > 1):
        raise click.UsageError("only a bundle holds several runs: add --bundle")
    if everything and runs:
        raise click.UsageError("--all is every run: name none beside it")
    if bundle and output is None:
        raise click.UsageError("--bundle writes a file: name it with --output")
    if bundle and context.get_parameter_source("output_format") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--format is for tidy data: a bundle has a form of its own")
    with Store(store_directory).open(create=False) as store:
        if bundle and output is not None:
            chosen = _ended(store) if everything else [store.resolve(run) for run in runs or ("latest",)]
            chosen = list({run.id: run for run in chosen}.values())
            write_bundle(store, chosen, output)
            click.echo(f"{output}: {len(chosen)} {'run' if len(chosen) == 1 else 'runs'}")
        else:
            export_run(store, store.resolve(runs[0] if runs else "latest"), output_format, output)


def _ended(store: Store) -> list[RunRecord]:
    """Every run but those that are being written, which are told."""
    runs = store.runs()
    for run in runs:
        if run.status == "running":
            click.echo(f"bench: run {run.id} is being written and left out", err=True)
    return [run for run in runs if run.status != "running"]
