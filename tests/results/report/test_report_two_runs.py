"""The report of two runs, as it is written, and the verb that writes it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from made_run import HOST, MadeRun

from bench.cli.report import report
from results.report import two_runs
from results.report.two_runs import TwoRuns
from results.store import Store

FIRST, LATER = "20261124-114502-3f9a", "20261125-114502-77aa"
HOSTILE = '</script><script>alert("1")</script>\x1b[31m'
FACTS = {**HOST, "facts": {**HOST["facts"], "kernel": HOSTILE, "swap": "8 GiB"}}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A store with two runs that are not alike, the later one twenty percent up in every figure."""
    directory = tmp_path_factory.mktemp("two") / "store"
    with Store(directory).open(create=True) as store:
        MadeRun(host=HOST, arms=("native", "container"), blocks=8, omit=("image_size",)).write(store)
        MadeRun(
            host=FACTS, arms=("native", "container", "vm"), blocks=8, id=LATER, image="0ther", scale=1.2, suite=HOSTILE
        ).write(store)
    return directory


@pytest.fixture
def document(directory):
    with Store(directory).open(create=False) as store:
        data = TwoRuns.load(store, store.resolve(FIRST), store.resolve(LATER))
        return two_runs.document(data, two_runs.figures(data, 7.0))


def test_what_is_not_alike_is_said_loudly_and_first(document):
    alarm, *notices = document.banners
    assert alarm.level == "alarm"
    assert "not the same image: 0ther, and 4f1c2e9d" in alarm.text
    assert any("only 20261125-114502-77aa has trials of vm" in notice.text for notice in notices)


def test_every_metric_is_divided_by_the_first_runs(document):
    changes, every, environment, _ = document.sections
    rows = {row[:3]: row for table in (*changes.tables, *every.tables) for row in table.rows}
    start = rows["null", "startup_time", "container"]
    assert start[5].startswith("1.2")
    assert start[6:8] == ("8, 8", "worse")
    assert [row[0] for row in environment.tables[0].rows] == ["kernel", "swap"]
    (native, container) = document.findings
    assert "worse" in native.text
    assert "Greatest gain" in container.text


def test_the_verb_writes_it_and_opens_it(directory, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    opener = tmp_path / "opener"
    opener.write_text(f"#!/bin/sh\necho $1 > {seen}\n")
    opener.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(opener))
    given = [FIRST, LATER, "--store", str(directory), "-o", str(tmp_path / "out"), "--open"]
    monkeypatch.setattr("webbrowser._tryorder", None)
    result = CliRunner().invoke(report, given)
    assert result.exit_code == 0, result.output
    assert seen.read_text().strip() == (tmp_path / "out" / "report.html").as_uri()
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<script") == 1
    assert '<figure id="chart-changes">' in page
    assert (tmp_path / "out" / "charts" / "changes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("runs", "message"), [((LATER,) * 2, "given twice"), ((FIRST,) * 3, "not of 3")])
def test_mistakes_are_named(directory, runs, message):
    result = CliRunner().invoke(report, [*runs, "--store", str(directory)])
    assert result.exit_code == 2
    assert message in result.output


def test_a_run_against_another_lies_beside_its_own_report(directory):
    result = CliRunner().invoke(report, [FIRST, LATER, "--store", str(directory)])
    assert result.output.splitlines()[0].endswith(f"{LATER}/report-against-{FIRST}/report.html")
