"""``bench regress``: whether the newest run is worse than what was before it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, print_renderable, store_option, workloads_option
from bench.cli.watching import join_option, joinables, selection_options, watched_run

if TYPE_CHECKING:
    from results.history.regress import Regress


@click.command()
@click.argument("run", required=False)
@store_option
@click.option("--baseline", metavar="NAME", help="Hold it against this named run ('bench baseline'), not its history.")
@click.option(
    "--nights", type=click.IntRange(min=2), default=120, show_default=True, help="Runs of the history at the most."
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="PATTERN", help="Only metrics of this name; may be given again."
)
@selection_options
@join_option
@click.option("--confirm", is_flag=True, help="Run what stands out again before it is an alarm, as 'bench run' does.")
@workloads_option
@click.option("--strict", is_flag=True, help="Exit with 4 where a metric is inconclusive and none is worse.")
@format_option("table", "markdown", "junit", "json")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write to as well.")
def regress(
    run: str | None,
    store_directory: Path,
    baseline: str | None,
    nights: int,
    metrics: tuple[str, ...],
    workloads: tuple[str, ...],
    arms: tuple[str, ...],
    join: tuple[str, ...],
    confirm: bool,
    workload_directories: tuple[Path, ...],
    strict: bool,
    output_format: str,
    output: Path | None,
) -> int:
    """Find out whether RUN, the newest if none is named, is worse than the runs before it.

    What the suite's section 'regress' says is watched, in its direction and from its threshold on. A metric whose level
    has changed for the worse, for good, is an alarm until it is acknowledged ('bench ack'). A single night that stands
    out is suspicious, and an alarm once --confirm has run it again and found the same.

    Exits with 0 where nothing is worse, 3 where something is, and with --strict 4 where something is inconclusive.
    """
    from bench.regression import judged
    from results.selection import Selection
    from results.store import Store

    selection = Selection(workloads=workloads, metrics=metrics, arms=arms)
    with Store(store_directory).open(create=False) as store:
        record = watched_run(store, run)
        found = judged(store, record, baseline, selection, joinables(join), nights)
    if confirm and any(each.new for each in found.findings):
        from bench.confirm import confirm as run_again

        quiet = output_format != "table" or not sys.stdout.isatty()
        found = run_again(store_directory, found, quiet=quiet, workload_directories=workload_directories)
    _write(found, output_format, output, strict=strict)
    return found.exit_code(strict=strict)


def _write(found: Regress, output_format: str, output: Path | None, *, strict: bool) -> None:
    from results.history.render import rendered

    if output_format == "table":
        from results.terminal.history import regress_renderables

        print_renderable(*regress_renderables(found, strict=strict))
    else:
        click.echo(rendered(found, output_format, strict=strict), nl=False)
    if output is not None:
        from results.export import whole_file
        from results.history.render import form_of

        with whole_file(output) as stream:
            stream.write(rendered(found, form_of(output), strict=strict).encode())
