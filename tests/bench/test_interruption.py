from __future__ import annotations

import os
import signal
import time
from contextlib import nullcontext

import pytest

from bench.cli.run import run_and_tell
from bench.interruption import one_interruption
from bench.runner import RunResult
from results.store import Store

pytestmark = pytest.mark.usefixtures("heeded_signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_interrupts_and_later_ones_leave_the_clearing_up_alone(number):
    cleared = False
    with pytest.raises(KeyboardInterrupt), one_interruption():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            cleared = True
    assert cleared


def test_signals_are_kept_out_of_the_last_clearing_up():
    with one_interruption() as interruption:
        interruption.keep_out()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        interruption.check()


def test_an_interruption_that_was_lost_on_the_way_is_found():
    with one_interruption() as interruption:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            pass
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            interruption.check()


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with one_interruption():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with one_interruption():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("interrupted", [True, False])
def test_who_is_impatient_does_not_end_the_report_of_an_interrupted_run(monkeypatch, tmp_path, interrupted):
    """Where nobody has asked for the end before, it is asked for then."""
    result = RunResult("a run", 0, interrupted=interrupted)
    with Store(tmp_path).open(create=True):
        pass
    monkeypatch.setattr("bench.measure.measure", lambda *_: result)
    told = []

    def tell(_store, _result):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        told.append(True)

    with nullcontext() if interrupted else pytest.raises(KeyboardInterrupt):
        assert run_and_tell(None, None, tmp_path, None, tell) == 130
    assert told == [True] * interrupted
