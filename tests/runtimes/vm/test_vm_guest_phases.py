"""A guest's stamps on the host's clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.base import Timeline
from runtimes.vm.guest_phases import ClockReading, GuestClockError, guest_stamps, parse_uptime

MS = 1_000_000
STARTUP = "init 800000000\nroot 900000000\n"
READY = ClockReading(guest=1000 * MS, host=50_000 * MS)
LATER = ClockReading(guest=3000 * MS, host=52_000 * MS)


def test_stamps_are_counted_back_from_ready():
    assert guest_stamps(48_500 * MS, READY, LATER, STARTUP) == {
        "guest_firmware": 49_000 * MS,
        "guest_kernel": 49_800 * MS,
        "guest_initramfs": 49_900 * MS,
    }


def test_what_init_did_not_tell_is_missing():
    assert list(guest_stamps(48_500 * MS, READY, LATER, "")) == ["guest_firmware"]
    assert list(guest_stamps(48_500 * MS, READY, LATER, "root 5\nrubbish\ninit x\n")) == [
        "guest_firmware",
        "guest_initramfs",
    ]


def test_a_restored_guest_went_through_no_firmware():
    stamps = guest_stamps(49_700 * MS, READY, LATER, "restored 800000000\nroot 900000000\n")
    assert stamps == {"guest_restored": 49_800 * MS, "guest_initramfs": 49_900 * MS}


@pytest.mark.parametrize("seconds", [0, 1.8, 45 * 2])
def test_a_clock_of_another_rate_is_refused(seconds):
    later = ClockReading(READY.guest + round(seconds * 1e9), LATER.host)
    with pytest.raises(GuestClockError, match=r"while 2\.00 s passed on the host's"):
        guest_stamps(0, READY, later, STARTUP)


def test_a_reading_just_after_ready_is_no_reason_to_refuse():
    assert guest_stamps(48_500 * MS, READY, ClockReading(990 * MS, READY.host + 5 * MS), STARTUP)


@pytest.mark.parametrize(
    ("resumed_at", "startup"),
    [(49_100 * MS, STARTUP), (48_500 * MS, "init 900000000\nroot 800000000\n"), (48_500 * MS, "root 1100000000\n")],
)
def test_stamps_out_of_order_are_refused(resumed_at, startup):
    with pytest.raises(GuestClockError, match=r"its kernel started 1\.00 s before READY"):
        guest_stamps(resumed_at, READY, LATER, startup)


@given(st.lists(st.integers(0, 10**12), min_size=4, max_size=4).map(sorted))
def test_phases_add_up(moments):
    resumed, clock_start, init, root = (10**13 + at for at in moments)
    ready = ClockReading(guest=root - clock_start + 1, host=root + 1)
    startup = f"init {init - clock_start}\nroot {root - clock_start}\n"
    stamps = guest_stamps(resumed, ready, ClockReading(ready.guest + 10**9, ready.host + 10**9), startup)
    timeline = Timeline({"requested": resumed - 1, "resume": resumed, **stamps, "ready": ready.host})
    assert sum(seconds for _, seconds in timeline.phases()) == pytest.approx((ready.host - resumed + 1) / 1e9)


def test_uptime():
    assert parse_uptime("12.34 5.67\n") == 12_340_000_000
