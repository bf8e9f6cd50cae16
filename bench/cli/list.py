"""``bench list``: what there is to run, and what was run."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import format_option, print_rows, store_option, workloads_option


@click.command("list")
@click.argument("what", type=click.Choice(["runs", "suites", "workloads", "runtimes"]), default="runs")
@store_option
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only workloads with this tag; may be given again.")
@workloads_option
@format_option("table", "json")
def list_command(
    what: str, store_directory: Path, tags: tuple[str, ...], workload_directories: tuple[Path, ...], output_format: str
) -> None:
    """List what there is: runs in the store (the default), shipped suites, workloads, or runtimes."""
    if what != "workloads" and (tags or workload_directories):
        option = "--tag" if tags else "--workloads"
        raise click.UsageError(f"{option} is for 'bench list workloads'")
    match what:
        case "runs":
            print_rows(_runs(store_directory), output_format, empty="no run in this store yet", only_json=["started"])
        case "suites":
            print_rows(_suites(), output_format, empty="no suites")
        case "workloads":
            rows = _workloads(tags, workload_directories)
            print_rows(rows, output_format, empty="no workloads", only_json=["metrics", "parameters", "packages"])
        case "runtimes":
            print_rows(_runtimes(), output_format, empty="no runtimes")


def _runs(store_directory: Path) -> list[dict[str, object]]:
    from results.store import Store

    with Store(store_directory).open(create=False) as store:
        return [
            {
                "run": record.id,
                "suite": record.suite,
                "status": record.status,
                "started": record.started,
                "arms": list(record.arms),
                "stopped_because": record.stop_reason,
            }
            for record in store.runs()
        ]


def _suites() -> list[dict[str, object]]:
    from bench.suite import load_suite, shipped_suites

    suites = [(name, load_suite(name)) for name in shipped_suites()]
    return [
        {
            "suite": name,
            "arms": [arm.name for arm in suite.arms],
            "sampling": suite.sampling.describe(),
            "description": suite.description,
        }
        for name, suite in suites
    ]


def _workloads(tags: tuple[str, ...], directories: tuple[Path, ...]) -> list[dict[str, object]]:
    from workloads.loader import open_catalogue

    catalogue = open_catalogue(directories)
    wanted = {name for tag in tags for name in catalogue.tagged(tag)}
    return [
        {
            "workload": workload.name,
            "tags": list(workload.tags),
            "metrics": list(workload.metrics),
            "parameters": [f"{name}={parameter.default}" for name, parameter in workload.parameters.items()],
            "packages": list(workload.packages),
            "description": workload.description,
        }
        for name, workload in catalogue.workloads().items()
        if not tags or name in wanted
    ]


def _runtimes() -> list[dict[str, object]]:
    import inspect

    from bench.availability import why_unavailable
    from runtimes.registry import RUNTIMES, load_runtime

    rows: list[dict[str, object]] = []
    for name in RUNTIMES:
        runtime = load_runtime(name)
        summary = (inspect.getdoc(runtime) or "").partition("\n")[0]
        rows.append(
            {
                "runtime": name,
                "here": str(why_unavailable(name) or "yes"),
                "description": summary,
                "options": list(runtime.options_model.model_fields),
            }
        )
    return rows
