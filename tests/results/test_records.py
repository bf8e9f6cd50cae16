from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.records import Sample, format_params, new_run_id


def test_run_id_names_the_utc_second_and_sorts_by_it() -> None:
    early = new_run_id(datetime(2026, 11, 24, 12, 45, 2, tzinfo=timezone(timedelta(hours=1))))
    late = new_run_id(datetime(2026, 11, 24, 11, 45, 3, tzinfo=UTC))
    assert re.fullmatch(r"20261124-114502-[0-9a-f]{4}", early)
    assert early < late


def test_params_are_sorted_and_read_as_in_the_suite() -> None:
    assert format_params({"rw": "randread", "bs": "4k", "direct": True, "iodepth": 16, "share": 0.5}) == (
        "bs=4k,direct=true,iodepth=16,rw=randread,share=0.5"
    )
    assert format_params({}) == ""


def test_params_that_could_be_misread_are_quoted() -> None:
    assert format_params({"cpus": "0,1", "empty": ""}) == 'cpus="0,1",empty=""'


@given(
    st.dictionaries(st.sampled_from("abc"), st.text(max_size=5), max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.text(max_size=5), max_size=3),
)
def test_different_texts_as_params_never_read_alike(one: dict[str, str], other: dict[str, str]) -> None:
    assert (format_params(one) == format_params(other)) == (one == other)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_sample_is_finite(value: float) -> None:
    with pytest.raises(ValueError, match=r"metric iops: .* not a finite number"):
        Sample("iops", value, "1/s", "higher")
