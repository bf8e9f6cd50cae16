"""``bench rerun``: the same suite, seed and image once more, and what is different around it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, print_json, print_renderable, run_argument, store_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.environment import Difference
    from results.records import RunRecord


@click.command()
@run_argument
@store_option
@click.option("--dry-run", is_flag=True, help="Tell what differs now, building the image if need be, and run nothing.")
@format_option("table", "json")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no comparison; differences and failures only.")
@click.option("-v", "--verbose", is_flag=True, help="Tell of every trial and every step.")
def rerun(run: str, store_directory: Path, dry_run: bool, output_format: str, quiet: bool, verbose: bool) -> int:
    """Carry out RUN again: the same suite, seed and image. What differs in the environment is told first.

    RUN is an id, a unique prefix of one, or 'latest'. What has changed so that it would not be the same is refused: the
    definition of a workload, or what the image is made from. An image that had to be built again is of the packages of
    today, which is told. Exits as 'bench run' does.
    """
    from bench.availability import require_all
    from bench.cli.run import report_run, run_and_tell
    from bench.environment import differences, present_environment, recorded_environment
    from bench.images import prepare_image
    from bench.plan import make_plan
    from bench.privileges import check_privileges
    from bench.progress import open_progress
    from bench.rerun import require_same_image, same_suite
    from bench.runner import check_arms
    from bench.sampling import SamplingOverride
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        record = store.resolve(run)
        suite_path = store.run_directory(record.id) / "suite.yaml"
        before = recorded_environment(store, record)
    suite = same_suite(record, suite_path, sampling=SamplingOverride(seed=record.seed))
    plan = make_plan(suite)
    check_privileges(suite, plan, [str(suite_path)])
    require_all(check_arms(suite))
    progress = partial(open_progress, quiet=quiet or output_format == "json", verbose=verbose)
    with progress() as observer:
        image = prepare_image(plan.packages(), plan.files(), observer.preparing, plan.kernels(), plan.imported())
    require_same_image(record, image)
    found = differences(before, present_environment(image))
    also = {"rerun_of": record.id, "environment": [asdict(each) for each in found]}
    if output_format == "table":
        print_renderable(*_difference_renderables(record, found))
    if dry_run:
        if output_format == "json":
            print_json(also)
        return 0
    return run_and_tell(
        suite, plan, store_directory, progress, partial(report_run, output_format=output_format, quiet=quiet, also=also)
    )


def _difference_renderables(run: RunRecord, found: list[Difference]) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    if not found:
        return [Text(f"the environment is that of run {run.id}\n")]
    table = Table(
        title=f"The environment of run {run.id}, and now",
        title_justify="left",
        box=None,
        pad_edge=False,
        show_edge=False,
    )
    for column in ("fact", "then", "now"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(Text(each.what), Text(each.before or "-"), Text(each.now or "-"))
    rebuilt = any(each.what.startswith(("image ", "kernel ")) and each.before for each in found)
    note = [Text("the image has been built again since: its packages may be newer", style="yellow")] if rebuilt else []
    return [Text(f"what has changed since run {run.id}"), table, *note, Text()]
