from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.charts.quantities import MISSING, interval, number, quantity, ratio, tick


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.000227, "s", "227 µs"),
        (0.00287, "s", "2.87 ms"),
        (0.9999, "s", "1.00 s"),
        (71.2, "s", "71.2 s"),
        (3000.0, "s", "50.0 min"),
        (0.0, "s", "0 s"),
        (0.0, "bytes", "0 B"),
        (1536.0, "bytes", "1.50 KiB"),
        (148 * 1024.0**2, "bytes", "148 MiB"),
        (5 * 1024.0**3, "bytes/s", "5.00 GiB/s"),
        (29.7e9, "bit/s", "29.7 Gbit/s"),
        (148123.0, "1/s", "148,000/s"),
        (9412.0, "iops", "9,410 iops"),
        (-0.5, "s", "-500 ms"),
        (math.nan, "s", MISSING),
        (None, "bytes", MISSING),
    ],
)
def test_a_quantity_is_written_at_a_readable_scale(value, unit, text):
    assert quantity(value, unit) == text


@given(st.floats(1e-9, 1e15), st.sampled_from(["s", "bytes", "bit/s", "iops"]))
def test_a_quantity_reads_back_within_its_digits(value, unit):
    factors = {
        "ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "iops": 1.0,
        "B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3, "TiB": 1024.0**4,
        "bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9,
    }  # fmt: skip
    figure, name = quantity(value, unit).split(" ")
    assert float(figure.replace(",", "")) * factors[name] == pytest.approx(value, rel=0.006)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_always_text_for_people(value):
    assert re.fullmatch(r"–|-?[\d,]+(\.\d+)?(e[+-]\d+)?", number(value))


def test_ticks_lose_zeros_but_no_digits():
    assert [tick(value, "s") for value in (0.1, 1.0, 100.0, 0.0015)] == ["100 ms", "1 s", "100 s", "1.5 ms"]
    assert [tick(value, "1/s", 4) for value in (1000, 1.2, 0.0105, 1.05e16)] == [
        "1,000/s",
        "1.2/s",
        "0.0105/s",
        "1.05e+16/s",
    ]


def test_intervals():
    assert interval(0.941, 1.02) == "0.941–1.02×"
    assert interval(0.5, math.inf) == "0.500–∞"
    assert interval(None, 1.0) == ""
    assert ratio(None) == MISSING
