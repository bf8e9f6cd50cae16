"""Limits for waits that have none."""

from __future__ import annotations

import threading
import time

import pytest

from runtimes.base import HostError
from runtimes.watchdog import answered_within, killed_after


def test_what_takes_too_long_is_ended():
    ended = []
    started = time.monotonic()
    with killed_after(0.05, lambda: ended.append(True)) as late:
        assert late.wait(10)
    assert ended == [True]
    assert time.monotonic() - started < 5


def test_what_is_done_in_time_is_left_alone():
    ended = []
    with killed_after(100, lambda: ended.append(True)) as late:
        pass
    assert not late.is_set()
    assert ended == []


def test_what_is_answered_in_time_is_returned_and_what_is_raised_is_raised():
    assert answered_within(10, "somebody", lambda: 42) == 42
    assert answered_within(10, "somebody", lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        answered_within(10, "somebody", lambda: 1 // 0)


def test_who_does_not_answer_is_named_and_waited_for_no_longer():
    answer = threading.Event()
    started = time.monotonic()
    try:
        with pytest.raises(HostError, match=r"somebody has not answered within 0\.05 s"):
            answered_within(0.05, "somebody", answer.wait)
        assert time.monotonic() - started < 5
    finally:
        answer.set()
