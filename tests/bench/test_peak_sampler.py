"""Readings at a fixed period, of which the highest counts."""

from __future__ import annotations

import threading

import pytest

from bench.peak_sampler import PeakSampler


def test_the_highest_reading_counts_and_all_are_counted():
    values = iter((3, 9, 4))
    third = threading.Event()

    def read():
        value = next(values, 1)
        if value == 4:
            third.set()
        return value

    with PeakSampler(read, period=0.001) as sampler:
        assert third.wait(10)
    assert sampler.highest == 9
    assert sampler.readings >= 3
    assert sampler.described == f"{sampler.readings} readings, one in 1 ms"


def test_there_is_one_at_the_beginning_and_one_at_the_end_however_short_it_was():
    with PeakSampler(lambda: 5, period=60) as sampler:
        pass
    assert 1 <= sampler.readings <= 2
    assert sampler.highest == 5


def test_a_reading_that_fails_otherwise_is_no_end_of_the_instance():
    def read():
        raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError), PeakSampler(read):
        pass


def test_an_instance_that_is_gone_ends_them():
    def read():
        raise FileNotFoundError(2, "No such file or directory")

    with PeakSampler(read) as sampler:
        pass
    assert sampler.highest is None
    assert sampler.readings == 0
