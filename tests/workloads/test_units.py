from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 512 * 2**20), ("4k", 4096), ("4K", 4096), ("1G", 2**30), ("2T", 2**41), ("1.5k", 1536), ("7", 7), (7, 7)],
)
def test_sizes_are_powers_of_1024(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("10m", 600.0), ("1h", 3600.0), ("1.5s", 1.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["512X", "512MB", "512MiB", "4kk"])
def test_an_unknown_unit_of_size_names_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown unit '\w+' in .*k, M, G, T"):
        parse_size(text)


@pytest.mark.parametrize("text", ["10d", "10min", "10M", "10S"])
def test_an_unknown_unit_of_duration_names_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown unit '\w+' in .*ms, s, m, h"):
        parse_duration(text)


@pytest.mark.parametrize("value", ["", "M", "-1k", "1e3", "0.5", "1,5k", "٤k", -1, True, 1.5, None, [], "1" * 40])
def test_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"size|bytes"):
        parse_size(value)


@pytest.mark.parametrize("value", ["", "s", "-1s", "10", 10, 1.5, True, None, "1h30m"])
def test_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


@given(st.integers(min_value=0, max_value=2**60))
def test_a_formatted_size_is_read_back_as_the_same(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(min_value=0, max_value=10**10))
def test_a_formatted_duration_is_read_back_as_the_same(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def test_formats_use_the_largest_unit_that_is_whole() -> None:
    assert [format_size(size) for size in (0, 1000, 1536, 2**20, 3 * 2**30)] == ["0", "1000", "1536", "1M", "3G"]
    assert [format_duration(s) for s in (0, 0.25, 90, 600, 7200)] == ["0s", "250ms", "90s", "10m", "2h"]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_size, parse_duration):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
