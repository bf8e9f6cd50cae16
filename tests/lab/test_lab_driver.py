"""What the lab does when it has booted, with commands that stand for its steps."""

from __future__ import annotations

import os
import signal
import time

import pytest


@pytest.fixture
def driver(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend("tests/lab/inside")
    import driver

    monkeypatch.setattr(driver, "RESULTS", tmp_path)
    driver.told = []
    monkeypatch.setattr(driver, "say", driver.told.append)
    return driver


def run(driver, script, limit=60.0):
    step = driver.Step("one", ["sh", "-c", script], limit)
    driver.run_step(step)
    return step


def test_a_step_is_told_of_and_kept(driver, tmp_path):
    step = run(driver, "echo first; echo; printf last")
    assert step.outcome == "passed"
    assert (tmp_path / "one.log").read_text() == "first\n\nlast"
    assert driver.told[:2] == ["one: begins", "one | first"]
    assert driver.told[-1].startswith("one: passed, ")


def test_a_step_that_fails_says_so(driver):
    assert run(driver, "exit 3").outcome == "failed: exit status 3"


def test_a_step_that_cannot_be_started_is_its_own_failure(driver):
    step = driver.Step("one", ["/no/such/program"], 60.0)
    driver.run_step(step)
    assert step.outcome.startswith("failed: could not be run: ")
    assert "No such file or directory: '/no/such/program'" in step.outcome
    assert driver.told[-1].startswith("one: failed: ")


def test_what_outlives_a_step_does_not_hold_it_up(driver, tmp_path):
    began = time.monotonic()
    assert run(driver, "sleep 600 & echo $!").outcome == "passed"
    assert time.monotonic() - began < 60
    os.kill(int((tmp_path / "one.log").read_text()), signal.SIGKILL)


def test_a_step_that_takes_too_long_is_killed_with_its_children(driver):
    began = time.monotonic()
    step = run(driver, "sleep 600; echo never", limit=0.5)
    assert step.outcome == "not finished within 0.5 s"
    assert time.monotonic() - began < 60


def test_every_step_has_a_name_of_its_own(driver):
    names = [step.name for stage in driver.stages() for lane in stage for step in lane]
    assert len(names) == len(set(names)) > 5
