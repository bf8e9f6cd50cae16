"""The frequency of the time stamp counter."""

from __future__ import annotations

import re
import subprocess

import pytest

from runtimes.vm import tsc


@pytest.fixture(autouse=True)
def _asked_anew():
    tsc.counter_frequency.cache_clear()
    yield
    tsc.counter_frequency.cache_clear()


def test_a_counter_that_does_not_stay_the_same_is_of_no_use(monkeypatch):
    monkeypatch.setattr(tsc, "_processor_flags", lambda: {"tsc", "constant_tsc"})
    assert tsc.counter_frequency() is None


def test_it_is_measured_alike_every_time():
    first = tsc.counter_frequency()
    if first is None:
        pytest.skip("this host's time stamp counter does not stay the same")
    tsc.counter_frequency.cache_clear()
    assert tsc.counter_frequency() == pytest.approx(first, rel=1e-3)
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
    detected = re.search(r"tsc: Detected ([0-9.]+) MHz", said)
    if detected:
        assert first == pytest.approx(float(detected[1]) * 1000, rel=0.01)
