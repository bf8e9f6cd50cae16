"""Single charts as files: what is printed with them, and the verb that writes them."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from made_run import HOST, MadeRun
from stored_runs import RunBuilder, run_record

from bench.cli.chart import chart
from results.charts.catalogue import CHARTS
from results.charts.latency import latency_chart, percentile_name, percentiles_of
from results.charts.publishing import PRINTS, published
from results.charts.style import arm_styles
from results.report.data import RunData
from results.store import Store


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("charts") / "store"
    with Store(directory).open(create=True) as store:
        MadeRun(host=HOST, blocks=6).write(store)
    return directory


@pytest.fixture
def bench_chart(directory):
    return lambda *arguments: CliRunner().invoke(chart, ["latest", "--store", str(directory), *map(str, arguments)])


def test_every_kind_has_what_is_printed_with_it():
    assert PRINTS.keys() == CHARTS.keys()


def test_the_caption_tells_n_the_method_and_where_the_figures_come_from(bench_chart, directory):
    with Store(directory).open(create=False) as store:
        data = RunData.load(store, store.resolve("latest"))
    figure = published("throughput", data.charts, 7.6, "Somewhere.")
    title, caption = (text.get_text() for text in figure.texts)
    assert title == "Throughput relative to the baseline"
    said = caption.replace("\n", " ")
    assert "95 % signed-rank intervals" in said
    assert "; n 6 blocks. Somewhere." in said


def test_a_file_is_the_same_whenever_it_is_written(bench_chart, tmp_path):
    for suffix in ("svg", "pdf"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        assert bench_chart("--kind", "startup", "-o", first).exit_code == 0
        assert bench_chart("--kind", "startup", "-o", second).exit_code == 0
        assert first.read_bytes() == second.read_bytes()
        assert not re.search(rb"<dc:date>|/CreationDate|matplotlib v", first.read_bytes())
    assert b"<title>vm (emulated)" in (tmp_path / "a.svg").read_bytes(), "a browser shows what a mark says"


def test_the_width_is_that_of_the_file(bench_chart, tmp_path):
    bench_chart("--kind", "memory", "-o", tmp_path / "a.svg", "--width", "5")
    assert 'width="360pt"' in (tmp_path / "a.svg").read_text()


def test_the_list_has_what_the_run_has_something_for(bench_chart):
    listed = bench_chart("--list").output
    assert re.search(r"^throughput +Throughput relative to the baseline$", listed, re.MULTILINE)
    assert "density" not in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--list tells what charts"),
        (("--kind", "startpu"), "no chart 'startpu'; there are startup,"),
        (("--kind", "startup", "-o", "a.jpg"), r"written as .svg, .png, .pdf"),
        (("--kind", "density"), "measured nothing for the chart 'density'"),
    ],
)
def test_mistakes_are_named(bench_chart, arguments, message):
    result = bench_chart(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_percentiles_are_in_seconds_from_the_lowest_whatever_their_unit(tmp_path):
    with Store(tmp_path / "store").open(create=True) as store:
        run = RunBuilder(store, run_record(arms=("native", "vm")))
        for block in (1, 2, 3):
            for arm, factor in (("native", 1), ("vm", 3)):
                run.trial(block, arm, latency_p999=900.0 * factor, latency_p50=40.0 * factor, latency_max=1.0)
        frame = store.frame(run.record.id).assign(unit="µs")
    arms = arm_styles(("native", "vm"), "native", ())
    (by_arm,) = percentiles_of(frame, arms).values()
    assert [(one.name, one.seconds) for one in by_arm["vm"]] == [
        ("p50", pytest.approx(120e-6)),
        ("p99.9", pytest.approx(2.7e-3)),
    ]
    (axes,) = latency_chart(frame, arms).axes
    assert axes.get_xscale() == "log"
    assert "40.0 µs · 900 µs" in [text.get_text() for text in axes.texts]
    assert latency_chart(frame.assign(unit="iops"), arms) is None


def test_names_of_percentiles():
    names = {
        "latency_p50": "p50",
        "latency_p999": "p99.9",
        "latency_p9999": "p99.99",
        "latency_max": "",
        "iops_p50": "",
    }
    assert {metric: percentile_name(metric) for metric in names} == names
