"""The benchmark of a guest's start: its figures, and that all that it compares comes up and is gone afterwards."""

from __future__ import annotations

import json

import pytest
import vm_start
from click.testing import CliRunner
from guest_figures import BEST, PLAIN, PLAIN_QUIET, RESTORE, STOCK, TUNED, figures, table
from measurement import Measurement
from starts import Start
from traces import host_traces


def starts(*seconds):
    return [Start(ready * 1e3, {"spawn": ready * 100, "ready": ready * 900}) for ready in seconds]


@pytest.fixture
def measured():
    times = {
        STOCK: (2.5, 2.4, 9),
        TUNED: (1.4, 1.5, 1.4),
        RESTORE: (0.3, 0.3, 0.2),
        PLAIN: (2, 2, 2),
        PLAIN_QUIET: (1.75, 1.75, 1.75),
        BEST: (1.25, 1.25, 3),
    }
    facts = {"accel": "tcg"}
    return Measurement({name: starts(*of) for name, of in times.items()}, 7, {}, facts)


def test_ratios_are_those_of_medians(measured):
    found = figures(measured)
    assert (found["stock_s"], found["tuned_s"], found["restore_s"]) == (2.5, 1.4, 0.3)
    assert found["ratio_best"] == pytest.approx(1.12)
    assert found["ratio_plain"] == pytest.approx(0.7)
    assert found["ratio_plain_quiet"] == pytest.approx(0.8)
    assert found["ratio_restore"] == pytest.approx(0.3 / 1.4)
    assert found["libvirt_ms"] == pytest.approx(150)
    assert found["phases_ms"][TUNED] == pytest.approx({"spawn": 140, "ready": 1260})
    assert (found["n"], found["seed"]) == (3, 7)
    met = {name: goal["met"] for name, goal in found["goals"].items()}
    assert met == {"ratio_best": False, "ratio_plain": True, "ratio_restore": True, "libvirt_ms": False}


def test_the_table_tells_of_every_contestant_and_goal(measured):
    lines = {line.split("  ")[0]: line for line in table(figures(measured)).splitlines() if line}
    assert {STOCK, TUNED, RESTORE, PLAIN, PLAIN_QUIET, BEST, "libvirt", "ratio_best"} <= lines.keys()
    assert lines["ratio_best"].endswith("missed")


def test_json_is_all_that_it_prints_and_a_missed_goal_is_no_failure(monkeypatch, measured):
    monkeypatch.setattr(vm_start, "run", lambda *_: measured)
    result = CliRunner().invoke(vm_start.main, ["--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(figures(measured)))


@pytest.mark.host
@pytest.mark.guest
@pytest.mark.slow
def test_everything_comes_up_and_nothing_is_left(facilities, accel):
    before = host_traces(facilities)
    found = figures(vm_start.measure(facilities, rounds=1, seed=1, pause=0, accelerator=accel, warm_up=0))
    assert host_traces(facilities) == before
    assert 0 < found["restore_s"] < found["tuned_s"]
    assert set(found["phases_ms"]) == {STOCK, TUNED, RESTORE}
    assert found["intervals"]["ratio_best"] is None, "one round gives no interval"
