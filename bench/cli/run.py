"""``bench run``: load, plan, run, record, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import EXIT_FAILED, EXIT_INTERRUPTED
from bench.cli.options import (
    DURATION,
    WIDTH,
    format_option,
    print_json,
    print_renderable,
    store_option,
    workloads_option,
)

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.progress import RunObserver
    from bench.runner import RunResult
    from bench.suite_model import Suite
    from results.store import Store


@click.command()
@click.argument("suite")
@store_option
@click.option("--blocks", type=click.IntRange(min=1), help="This number of blocks, instead of the suite's sampling.")
@click.option("--max-blocks", type=click.IntRange(min=6), help="As many blocks at the most, until ratios are known.")
@click.option(
    "--ci-width", type=WIDTH, metavar="WIDTH", help="Measure until every primary ratio is known to this: 5%, 2%."
)
@click.option("--time-budget", type=DURATION, metavar="DURATION", help="Begin no block after this time: 10m, 2h.")
@click.option(
    "--threshold", type=WIDTH, metavar="WIDTH", help="Differences below this do not matter, instead of the suite's."
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the order, instead of the suite's or a new one.")
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME",
    help="Only this arm; may be given again. The baseline is always run.",
)
@click.option("--workload", "workloads", multiple=True, metavar="NAME", help="Only this workload; may be given again.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="Only workloads with this tag, beside those of --workload; may be given again.",
)
@workloads_option
@click.option(
    "--connect", metavar="URI", help="libvirt's driver for all guests: embed, system, session, or a URI; not the arms'."
)
@click.option("--dry-run", is_flag=True, help="Print the plan, with the CPUs that it would have here; do nothing.")
@format_option("table", "json")
@click.option("--no-report", is_flag=True, help="Store only; 'bench show' and 'bench report' tell of it later.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no comparison; failures only.")
@click.option("-v", "--verbose", is_flag=True, help="Tell of every trial and every step.")
def run(
    suite: str,
    store_directory: Path,
    blocks: int | None,
    max_blocks: int | None,
    ci_width: float | None,
    time_budget: float | None,
    threshold: float | None,
    seed: int | None,
    arms: tuple[str, ...],
    workloads: tuple[str, ...],
    tags: tuple[str, ...],
    workload_directories: tuple[Path, ...],
    connect: str | None,
    dry_run: bool,
    output_format: str,
    no_report: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run SUITE, the name of a shipped suite or a file, and report.

    Exits with 0 if all went well, 1 if a trial failed, 2 on bad input, 130 if interrupted; what was measured is
    stored in any case, trial by trial.
    """
    from bench.plan import make_plan
    from bench.privileges import check_privileges
    from bench.progress import open_progress
    from bench.sampling import SamplingOverride
    from bench.suite import load_suite
    from workloads.loader import open_catalogue

    loaded = load_suite(
        suite,
        sampling=SamplingOverride(blocks, max_blocks, ci_width, time_budget, seed, threshold),
        arms=arms,
        workloads=workloads,
        tags=tags,
        connect=connect,
        catalogue=open_catalogue(workload_directories),
    )
    plan = make_plan(loaded)
    if dry_run:
        _print_plan(plan, output_format)
        return 0
    check_privileges(loaded, plan, [suite, *(f"--workloads={directory}" for directory in workload_directories)])
    tell = _tell_run if no_report else partial(report_run, output_format=output_format, quiet=quiet)
    progress = partial(open_progress, quiet=quiet or output_format == "json", verbose=verbose)
    return run_and_tell(loaded, plan, store_directory, progress, tell)


def run_and_tell(
    suite: Suite,
    plan: Plan,
    store_directory: Path,
    progress: Callable[[], AbstractContextManager[RunObserver]],
    tell: Callable[[Store, RunResult], None],
) -> int:
    """Carry out a plan, have ``tell`` say what came of it, and give the exit code."""
    from bench.interruption import one_interruption
    from bench.measure import measure
    from results.store import Store

    with one_interruption() as interruption:
        result = measure(suite, plan, store_directory, progress)
        if result.interrupted:
            # An impatient second signal would meet a report that is being drawn, and some libraries, interrupted while
            # they are loaded, end the process by an abort.
            interruption.keep_out()
        with Store(store_directory).open(create=False) as store:
            tell(store, result)
    if result.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if result.failed else 0


def _print_plan(plan: Plan, output_format: str) -> None:
    from bench.placing import expected_placer, placement_data

    placement = placement_data(expected_placer(plan.arms), plan.arms)
    if output_format == "json":
        print_json(plan.describe() | {"placement": placement})
    else:
        from bench.cli.plan_table import plan_renderables

        print_renderable(*plan_renderables(plan, placement))


def _tell_run(store: Store, result: RunResult) -> None:
    """Name the run, and what failed."""
    if result.failed:
        trials = store.run_directory(result.run) / "trials"
        click.echo(f"{result.failed} trials failed; their logs are in {trials}", err=True)
    click.echo(f"run     {result.run}")


def report_run(
    store: Store, result: RunResult, output_format: str, *, quiet: bool, also: Mapping[str, object] | None = None
) -> None:
    """Print what was found, and where the report lies; ``also`` goes into the JSON."""
    from results.report import write_report
    from results.terminal.compare import compare_json, findings_renderables

    record = store.resolve(result.run)
    measured = not store.frame(record.id).empty
    if output_format == "json":
        comparisons = compare_json(store, record) if measured else []
        print_json({"run": record.id, "failed": result.failed, "comparisons": comparisons, **(also or {})})
    elif measured and not quiet:
        print_renderable(*findings_renderables(store, record))
    if result.interrupted:
        click.echo(f"interrupted: what was measured is kept in run {record.id}, marked partial", err=True)
    if not measured:
        click.echo(f"run {record.id} has no measured trial to report", err=True)
        return
    written = write_report(store, record, store.run_directory(record.id) / "report")
    if output_format != "json":
        _tell_run(store, result)
        click.echo(f"report  {written.html.resolve()}")
