"""Published figures beside our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console, RenderableType
from stored_runs import RunBuilder, run_record

from bench.cli import cli
from bench.plan import make_plan
from bench.suite import load_suite
from results.compare import compare
from results.records import Sample
from results.references import Reference, published_ratios, references_of, runtimes_of, sources
from results.references.file import load_file
from results.report import save_chart, write_report
from results.store import Store
from results.terminal.compare import compare_json, compare_renderables
from workloads.loader import load_catalogue

RUNTIMES = {
    "native": "native",
    "container-hostnet": "container",
    "container-nat": "container",
    "vm": "vm",
    "vm-tuned": "vm",
    "mine": "vm",
}
FACTORS = {"native": 1.0, "container-hostnet": 0.97, "container-nat": 0.8, "vm": 0.5, "vm-tuned": 0.9, "mine": 0.7}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store").open(create=True) as opened:
        yield opened


@pytest.fixture
def built(store: Store) -> RunBuilder:
    """Eight blocks of redis and of a linpack of another size, in arms named as IBM's are and in one more."""
    builder = RunBuilder(store, run_record(arms=tuple(RUNTIMES)))
    for block in range(8):
        for arm, runtime in RUNTIMES.items():
            for workload, metric, params in (
                ("redis", "requests_per_second", {"command": "get", "clients": 10, "pipeline": 1}),
                ("linpack", "gflops", {"n": 0}),
            ):
                value = 1000.0 * FACTORS[arm] * (1 + block / 1000)
                sample = Sample(metric, value, "1/s", "higher", primary=True)
                builder.trial(block, arm, sample, workload=workload, params=params, runtime=runtime)
    store.finish_run(builder.record.id, "complete", "2026-11-27T00:00:00Z", None)
    return builder


def found(built: RunBuilder, source: str | None = None) -> dict[tuple[str, str], Reference]:
    references = references_of(compare(built.frame, "native"), runtimes_of(built.frame), source)
    return {(each.comparison.workload, each.comparison.arm): each for each in references}


def test_an_arm_is_compared_with_the_published_one_of_its_name_or_its_runtime(built: RunBuilder) -> None:
    ratios = {key: each.ratio for key, each in found(built).items()}
    assert ratios == {
        ("redis", "container-nat"): 0.66,
        ("redis", "vm"): 0.54,
        ("redis", "mine"): 0.54,
        ("linpack", "container-hostnet"): 1.0,
        ("linpack", "container-nat"): 1.0,
        ("linpack", "vm"): 0.448,
        ("linpack", "vm-tuned"): 0.977,
        ("linpack", "mine"): 0.448,
    }


def test_other_parameters_are_another_measurement(store: Store) -> None:
    builder = RunBuilder(store, run_record())
    for block in range(3):
        for arm in ("native", "container"):
            sample = Sample("requests_per_second", 5.0, "1/s", "higher", primary=True)
            builder.trial(block, arm, sample, workload="redis", params={"command": "set", "clients": 10, "pipeline": 1})
    assert references_of(compare(builder.frame, "native"), runtimes_of(builder.frame)) == []


def test_a_ratio_to_something_else_than_native_is_another_quantity(built: RunBuilder) -> None:
    assert references_of(compare(built.frame, "container-nat"), runtimes_of(built.frame)) == []


def test_everything_of_ibm_is_about_a_case_of_the_suite_that_repeats_it() -> None:
    cases = [(case.workload.name, case.params) for case in make_plan(load_suite("ibm2014")).cases]
    for published in published_ratios():
        if published.source.key == "ibm2014":
            assert any(
                name == published.workload and all(str(params[key]) in of for key, of in published.where.items())
                for name, params in cases
            ), published


def test_sources_can_be_had_one_at_a_time(built: RunBuilder) -> None:
    assert found(built, "firecracker2020") == {}
    assert found(built, "ibm2014") == found(built)


def test_every_published_ratio_is_about_a_metric_and_parameters_of_the_catalogue() -> None:
    catalogue = load_catalogue()
    for published in published_ratios():
        workload = catalogue[published.workload]
        assert published.metric in workload.metrics
        for name, values in published.where.items():
            default = workload.parameters[name].default
            assert all(str(workload.resolve({name: type(default)(value)})[name]) == value for value in values)
        assert published.ratios
        assert all(0 < ratio < 2 for ratio in published.ratios.values())


def test_everything_published_has_a_source_that_is_named() -> None:
    file = load_file()
    cited = {part.source for part in (*file.throughput, *file.startup_ms, *file.memory_mib)}
    assert cited <= file.sources.keys()
    assert sources().keys() == {"ibm2014", "firecracker2020", "unikraft2021"}


def text_of(renderables: list[RenderableType]) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(*renderables)
    return capture.get()


def test_the_terminal_has_theirs_beside_ours_with_host_and_caveats(built: RunBuilder, store: Store) -> None:
    said = text_of(compare_renderables(store, built.record, "ibm2014"))
    assert "published: ibm2014" in said
    assert "theirs: n=45000 sockets=2" in said
    assert "x3650 M4" in said
    assert "never a target" in said
    table = said[said.index("published: ibm2014") :]
    (line,) = [line for line in table.splitlines() if "vm-tuned" in line]
    assert line.split()[1:] == ["0.900×", "0.900–0.900×", "0.977×"]
    assert "published" not in text_of(compare_renderables(store, built.record))
    assert "neither the workloads nor" in text_of(compare_renderables(store, built.record, "firecracker2020"))


def test_the_same_as_data(built: RunBuilder, store: Store) -> None:
    rows = compare_json(store, built.record, "ibm2014")
    (row,) = [row for row in rows if (row["workload"], row["arm"], row["metric"]) == ("linpack", "vm", "gflops")]
    published = row["published"]
    assert isinstance(published, list)
    assert [(each["ratio"], each["native"], each["n"]) for each in published] == [(0.448, 290.8, 10)]
    assert all("published" not in row for row in compare_json(store, built.record))


def test_an_unknown_source_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["compare", "--reference", "ibm", "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert "expected one of ibm2014, unikraft2021, firecracker2020" in result.output


def test_the_report_has_them_as_table_and_chart(built: RunBuilder, store: Store, tmp_path: Path) -> None:
    written = write_report(store, built.record, tmp_path / "report")
    html = written.html.read_text()
    assert "As published" in html
    assert 'id="chart-references"' in html
    assert "whose directory names the performance governor" in html
    save_chart(store, built.record, "references", tmp_path / "references.svg")
    assert (tmp_path / "references.svg").stat().st_size > 1000
