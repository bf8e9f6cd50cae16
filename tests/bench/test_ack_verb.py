"""Acknowledging what is not of the newest run's history, and what was only found in the whole of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nightly_runs import add_nights, noisy

from bench.cli import run_command_line
from results.store import Store


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def changes(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run_command_line(["history", *options, "--format", "json"]) == 0
    return [change for series in json.loads(capsys.readouterr().out) for change in series["changes"]]


def test_a_change_of_another_suite_is_acknowledged_by_its_id_alone(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(directory).open(create=True) as store:
        runs = add_nights(store, {"native": noisy(1.0, 14) + noisy(1.2, 8)}, suite="quick")
        add_nights(store, {"native": noisy(1.0, 2)}, first=22, suite="disk")
    (change,) = changes(capsys, "--run", runs[-1].id)
    assert run_command_line(["ack", str(change["id"]), "--reason", "meant"]) == 0
    (known,) = changes(capsys, "--run", runs[-1].id)
    assert known["acknowledged"] == "meant"


def test_all_is_what_regress_gives_alarm_of(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(directory).open(create=True) as store:
        add_nights(store, {"native": noisy(1.0, 14) + noisy(1.2, 8)}, metric="startup.exec")
    assert changes(capsys, "startup.exec")
    assert run_command_line(["regress"]) == 0
    assert run_command_line(["ack", "--all", "--reason", "whatever it is"]) == 0
    assert changes(capsys, "startup.exec")[0]["acknowledged"] is None
