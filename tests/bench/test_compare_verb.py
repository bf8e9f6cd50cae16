"""``bench compare`` and ``bench show`` as a user types them, on a store that is made up."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stored_runs import RunBuilder, run_record

from bench.cli import run_command_line
from bench.cli.compare import _COMPARISON_ORDERS, _SUMMARY_ORDERS
from results import selection
from results.records import Sample
from results.store import Store

BENCH = Path(sys.executable).with_name("bench")
IDS = ("20261128-020000-aaaa", "20261129-020000-bbbb", "20261130-020000-cccc")


@pytest.fixture(scope="module")
def store_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs; each is slower than the one before by a fifth, in every arm."""
    directory = Path(tmp_path_factory.mktemp("store"))
    with Store(directory).open(create=True) as store:
        for number, run_id in enumerate(IDS):
            run = RunBuilder(store, run_record(id=run_id, started=f"2026-11-{28 + number}T02:00:00Z"))
            for block in range(8):
                for arm, factor in (("native", 1.0), ("container", 1.01), ("vm", 1.5)):
                    value = factor * 1.2**number * (1 + (block * 3 % 8) / 4000)
                    rate = Sample("events_per_second", 100 / value, "1/s", "higher", primary=True)
                    run.trial(block, arm, rate, workload="sysbench-cpu", params={"threads": 1}, cpu_time=value)
    return directory


@pytest.fixture
def bench(store_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("BENCH_STORE", str(store_directory))
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str, expected: int = 0) -> str:
        code = run_command_line(arguments)
        out, err = capsys.readouterr()
        assert code == expected, err
        return err if expected else out

    return call


def test_the_orders_on_the_command_line_are_those_of_the_results() -> None:
    assert _COMPARISON_ORDERS == selection.COMPARISON_ORDERS
    assert _SUMMARY_ORDERS == selection.SUMMARY_ORDERS


def test_without_a_run_it_is_the_latest(bench: Any) -> None:
    assert bench("compare") == bench("compare", IDS[2]) == bench("compare", "latest")


def test_two_runs_are_the_second_against_the_first(bench: Any) -> None:
    (row,) = json.loads(bench("compare", IDS[0], "latest", "--format", "json", "--metric", "cpu_time", "--arm", "vm"))
    assert (row["run"], row["baseline_run"], row["arm"], row["baseline"]) == (IDS[2], IDS[0], "vm", "vm")
    assert (row["ratio"], row["verdict"]) == (pytest.approx(1.44, rel=0.01), "worse")


def test_many_runs_are_columns(bench: Any) -> None:
    text = " ".join(bench("compare", *IDS).split())
    assert "vm 1.50 s 1.20× ✗ 1.44× ✗" in text


@pytest.mark.parametrize("runs", [(), (IDS[0], IDS[1]), IDS])
def test_every_form_tells_of_the_same_rows(bench: Any, runs: tuple[str, ...]) -> None:
    arguments = ("compare", *runs, "--metric", "cpu_time")
    as_json = json.loads(bench(*arguments, "--format", "json"))
    as_csv = list(csv.DictReader(io.StringIO(bench(*arguments, "--format", "csv"))))
    as_markdown = [line for line in bench(*arguments, "--format", "markdown").splitlines() if "| cpu\\_time |" in line]
    assert [row["arm"] for row in as_json] == [row["arm"] for row in as_csv]
    assert len(as_markdown) == len(as_json) == (2 if not runs else 3 * (len(runs) - 1))


def test_show_has_the_same_forms(bench: Any) -> None:
    shown = json.loads(bench("show", "--arm", "vm", "--format", "json"))
    listed = list(csv.DictReader(io.StringIO(bench("show", "--arm", "vm", "--format", "csv"))))
    assert [row["metric"] for row in shown["summaries"]] == [row["metric"] for row in listed]
    assert "| sysbench-cpu threads=1 | cpu\\_time | vm |" in bench("show", "--format", "markdown")
    assert "spread" in bench("show", "--sort", "spread")


def test_any_arm_may_be_the_baseline(bench: Any) -> None:
    rows = json.loads(bench("compare", "--baseline", "vm", "--format", "json"))
    assert {(row["arm"], row["baseline"]) for row in rows} == {("native", "vm"), ("container", "vm")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "--metric", "cpu_tiem"), "did you mean 'cpu_time'?"),
        (("show", "--workload", "sysbench"), "did you mean 'sysbench-cpu'?"),
        (("compare", IDS[0], IDS[1], "--arm", "docker"), "there are native, container, vm"),
        (("compare", "--baseline", "nativ"), "did you mean 'native'?"),
        (("compare", IDS[0], "latest", "--baseline", "vm"), "--baseline is about the arms of one run"),
        (("compare", IDS[0], "latest", "--reference", "ibm2014"), "--reference is about the arms of one run"),
        (("compare", "latest", IDS[2]), f"run {IDS[2]} is given twice"),
        (("compare", IDS[0], "20261"), "is the beginning of several runs"),
        (("compare", "--sort", "size"), "'ratio'"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(bench: Any, arguments: tuple[str, ...], said: str) -> None:
    assert said in bench(*arguments, expected=2)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_poor_character_set_gets_the_nearest_characters(store_directory: Path, encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "FORCE_COLOR": "1", "COLUMNS": "100"}
    command = [BENCH, "compare", *IDS[:2], "--store", store_directory]
    finished = subprocess.run(command, capture_output=True, env=environment, check=True)
    text = finished.stdout.decode(encoding)
    assert "o" in text
    assert "worse" in text
    assert "1.20x" in text if encoding == "ascii" else "1.20×" in text
    assert "1.20-1.20" in text
    assert "?" not in text
