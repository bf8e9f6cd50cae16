"""The verbs about many runs by the command line: what they print, write, refuse and exit with."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest
from nightly_runs import add_nights, noisy
from stored_runs import RunBuilder, run_record

from bench.cli import run_command_line
from bench.cli.plain_text import spell_plainly
from bench.runner import RunResult
from results.records import Baseline, Sample
from results.store import Store
from results.terminal.history import sparkline

NIGHTS = 24
SUITE = """
name: example
regress:
  threshold: 2%
  metrics:
    cpu_time: ignore
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "store"


def fill(directory: Path, container: Sequence[float]) -> str:
    with Store(directory).open(create=True) as store:
        runs = add_nights(store, {"native": noisy(1.0, len(container), seed=9), "container": container})
        for run in runs:
            (store.run_directory(run.id) / "suite.yaml").write_text(SUITE)
    return runs[-1].id


def slower(nights: int) -> list[float]:
    return noisy(1.0, NIGHTS - nights) + noisy(1.1, nights, seed=3)


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run_command_line(arguments)
    written = capsys.readouterr()
    return code, written.out, written.err


def data(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code, out, _ = bench(capsys, *arguments, "--format", "json")
    return code, json.loads(out)


def test_a_regression_exits_with_3_and_is_told_everywhere(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fill(directory, slower(5))
    code, out, _ = bench(capsys, "regress")
    assert code == 3
    assert run in out
    assert "1 worse" in out
    for name, start in (("r.md", "### "), ("r.xml", "<?xml"), ("r.json", "{")):
        assert bench(capsys, "regress", "-o", str(tmp_path / name))[0] == 3
        assert (tmp_path / name).read_text().startswith(start)
    assert ET.parse(tmp_path / "r.xml").getroot()[0].get("failures") == "1"
    code, found = data(capsys, "regress")
    assert (code, found["exit_code"], found["regressed"]) == (3, 3, 1)


def test_what_is_inconclusive_exits_with_4_only_where_asked_for(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(directory, slower(1))
    assert bench(capsys, "regress")[0] == 0
    assert bench(capsys, "regress", "--strict")[0] == 4
    assert bench(capsys, "regress", "--strict", "--arm", "native")[0] == 0


def test_a_change_is_acknowledged_and_taken_back_by_its_id(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(directory, slower(5))
    found = data(capsys, "regress")[1]["findings"]
    assert isinstance(found, list)
    (change,) = [each["change"]["id"] for each in found if each["change"]]
    assert bench(capsys, "ack", change)[0] == 2
    code, out, _ = bench(capsys, "ack", change, "--reason", "new [kernel]")
    assert (code, "new [kernel]" in out) == (0, True)
    assert bench(capsys, "regress")[0] == 0
    assert "acknowledged: new [kernel]" in bench(capsys, "history", "startup_time")[1]
    code, _, said = bench(capsys, "ack", "0badf00d", "--reason", "x")
    assert (code, "no change '0badf00d'" in said) == (2, True)
    assert bench(capsys, "ack", change, "--undo")[0] == 0
    assert bench(capsys, "regress")[0] == 3
    assert bench(capsys, "ack", "--all", "--reason", "all of it")[0] == 0
    assert bench(capsys, "regress")[0] == 0


def test_what_is_known_is_told_with_its_reason_in_every_form(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(directory, slower(5))
    assert bench(capsys, "ack", "--all", "--reason", "kernel 6.18")[0] == 0
    for form in ("table", "markdown", "junit", "json"):
        code, out, _ = bench(capsys, "regress", "--format", form)
        assert (code, "kernel 6.18" in out) == (0, True), form
    assert "kernel 6.18" in bench(capsys, "history", "--format", "markdown")[1]


def test_what_makes_a_strict_job_fail_is_named(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(directory, noisy(1.0, 5))
    code, out, _ = bench(capsys, "regress", "--strict")
    assert code == 4
    assert "container" in out
    assert "too little history: 5 runs of at least 8" in out


def test_a_text_does_not_steer_the_terminal(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(directory, slower(5))
    assert bench(capsys, "ack", "--all", "--reason", "new \x1b]0;kernel\x07 \u202e[b]")[0] == 0
    for arguments in (("history", "startup_time"), ("ack",), ("regress",), ("regress", "\x1b[2J")):
        _, out, error = bench(capsys, *arguments)
        assert out + error
        assert not set("\x1b\x07\u202e") & set(out + error)


def test_a_baseline_has_a_name_until_it_is_taken_away(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(directory, slower(3))
    with Store(directory).open(create=False) as store:
        first = store.runs()[-1].id
    assert bench(capsys, "baseline", "set", "release", first)[0] == 0
    assert first in bench(capsys, "baseline", "list")[1]
    code, found = data(capsys, "regress", "--baseline", "release")
    assert (code, found["baseline"]) == (3, "release")
    code, _, said = bench(capsys, "remove", first)
    assert (code, f"run {first} is the baseline release" in said) == (2, True)
    code, _, said = bench(capsys, "regress", first, "--baseline", "release")
    assert (code, f"baseline 'release' is run {first} itself" in said) == (2, True)
    code, _, said = bench(capsys, "baseline", "set", "<script>")
    assert (code, "'<script>' is no name of a baseline" in said) == (2, True)
    assert bench(capsys, "baseline", "remove", "release")[0] == 0
    code, _, said = bench(capsys, "regress", "--baseline", "release")
    assert (code, "bench baseline set" in said) == (2, True)
    assert bench(capsys, "baseline", "remove", "release")[0] == 2


def test_a_history_in_every_form_and_as_a_chart(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(directory, slower(5))
    code, out, _ = bench(capsys, "history", "startup_time", "--arm", "container")
    assert (code, "▼ worse" in out) == (0, True)
    rows = list(csv.DictReader(io.StringIO(bench(capsys, "history", "--format", "csv")[1])))
    assert len(rows) == 2 * NIGHTS
    assert {row["metric"] for row in rows} == {"startup_time"}
    assert len(json.loads(bench(capsys, "history", "--last", "7", "--format", "json")[1])[0]["points"]) == 7
    for name in ("h.svg", "h.png", "h.pdf"):
        assert bench(capsys, "history", "-o", str(tmp_path / name))[0] == 0
        assert (tmp_path / name).stat().st_size > 5000
    assert bench(capsys, "history", "-o", str(tmp_path / "h.gif"))[0] == 2


def test_what_a_run_brings_is_never_taken_for_markup(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(directory).open(create=True) as store:
        store._connection.execute("PRAGMA synchronous = OFF")
        for night in range(NIGHTS):
            started = f"2026-10-{night + 1:02}T03:00:00+00:00"
            record = run_record(id=f"202610{night + 1:02}-odd", arms=("native", "b[/b]"), started=started)
            made = RunBuilder(store, record)
            for block in range(4):
                for arm in record.arms:
                    value = 1000 * (1 + block / 1000) * (0.8 if arm != "native" and night > 18 else 1)
                    made.trial(block, arm, Sample("rate[/r]", value, "req[/s]", "higher", 0, True), workload="w[/w]")
            store.finish_run(record.id, "complete", started, None)
        store.set_baseline(Baseline("x<script>[/x]", "20261001-odd", "2026-11-01T00:00:00Z", "of an earlier version"))
    for arguments in (("regress",), ("history",), ("regress", "--baseline", "x<script>[/x]")):
        code, out, _ = bench(capsys, *arguments)
        assert (code, "req[/s]" in out, "b[/b]" in out) == (3 if arguments[0] == "regress" else 0, True, True)
    for verb in ("show", "compare"):
        code, out, _ = bench(capsys, verb, "latest")
        assert (code, "rate[/r]" in out) == (0, True)
    assert "<script>" not in bench(capsys, "regress", "--baseline", "x<script>[/x]", "--format", "markdown")[1]


def test_a_history_in_a_poor_character_set_has_no_question_marks(directory: Path) -> None:
    fill(directory, slower(5))
    asked = (("ascii", "history"), ("latin-1", "regress"), ("latin-1", "regress", "--format", "markdown"))
    for encoding, *arguments in asked:
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        command = [Path(sys.executable).with_name("bench"), *arguments]
        out = subprocess.run(command, capture_output=True, env=environment, check=False).stdout.decode(encoding)
        assert "?" not in out, out
        assert "->" in out, out
    spell_plainly()
    assert sparkline(range(8)).encode("ascii", "bench-nearest") == b"12345678"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("history", "startup_tim"), "did you mean 'startup_time'"),
        (("regress", "--metric", "iosp"), "no metric here matches 'iosp'"),
        (("regress", "nonsense"), "no run 'nonsense'"),
        (("ack", "--all"), "--reason"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    fill(directory, noisy(1.0, 9))
    code, _, error = bench(capsys, *arguments)
    assert (code, said in error) == (2, True)


def test_a_damaged_suite_of_a_run_is_named(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fill(directory, noisy(1.0, 9))
    (directory / "runs" / run / "suite.yaml").write_text("regress: {threshold: often}")
    code, _, error = bench(capsys, "regress")
    assert (code, "suite.yaml is damaged" in error) == (2, True)


@pytest.mark.parametrize(("level", "code"), [(1.1, 3), (1.0, 0)])
def test_what_is_suspicious_is_run_again_before_it_alarms(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, level: float, code: int
) -> None:
    newest = fill(directory, slower(1))
    asked: list[list[tuple[str, str]]] = []

    def again(store_directory: Path, found: object, **_: object) -> object:
        from results.history.regress import Regress, with_rerun

        assert isinstance(found, Regress)
        asked.append([(each.key.arm, each.key.metric) for each in found.findings if each.new])
        with Store(store_directory).open(create=False) as store:
            rerun = RunBuilder(store, run_record(suite="example-confirm", started="2026-05-01T00:00:00+00:00"))
            rerun.blocks("container", [level * (1 + 0.001 * block) for block in range(4)], "startup_time")
            store.finish_run(rerun.record.id, "complete", "2026-05-01T00:00:00+00:00", None)
            return with_rerun(found, store, rerun.record)

    monkeypatch.setattr("bench.confirm.confirm", again)
    assert bench(capsys, "regress", "--confirm")[0] == code
    assert asked == [[("container", "startup_time")]]
    # The run that confirms is no night of its own.
    found = data(capsys, "regress")[1]
    assert (found["run"], found["runs"]) == (newest, NIGHTS)


@pytest.mark.parametrize(("nights", "code", "verdict"), [(5, 3, "worse"), (1, 0, "inconclusive")])
def test_what_cannot_be_run_again_keeps_its_verdict(
    directory: Path, capsys: pytest.CaptureFixture[str], nights: int, code: int, verdict: str
) -> None:
    """The suite of these runs is none that could be loaded."""
    newest = fill(directory, slower(nights))
    capsys.readouterr()
    assert run_command_line(["regress", "--confirm", "--format", "json"]) == code
    written = capsys.readouterr()
    findings = {each["arm"]: each for each in json.loads(written.out)["findings"] if each["metric"] == "startup_time"}
    in_question = findings["container"]
    assert (in_question["verdict"], in_question["confirmed"]) == (verdict, None)
    assert f"could not be run again: {directory}/runs/{newest}/suite.yaml:2:1: " in in_question["notes"][-1]
    assert not any("again" in note for note in findings["native"]["notes"])
    assert "bench: what stands out could not be run again: " in written.err


def test_who_stops_the_second_run_is_told_nothing_of_the_first(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(directory, slower(5))
    monkeypatch.setattr("bench.confirm.measure_apart", lambda _: RunResult("r", interrupted=True))
    assert bench(capsys, "regress", "--confirm")[:2] == (130, "")
