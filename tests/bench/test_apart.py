"""The process of its own that a run is carried out by: what it tells, and that it ends when its parent is to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from waiting import eventually

from bench.apart import Errand, measure_apart
from bench.errors import RunError
from workloads.errors import InvalidInput

ERRAND = Errand(store="store", directories=(), quiet=True, suite="no/such.yaml")

PRELUDE = """
import os, sys, time, bench.apart as apart
from bench.runner import RunResult
from pathlib import Path
"""
SLEEPS = """
def carried_out(errand):
    try:
        Path(errand.store).write_text(str(os.getpid()))
        {does}
    except KeyboardInterrupt:
        {then}
apart._carried_out = carried_out
apart.main(*sys.argv[1:])
"""
IN_ORDER = SLEEPS.format(does="time.sleep(60)", then="return RunResult('the run', 2, interrupted=True)")
TOO_EARLY = SLEEPS.format(does="time.sleep(60)", then="raise")


def does(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """What the process does instead of its work."""
    monkeypatch.setattr("bench.apart._MAIN", PRELUDE + script)


def test_what_is_wrong_is_raised_here() -> None:
    with pytest.raises(InvalidInput, match=r"no/such\.yaml"):
        measure_apart(ERRAND)


@pytest.mark.parametrize(
    ("script", "said"), [("os.kill(os.getpid(), 9)", "exit status -9"), ("1 / 0", "exit status 1")]
)
def test_a_process_that_dies_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], script: str, said: str
) -> None:
    does(monkeypatch, script)
    with pytest.raises(RunError, match=said):
        measure_apart(ERRAND)
    assert ("ZeroDivisionError" in capfd.readouterr().err) == (script == "1 / 0")


def test_what_came_of_the_run_is_told_whatever_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran = "print('block 1'); return RunResult('the run', 3)"
    does(monkeypatch, SLEEPS.format(does=ran, then="raise"))
    result = measure_apart(Errand(store=str(tmp_path / "pid"), directories=(), quiet=False))
    assert (result.run, result.failed, result.interrupted) == ("the run", 3, False)
    assert capfd.readouterr().out == "block 1\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    does(monkeypatch, IN_ORDER)
    place = tmp_path / "pid"
    before = signal.signal(number, signal.default_int_handler)  # it may be ignored, as in a job in the background
    waiting = threading.Thread(target=lambda: (_pid(place), os.kill(os.getpid(), number), os.kill(os.getpid(), number)))
    waiting.start()
    try:
        result = measure_apart(Errand(store=str(place), directories=(), quiet=True))
    finally:
        waiting.join()
        signal.signal(number, before)
    assert (result.run, result.failed, result.interrupted) == ("the run", 2, True)
    assert not psutil.pid_exists(_pid(place))


def assert_ends_when_told(place: Path) -> None:
    """Without a run to tell of, and with its process."""
    waiting = threading.Thread(target=lambda: (_pid(place), os.kill(os.getpid(), signal.SIGTERM)))
    waiting.start()
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        measure_apart(Errand(store=str(place), directories=(), quiet=True))
    waiting.join()
    assert not psutil.pid_exists(_pid(place))


def test_a_signal_before_there_is_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    does(monkeypatch, TOO_EARLY)
    place = tmp_path / "pid"
    assert_ends_when_told(place)


def test_one_that_does_not_end_is_killed_in_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deaf = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); time.sleep(600)"
    does(monkeypatch, SLEEPS.format(does=deaf, then="raise"))
    monkeypatch.setattr("bench.apart._END_PATIENCE", 0.2)
    place = tmp_path / "pid"
    assert_ends_when_told(place)


def test_nothing_goes_on_after_a_parent_that_was_killed(tmp_path: Path) -> None:
    place = tmp_path / "pid"
    main = PRELUDE + TOO_EARLY
    script = f"{PRELUDE}apart._MAIN = {main!r}\napart.measure_apart(apart.Errand({str(place)!r}, (), True))"
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        pid = _pid(place)
        parent.kill()
    assert eventually(lambda: not psutil.pid_exists(pid), 10)


def _pid(place: Path) -> int:
    """The process's, once it has begun."""
    assert eventually(lambda: place.exists() and place.read_text() != "", 30)
    return int(place.read_text())
