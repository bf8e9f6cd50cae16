from __future__ import annotations

import os
import signal
import time

import pytest

from bench.interruption import one_interruption


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


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with one_interruption():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
